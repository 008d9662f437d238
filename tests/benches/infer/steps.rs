//! Steps of every expert of every bundle, in turn.

use anyhow::{Context, Result};
use pleach_model::noise::Generator;
use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, GraphFile, HostCache, Network, NetworkOptions, TensorRef},
    pipeline::Component,
};
use pleach_tests::stepping::median;
use std::time::Instant;

/// How long steps of a bundle's experts take.
pub struct Stepped {
    /// Seconds: medians.
    pub steps: Vec<f64>,
    /// Medians of the ratios to the first bundle's, round by round.
    pub ratios: Vec<f64>,
}

/// Lets all experts of all bundles take a step each, in so many rounds and one that is not counted.
pub fn take_turns(engine: &Engine, bundles: &[Bundle], rounds: usize) -> Result<Vec<Stepped>> {
    let mut networks: Vec<Vec<(Network, Vec<f64>)>> = Vec::new();
    for bundle in bundles {
        let experts = &bundle.manifest().context("a bundle without a manifest")?.components.unet;
        let open = |name: &str| -> Result<(Network, Vec<f64>)> {
            let entry = bundle.graph(Component::Unet, Some(name))?;
            let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &HostCache::off())?;
            Ok((engine.open(&graph, &NetworkOptions::default())?, Vec::new()))
        };
        networks.push(experts.iter().map(|expert| open(&expert.name)).collect::<Result<_>>()?);
    }
    let first = bundles.first().context("no bundle")?;
    let (unet, tokens) = (first.unet(), first.text_encoder().max_position_embeddings);
    let side = unet.sample_size.unwrap_or(64);
    let mut noise = Generator::new(7);
    let shapes = [vec![1, unet.in_channels, side, side], vec![1, tokens, unet.cross_attention_dim]];
    let [sample, context] = shapes.each_ref().map(|shape| noise.randn(shape.iter().product()));
    for round in 0..=rounds {
        for (network, seconds) in networks.iter_mut().flatten() {
            let inputs = [
                ("sample", TensorRef::new(&shapes[0], &sample)?),
                ("timestep", TensorRef::new(&[1], &[481.0_f32])?),
                ("encoder_hidden_states", TensorRef::new(&shapes[1], &context)?),
            ];
            let begun = Instant::now();
            network.run(&inputs)?;
            if round > 0 {
                seconds.push(begun.elapsed().as_secs_f64());
            }
        }
    }
    let base: Vec<Vec<f64>> = networks.first().into_iter().flatten().map(|(_, seconds)| seconds.clone()).collect();
    let stepped = networks.iter().map(|experts| Stepped {
        steps: experts.iter().map(|(_, seconds)| median(seconds)).collect(),
        ratios: experts
            .iter()
            .zip(&base)
            .map(|((_, own), base)| median(&own.iter().zip(base).map(|(own, base)| own / base).collect::<Vec<_>>()))
            .collect(),
    });
    Ok(stepped.collect())
}
