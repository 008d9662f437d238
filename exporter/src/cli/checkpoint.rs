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
