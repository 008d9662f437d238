//! `pleach-train import-aptp`: a family out of files that APTP's authors published, or of experts of its form.

use super::{
    checkpoint,
    source::{Base, Wanted},
};
use crate::{
    libtorch::libtorch,
    prune::{self, ENCODER_FILES, NewExpert, NewFamily, NewRouter, NewRouting, Published, inferred, published},
    run,
};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Printer, ReportArgs, ResultExt};
use pleach_model::{
    checkpoint::Checkpoint, family::FamilyFolder, files::Overwrite, gating::Relaxation, manifest::Family,
    router::RoutingNoise,
};
use serde_json::json;
use std::path::PathBuf;
use tch::Device;

/// The published router's sentence encoder.
const SENTENCES: &str = "sentence-transformers/all-mpnet-base-v2";
/// What turns a pickled codebook into what is read here.
const CONVERT: &str = "where you trust it: python -c 'import torch; from safetensors.torch import save_file; \
                       save_file({\"embedding_gs\": torch.load(\"FILE\", weights_only=True).float().contiguous()}, \
                       \"FILE.safetensors\")'";

/// Noise on the logits of prompts.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Noise {
    /// What the released code draws for a single prompt
    Published,
    /// None
    None,
}

/// Arguments of `pleach-train import-aptp`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Pipeline that the experts were cut out of: a folder or a Hugging Face id
    #[arg(long, value_name = "PIPELINE")]
    base: String,
    /// The predictor (the published hypernet): safetensors with mh_fc.*
    #[arg(long, value_name = "FILE", requires = "codebook")]
    predictor: Option<PathBuf>,
    /// The codebook (the published quantizer): safetensors with embedding_gs
    #[arg(long, value_name = "FILE", requires = "predictor")]
    codebook: Option<PathBuf>,
    /// An expert's UNet: its folder or its safetensors file; once for each code, in their order. Without any, experts are cut out of the base
    #[arg(long = "expert", value_name = "PATH")]
    experts: Vec<PathBuf>,
    /// The router's sentence encoder: a folder or a Hugging Face id
    #[arg(long, value_name = "ENCODER", default_value = SENTENCES)]
    sentences: String,
    /// Noise that prompts are routed with
    #[arg(long, value_enum, default_value_t = Noise::Published)]
    noise: Noise,
    /// Temperature and offset of the gates, as the router was trained
    #[arg(long, value_names = ["TEMPERATURE", "OFFSET"], num_args = 2, default_values_t = [0.4, 3.0])]
    relaxation: Vec<f64>,
    /// Side of the pictures that multiply-accumulates are counted for [default: what the base was made for]
    #[arg(long, value_name = "PIXELS", default_value_t = 0, hide_default_value = true)]
    resolution: usize,
    /// Folder of the family
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
///
/// # Errors
/// Pickles, files of another network, experts that are not those of the codes.
pub fn run(arguments: &ImportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.predictor.is_some() || !arguments.experts.is_empty(),
        "there is nothing to import: give --predictor and --codebook, or --expert"
    );
    libtorch()?;
    let wanted = Wanted { teacher: &arguments.base, ..Wanted::network_only(arguments.resolution, Device::Cpu) };
    let base = Base::open(&wanted, printer)?;
    let config = base.teacher.config().clone();
    let router = match (&arguments.predictor, &arguments.codebook) {
        (Some(predictor), Some(codebook)) => {
            let noise = match arguments.noise {
                Noise::Published => RoutingNoise::Published,
                Noise::None => RoutingNoise::None,
            };
            let [temperature, offset] = arguments.relaxation[..] else { anyhow::bail!("--relaxation has two numbers") };
            ensure!(temperature > 0.0, "the temperature of the gates must be above 0");
            let read = published(&config, predictor, codebook, Relaxation { temperature, offset }, noise);
            match read {
                Err(error @ run::Error::Weights(pleach_model::checkpoint::Error::Pickle { .. })) => {
                    Err(error).hint(CONVERT).map(Some)
                }
                read => Ok(Some(read?)),
            }?
        }
        _ => None,
    };
    let experts = experts(arguments, &config, router.as_ref())?;
    let router = match router {
        Some(Published { config, tensors, experts }) => {
            let encoder = checkpoint::resolve(&arguments.sentences, &ENCODER_FILES, printer)?;
            Some(NewRouting::Learnt(NewRouter { config, tensors, experts, encoder }))
        }
        None => None,
    };
    let family = NewFamily {
        teacher: &base.teacher,
        source: super::prune::seen_from(&arguments.out, &base.folder)?,
        experts,
        router,
        at: base.at(),
        method: "import-aptp".into(),
        recipe: json!({
            "base": arguments.base,
            "predictor": arguments.predictor,
            "codebook": arguments.codebook,
            "experts": arguments.experts,
        }),
    };
    let family = family.write(&arguments.out, Overwrite::Never, &|expert| printer.status("Took", &expert.name))?;
    report(&family, arguments, printer)?;
    Ok(ExitCode::Done)
}

