//! Where the checkpoint is: a folder, or a repository of Hugging Face that is fetched.

use pleach_console::Printer;
use pleach_hub::{Hub, Progress, Source};
use std::path::PathBuf;

/// The folder of the checkpoint that `name` stands for.
pub(super) fn resolve(name: &str, variant: Option<&str>, printer: &Printer) -> anyhow::Result<PathBuf> {
    match Source::parse(name) {
        Source::Folder(folder) => Ok(folder),
        Source::Hub(id) => {
            let patterns = patterns(variant);
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let copies = Copies(printer.copies("Fetching"));
            Ok(Hub::from_env()?.resolve(&id, &patterns, &copies)?.folder)
        }
    }
}

/// What an export reads of a repository: of the weights, one variant. `?` stands for a character that a name may have or not
/// have in all repositories, so that neither single files nor shards are asked for in vain.
fn patterns(variant: Option<&str>) -> Vec<String> {
    let mut patterns: Vec<String> = ["model_index.json", "tokenizer/*", "scheduler/*"].map(str::to_owned).into();
    for (component, stem) in
        [("text_encoder", "model"), ("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")]
    {
        patterns.push(format!("{component}/config.json"));
        patterns.extend(match variant {
            Some(variant) => vec![format!("{component}/{stem}*.{variant}*")],
            None => ["?safetensors", "?safetensors.index.json", "-?????-of-?????.safetensors"]
                .map(|ending| format!("{component}/{stem}{ending}"))
                .into(),
        });
    }
    patterns
}

struct Copies(pleach_console::Copies);

impl Progress for Copies {
    fn update(&self, file: &str, position: u64, total: u64) {
        self.0.update(file, position, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glob::Pattern;

    /// Of a repository with everything that Stable Diffusion's have had.
    const FILES: [&str; 17] = [
        "README.md",
        "model_index.json",
        "v2-1_768-ema-pruned.safetensors",
        "safety_checker/model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ];

    fn fetched(files: &[&'static str], variant: Option<&str>) -> Vec<&'static str> {
        let patterns: Vec<Pattern> = patterns(variant).iter().map(|pattern| Pattern::new(pattern).unwrap()).collect();
        files.iter().copied().filter(|file| patterns.iter().any(|pattern| pattern.matches(file))).collect()
    }

    fn weights(files: Vec<&'static str>) -> Vec<&'static str> {
        files.into_iter().filter(|file| file.ends_with(".safetensors")).collect()
    }

    #[test]
    fn one_variant_of_the_weights_is_fetched_and_all_else_that_is_needed() {
        let plain = fetched(&FILES, None);
        assert_eq!(
            weights(plain.clone()),
            [
                "text_encoder/model.safetensors",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.safetensors"
            ]
        );
        assert_eq!(
            weights(fetched(&FILES, Some("fp16"))),
            [
                "text_encoder/model.fp16.safetensors",
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "vae/diffusion_pytorch_model.fp16.safetensors"
            ]
        );
        let others = FILES.iter().filter(|file| !file.ends_with(".safetensors") && **file != "README.md");
        assert!(others.clone().count() == 7 && others.into_iter().all(|file| plain.contains(file)));
    }

    #[test]
    fn shards_are_fetched() {
        let shards = [
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
        ];
        assert_eq!(fetched(&shards, None), shards);
    }
}
