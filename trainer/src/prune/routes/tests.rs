//! A family whose router has learnt nothing, written and opened again.

use super::*;
use crate::prune::NewRouting;
use crate::{
    data::ImageFolder,
    prune::{Aptp, AptpRecipe, AptpSetting, NewExpert, NewFamily},
    run::LoopSettings,
    testing::Bench,
};
use pleach_model::{counter::At, family, files::Overwrite, manifest::Family, router::RoutingNoise};
use serde_json::json;
use std::{fs, path::PathBuf};
use tempfile::{TempDir, tempdir};

struct Made {
    bench: Bench,
    folder: TempDir,
    family: Family,
}

impl Made {
    /// Two experts.
    fn new(noise: RoutingNoise) -> Self {
        let (bench, folder) = (Bench::new(), tempdir().unwrap());
        let settings = LoopSettings { steps: 3, ..AptpRecipe::default().settings };
        let recipe =
            AptpRecipe { experts: 2, batch: 2, warm_start: 1, routing: noise, settings, ..AptpRecipe::default() };
        let (at, sentences) = (At { height: 8, width: 8, tokens: 77 }, bench.sentences());
        let setting = AptpSetting {
            recipe: &recipe,
            teacher: &bench.teacher,
            schedule: &bench.schedule,
            scaling: bench.scaling(),
            null: bench.null(),
            sentences: &sentences,
            at,
            device: Device::Cpu,
        };
        let task = Aptp::new(setting, bench.batches(2, 0)).unwrap();
        let router = task.router(&[], bench.sentence_encoder()).unwrap();
        let experts = ["large", "small"].into_iter().zip(&router.experts);
        let new = NewFamily {
            teacher: &bench.teacher,
            source: "../base".into(),
            experts: experts.map(|(name, e)| NewExpert::cut(name, e.architecture.clone())).collect(),
            router: Some(NewRouting::Learnt(router)),
            at,
            method: "aptp".into(),
            recipe: json!({}),
        };
        let family = new.write(&folder.path().join("family"), Overwrite::Never, &|_| {}).unwrap();
        drop(task);
        Self { bench, folder, family }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("family")
    }

    fn opened(&self) -> FamilyFolder {
        FamilyFolder::open(&self.root()).unwrap()
    }

    fn router(&self) -> PromptRouter {
        PromptRouter::open(&self.opened(), Device::Cpu).unwrap().unwrap()
    }
}

fn prompts() -> Vec<String> {
    ["a red circle", "two stars, a ring and a blue square, striped", "glowing", ""].map(str::to_owned).to_vec()
}

#[test]
fn experts_are_as_their_manifest_says() {
    let made = Made::new(RoutingNoise::None);
    let (opened, config) = (made.opened(), made.bench.teacher.config().clone());
    assert_eq!(opened.config(), &config);
    assert_eq!(opened.manifest(), &made.family);
    for (expert, architecture) in made.family.experts.iter().zip(opened.architectures()) {
        let left = counter::unet(&config, architecture, made.family.counted_at).unwrap();
        assert_eq!((expert.parameters, &expert.macs), (left.parameters(), &left.macs()));
        let file = opened.unet(&expert.name).join("diffusion_pytorch_model.safetensors");
        let checkpoint = Checkpoint::open(&file).unwrap();
        // Every tensor that the architecture has, in its shape, and the teacher's numbers where nothing was cut.
        checkpoint.bind(&left.tensors, Spelling::Unet).unwrap();
        let teacher = made.bench.pipeline.unet.weights(None).unwrap();
        let name = "conv_in.weight";
        assert_eq!(checkpoint.get(name).unwrap().to_f32().unwrap(), teacher.get(name).unwrap().to_f32().unwrap());
    }
}

#[test]
fn a_route_follows_from_its_prompt_alone() {
    for noise in [RoutingNoise::None, RoutingNoise::Published] {
        let router = Made::new(noise).router();
        let prompts = prompts();
        let together = router.routes(&prompts).unwrap();
        let reversed = router.routes(&prompts.iter().rev().cloned().collect::<Vec<_>>()).unwrap();
        for (i, (prompt, route)) in prompts.iter().zip(&together).enumerate() {
            let alone = &router.routes(std::slice::from_ref(prompt)).unwrap()[0];
            for other in [alone, &reversed[prompts.len() - 1 - i]] {
                assert_eq!(route.expert, other.expert, "{prompt}");
                assert!(route.scores.iter().zip(&other.scores).all(|(a, b)| (a - b).abs() < 1e-5), "{prompt}");
            }
        }
        assert!(together.iter().any(|route| route.scores != together[0].scores), "all prompts have the same scores");
    }
}