/// The experts as they were given; all that the router names, if none was.
fn experts(
    arguments: &ImportArgs,
    config: &pleach_model::unet::UNetConfig,
    router: Option<&Published>,
) -> anyhow::Result<Vec<NewExpert>> {
    let codes: Vec<_> = router.iter().flat_map(|router| &router.experts).map(|expert| &expert.architecture).collect();
    let name = |i: usize| format!("arch{i}");
    if arguments.experts.is_empty() {
        return Ok(codes.into_iter().enumerate().map(|(i, code)| NewExpert::cut(name(i), code.clone())).collect());
    }
    let given = arguments.experts.len();
    ensure!(
        router.is_none() || given == codes.len(),
        "the codebook has {} codes, and {given} experts are given: one --expert for each, in their order",
        codes.len()
    );
    let open = |(i, path): (usize, &PathBuf)| {
        let weights = Checkpoint::open(path).with_context(|| format!("cannot open expert {i}"))?;
        let architecture = inferred(config, &weights, codes.get(i).copied())?;
        Ok(NewExpert::stored(name(i), architecture, weights))
    };
    arguments.experts.iter().enumerate().map(open).collect()
}

fn report(family: &Family, arguments: &ImportArgs, printer: &Printer) -> anyhow::Result<()> {
    let share = |macs: u64| macs as f64 / family.base.macs.exact as f64;
    if arguments.report.json {
        let experts = family.experts.iter().map(|expert| {
            json!({ "name": expert.name, "parameters": expert.parameters, "macs_ratio": share(expert.macs.exact) })
        });
        printer.json(&json!({ "family": arguments.out, "experts": experts.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    let experts = prune::report::experts(&FamilyFolder::open(&arguments.out)?, None)?;
    printer.table(&super::report::table(&experts, None))?;
    printer.status("Made", arguments.out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        prune::{PromptRouter, inferred},
        run::write_weights,
        testing,
    };
    use clap::Parser;
    use pleach_console::ConsoleArgs;
    use pleach_model::{
        architecture::Architecture, checkpoint::Spelling, counter, noise::Generator, tensor::Dtype,
        vector::VectorLayout,
    };
    use std::fs;
    use tch::Tensor;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        import: ImportArgs,
    }

    /// Files as they are published: two codes, of which the second has lost a third of its gates, and their experts.
    struct Files {
        bench: testing::Bench,
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let (bench, folder) = (testing::Bench::new(), tempfile::tempdir().unwrap());
            let config = bench.teacher.config().clone();
            let layout = VectorLayout::of(&config).unwrap();
            let (features, experts) = (bench.sentences().features(), 2);
            let sizes = pleach_model::router::RouterConfig {
                features,
                experts,
                relaxation: Relaxation::default(),
                noise: RoutingNoise::None,
            };
            let random = |seed, shape: &[usize]| {
                let numbers = Generator::new(seed).randn(shape.iter().product());
                let shape: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
                Tensor::from_slice(&numbers).reshape(shape)
            };
            let specs = counter::router(&sizes, &layout).unwrap().tensors;
            let layers = specs.iter().filter(|spec| spec.name.starts_with("mh_fc."));
            let layers: Vec<_> = layers.map(|spec| (spec.name.clone(), random(1, &spec.shape))).collect();
            write_weights(&folder.path().join("hypernet.safetensors"), &layers, Dtype::F32).unwrap();
            let gates: Vec<f32> =
                (0..2 * layout.len()).map(|i| if i < layout.len() || i % 3 > 0 { 0.9 } else { 0.1 }).collect();
            let shape = [2, layout.len() as i64];
            let codes = [
                ("embedding_gs".to_owned(), Tensor::from_slice(&gates).reshape(shape)),
                ("embedding.weight".to_owned(), random(2, &[2, layout.len()])),
            ];
            write_weights(&folder.path().join("quantizer.safetensors"), &codes, Dtype::F32).unwrap();
            for (i, row) in gates.chunks(layout.len()).enumerate() {
                let open: Vec<bool> = row.iter().map(|gate| *gate >= 0.5).collect();
                let architecture = layout.architecture(&open).unwrap();
                let (mut tensors, dtype) = bench.teacher.cut(&architecture).unwrap();
                // What fine-tuning changed.
                let first = tensors.iter_mut().find(|(name, _)| name == "conv_out.bias").unwrap();
                first.1 = &first.1 + 1.0;
                let unet = folder.path().join(format!("arch{i}"));
                fs::create_dir(&unet).unwrap();
                write_weights(&unet.join("diffusion_pytorch_model.safetensors"), &tensors, dtype).unwrap();
            }
            Self { bench, folder }
        }

        fn path(&self, name: &str) -> String {
            self.folder.path().join(name).display().to_string()
        }

        /// What is said where it is refused.
        fn import(&self, out: &str, more: &[&str]) -> Result<ExitCode, String> {
            let [out, base] = [self.path(out), testing::pipeline().display().to_string()];
            let encoder = self.bench.sentence_encoder().display().to_string();
            let words = ["import-aptp", "--base", &base, "--out", &out, "--sentences", &encoder, "--json"];
            let arguments = Cli::try_parse_from([&words, more].concat()).map_err(|error| error.to_string())?.import;
            let (printer, captured) = Printer::captured(ConsoleArgs::default().settings());
            run(&arguments, &printer).map_err(|error| {
                printer.error(&error);
                captured.err()
            })
        }
    }

    #[test]
    fn published_files_become_a_family() {
        let files = Files::new();
        let [predictor, codebook] = ["hypernet.safetensors", "quantizer.safetensors"].map(|name| files.path(name));
        let [first, second] = ["arch0", "arch1"].map(|name| files.path(name));
        let router = ["--predictor", &predictor, "--codebook", &codebook];
        let own = ["--expert", &first, "--expert", &second];
        assert_eq!(files.import("family", &[router, own].concat()).unwrap(), ExitCode::Done);
        let family = FamilyFolder::open(&files.folder.path().join("family")).unwrap();
        assert_eq!(family.router().unwrap().config.noise, RoutingNoise::Published);
        let teacher = files.bench.pipeline.unet.weights(None).unwrap();
        let bias = teacher.get("conv_out.bias").unwrap().to_f32().unwrap();
        for (expert, code) in family.manifest().experts.iter().zip(family.architectures()) {
            let stored = Checkpoint::open(&family.unet(&expert.name)).unwrap();
            let left = counter::unet(family.config(), code, family.manifest().counted_at).unwrap();
            stored.bind(&left.tensors, Spelling::Unet).unwrap();
            let found = stored.get("conv_out.bias").unwrap().to_f32().unwrap();
            assert!(found.iter().zip(&bias).all(|(found, bias)| (found - bias - 1.0).abs() < 1e-6));
        }
        let router = PromptRouter::open(&family, Device::Cpu).unwrap().unwrap();
        assert_eq!(router.routes(&["a star".to_owned()]).unwrap()[0].scores.len(), 2);
        // Without their own weights experts are cut out of the base.
        let router = ["--predictor", &predictor, "--codebook", &codebook, "--noise", "none"];
        files.import("cut", &router).unwrap();
        let cut = FamilyFolder::open(&files.folder.path().join("cut")).unwrap();
        assert_eq!(cut.architectures(), family.architectures());
        assert_eq!(cut.router().unwrap().config.noise, RoutingNoise::None);
        let stored = Checkpoint::open(&cut.unet("arch1")).unwrap();
        assert_eq!(stored.get("conv_out.bias").unwrap().to_f32().unwrap(), bias);
    }

    #[test]
    fn an_expert_alone_tells_what_it_is() {
        let files = Files::new();
        files.import("alone", &["--expert", &files.path("arch1")]).unwrap();
        let family = FamilyFolder::open(&files.folder.path().join("alone")).unwrap();
        assert!(family.router().is_none());
        let stored = Checkpoint::open(&files.folder.path().join("arch1")).unwrap();
        let found = inferred(family.config(), &stored, None).unwrap();
        assert_eq!(family.architectures(), [found]);
        assert_ne!(family.architectures()[0], Architecture::full());
    }

    #[test]
    fn what_is_not_published_like_that() {
        let files = Files::new();
        let [predictor, codebook] = ["hypernet.safetensors", "quantizer.safetensors"].map(|name| files.path(name));
        let [first, second] = ["arch0", "arch1"].map(|name| files.path(name));
        let refused = |more: &[&str]| files.import("out", more).unwrap_err();
        let router = ["--predictor", &predictor, "--codebook", &codebook];
        let message = refused(&[&router[..], &["--expert", &second, "--expert", &first]].concat());
        assert!(message.contains("its code says"), "{message}");
        let message = refused(&[&router[..], &["--expert", &first]].concat());
        assert!(message.contains("has 2 codes, and 1 experts are given"), "{message}");
        assert!(refused(&[]).contains("nothing to import"));
        assert!(refused(&["--predictor", &predictor]).contains("--codebook"));
        // A codebook is no predictor.
        let message = refused(&["--predictor", &codebook, "--codebook", &codebook]);
        assert!(message.contains("mh_fc.0.weight"), "{message}");
        let pickle = files.folder.path().join("arch_vector.pt");
        fs::write(&pickle, b"PK\x03\x04").unwrap();
        let message = refused(&["--predictor", &predictor, "--codebook", &pickle.display().to_string()]);
        assert!(message.contains("is a pickle") && message.contains("save_file"), "{message}");
        assert!(!files.folder.path().join("out").exists());
    }
}
