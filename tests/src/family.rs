//! A family of the small world: experts that are cut out of its base model by chance, behind a router that has learnt nothing and sends
//! prompts everywhere.

use crate::{fixtures, world::base};
use anyhow::Result;
use pleach_model::{
    counter::{self, At},
    family::FamilyFolder,
    files::Overwrite,
    gating::Relaxation,
    manifest::Family,
    noise::Generator,
    pipeline::PipelineFolder,
    router::{RouterConfig, RoutingNoise},
    vector::VectorLayout,
};
use pleach_trainer::{
    encoders::Sentences,
    finetune::Teacher,
    prune::{LearntExpert, NewExpert, NewFamily, NewRouter, NewRouting},
    world::sample,
};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Names of the experts, and the share of their units that stay.
pub const EXPERTS: [(&str, f32); 3] = [("small", 0.5), ("large", 0.6), ("middle", 0.55)];
/// How fast gates change from one prompt to another.
const SLOPE: f64 = 12.0;

/// Writes the family to `folder`, which must not be there; none where the sentence encoder is not installed.
pub fn write(folder: &Path) -> Result<Option<FamilyFolder>> {
    let Some(encoder) = fixtures::sentence_encoder() else { return Ok(None) };
    let pipeline = PipelineFolder::open(&base())?.checkpoint()?;
    let teacher = Teacher::new(pipeline.unet)?;
    let layout = VectorLayout::of(teacher.config())?;
    let mut draw = Generator::new(11);
    let learnt = EXPERTS.map(|(_, share)| -> Result<LearntExpert> {
        let gates: Vec<f32> = draw.rand(layout.len()).into_iter().map(|u| f32::from(u8::from(u < share))).collect();
        let open: Vec<bool> = gates.iter().map(|gate| *gate >= 0.5).collect();
        let architecture = layout.architecture(&open)?;
        Ok(LearntExpert { gates, architecture })
    });
    let experts = learnt.into_iter().collect::<Result<Vec<_>>>()?;
    let config = RouterConfig {
        features: 384,
        experts: experts.len(),
        relaxation: Relaxation::default(),
        noise: RoutingNoise::Median,
    };
    let specs = counter::router(&config, &layout)?.tensors;
    let predictor = specs.into_iter().filter(|spec| spec.name.starts_with("mh_fc"));
    // What all sentences have in common decides nothing.
    let captions: Vec<String> = (0..32).map(|index| sample(0, index).caption).collect();
    let common = Sentences::open(&encoder, Device::Cpu)?.encode(&captions)?.mean_dim(0, false, Kind::Float);
    // A direction for each expert: the further a prompt lies in it, the more its gates are the expert's.
    let directions = Tensor::from_slice(&draw.randn(experts.len() * config.features));
    let directions = directions.reshape([experts.len() as i64, config.features as i64]) * SLOPE;
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut entry = 0;
    for spec in predictor {
        let value = match (spec.name.ends_with("bias"), tensors.last()) {
            (true, Some((_, weight))) => -weight.matmul(&common),
            _ => {
                let rows = spec.shape.first().copied().unwrap_or(0);
                let signs = (entry..entry + rows)
                    .flat_map(|entry| experts.iter().map(move |expert| 2.0 * expert.gates[entry] - 1.0))
                    .collect::<Vec<f32>>();
                entry += rows;
                Tensor::from_slice(&signs).reshape([rows as i64, experts.len() as i64]).matmul(&directions)
            }
        };
        tensors.push((spec.name, value));
    }
    let named = EXPERTS.iter().zip(&experts);
    let family = NewFamily {
        teacher: &teacher,
        source: base().display().to_string(),
        experts: named.map(|((name, _), expert)| NewExpert::cut(*name, expert.architecture.clone())).collect(),
        router: Some(NewRouting::Learnt(NewRouter { config, tensors, experts, encoder })),
        at: At { height: 16, width: 16, tokens: 77 },
        method: "chance".into(),
        recipe: serde_json::json!({}),
    };
    let _: Family = family.write(folder, Overwrite::Never, &|_| {})?;
    Ok(Some(FamilyFolder::open(folder)?))
}