/// The noise of the released code moves the scores; what is stored in the family decides whether it is added.
#[test]
fn the_published_noise_is_the_familys_choice() {
    let [none, published] = [RoutingNoise::None, RoutingNoise::Published].map(|noise| {
        let made = Made::new(noise);
        assert_eq!(made.opened().router().unwrap().config.noise, noise);
        made.router().routes(&prompts()).unwrap()
    });
    assert!(none.iter().zip(&published).any(|(a, b)| a.scores != b.scores));
}

#[test]
fn routes_are_kept_and_share_out_the_data() {
    let made = Made::new(RoutingNoise::None);
    let dataset = ImageFolder::open(&made.bench.pictures(), None).unwrap();
    let names = ["large", "small"].map(str::to_owned);
    let done = std::cell::Cell::new(0);
    let mut routes = route(&dataset, &made.router(), &names, &|count| done.set(count)).unwrap();
    assert_eq!((routes.len(), done.get()), (6, 6));
    let path = made.folder.path().join("routes.jsonl");
    write_routes(&path, &routes).unwrap();
    assert_eq!(read_routes(&path).unwrap(), routes);
    // Each caption is in the part of its expert, and of no other.
    for (i, route) in routes.iter_mut().enumerate() {
        names[usize::from(i >= 4)].clone_into(&mut route.expert);
    }
    let parts = ["large", "small"].map(|name| part_of(&dataset, &routes, name).unwrap());
    assert_eq!(parts.map(|part| part.len()), [4, 2]);
    let refused = |routes: &[Routed], name: &str| part_of(&dataset, routes, name).unwrap_err().to_string();
    assert!(refused(&routes, "medium").contains("no caption goes to the expert \"medium\""));
    let text = routes.pop().unwrap().text;
    assert!(refused(&routes, "large").contains(&format!("{text:?}")));
}

#[test]
fn routes_that_are_none() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("routes.jsonl");
    let good = r#"{"file_name":"a.png","text":"a","expert":"small","margin":0.5,"scores":[0.5,1.0]}"#;
    for (bad, line) in [("[1]", 1), ("{}", 1), ("{\"file_name\": 1}", 1)] {
        fs::write(&path, format!("{bad}\n{good}\n")).unwrap();
        let message = read_routes(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("line {line}")), "{message}");
    }
    fs::write(&path, format!("{good}\n\n{good}x\n")).unwrap();
    let message = read_routes(&path).unwrap_err().to_string();
    assert!(message.contains("line 3"), "{message}");
}

#[test]
fn a_router_and_experts_that_do_not_belong_together() {
    let made = Made::new(RoutingNoise::None);
    let (opened, site) = (made.opened(), "down_blocks.0.resnets.0");
    let layout = VectorLayout::of(opened.config()).unwrap();
    let units = layout.widths.iter().find(|width| width.site == site).unwrap().entries.len();
    // One group less.
    let small = &opened.architectures()[1];
    let mut kept = small.kept(site).map_or_else(|| (0..units).collect(), <[usize]>::to_vec);
    kept.pop();
    let bytes = serde_json::to_vec(&small.clone().keep(site, kept)).unwrap();
    fs::write(opened.unet("small").join(family::ARCHITECTURE), bytes).unwrap();
    // Without the manifest's knowledge it is a damaged file.
    let message = FamilyFolder::open(&made.root()).unwrap_err().to_string();
    assert!(message.contains(family::ARCHITECTURE), "{message}");
    let mut family = made.family.clone();
    let inside = "experts/small/unet/architecture.json";
    let expert = family.experts.iter_mut().find(|expert| expert.name == "small").unwrap();
    let entry = expert.files.iter_mut().find(|file| file.file == inside).unwrap();
    *entry = pleach_model::manifest::FileEntry::of(&made.root(), inside.to_owned()).unwrap();
    family.write(&made.root()).unwrap();
    let message = FamilyFolder::open(&made.root()).unwrap_err().to_string();
    assert!(message.contains("the router in") && message.contains("\"small\" disagree"), "{message}");
}

#[test]
fn a_family_without_a_router_has_no_routes() {
    let (bench, folder) = (Bench::new(), tempdir().unwrap());
    let new = NewFamily {
        teacher: &bench.teacher,
        source: "../base".into(),
        experts: vec![NewExpert::cut("only", pleach_model::architecture::Architecture::full())],
        router: None,
        at: At { height: 8, width: 8, tokens: 77 },
        method: "uniform".into(),
        recipe: json!({}),
    };
    new.write(&folder.path().join("family"), Overwrite::Never, &|_| {}).unwrap();
    let opened = FamilyFolder::open(&folder.path().join("family")).unwrap();
    assert!(PromptRouter::open(&opened, Device::Cpu).unwrap().is_none());
}
