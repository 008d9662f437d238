//! Which files of a repository are wanted, and which are never fetched.

use glob::Pattern;

use crate::error::{Error, Result};

/// The formats that are fetched: data that cannot run code. Never `.bin`, `.ckpt` or `.pt`, which are pickles.
pub const ALLOWED_EXTENSIONS: [&str; 7] = ["safetensors", "json", "jsonl", "txt", "csv", "onnx", "onnx_data"];

/// Patterns as Hugging Face's `allow_patterns`: `*` also matches `/`. A pattern without `*`, `?` or `[` names one file,
/// which must be there.
pub(crate) struct Patterns {
    names: Vec<String>,
    globs: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

fn is_allowed(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| ALLOWED_EXTENSIONS.contains(&extension))
}

impl Patterns {
    pub(crate) fn new(patterns: &[impl AsRef<str>], excluded: &[impl AsRef<str>]) -> Result<Self> {
        let (globs, names): (Vec<&str>, Vec<&str>) =
            patterns.iter().map(AsRef::as_ref).partition(|pattern| pattern.contains(['*', '?', '[']));
        if let Some(refused) = names.iter().find(|name| !is_allowed(name)) {
            return Err(Error::Refused((*refused).to_owned()));
        }
        let compile = |pattern: &str| {
            Pattern::new(pattern).map_err(|source| Error::Pattern { pattern: pattern.to_owned(), source })
        };
        Ok(Self {
            names: names.into_iter().map(str::to_owned).collect(),
            globs: globs.into_iter().map(compile).collect::<Result<_>>()?,
            excluded: excluded.iter().map(AsRef::as_ref).map(compile).collect::<Result<_>>()?,
        })
    }

    fn wants(&self, file: &str) -> bool {
        is_allowed(file)
            && !self.excluded.iter().any(|glob| glob.matches(file))
            && (self.names.iter().any(|name| name == file) || self.globs.iter().any(|glob| glob.matches(file)))
    }

    /// The wanted ones of these files; or the names that are not among them, or all patterns if none matches.
    pub(crate) fn select<'a>(
        &self,
        files: impl Iterator<Item = &'a str>,
    ) -> std::result::Result<Vec<String>, Vec<String>> {
        let selected: Vec<String> = files.filter(|file| self.wants(file)).map(str::to_owned).collect();
        let missing: Vec<String> = self.names.iter().filter(|name| !selected.contains(name)).cloned().collect();
        match (selected.is_empty(), missing.is_empty()) {
            (false, true) => Ok(selected),
            (true, true) => Err(self.globs.iter().map(|glob| glob.as_str().to_owned()).collect()),
            (_, false) => Err(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 6] = [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/model.onnx_data",
        "v2-1.ckpt",
    ];

    fn select(patterns: &[&str]) -> std::result::Result<Vec<String>, Vec<String>> {
        Patterns::new(patterns, &[""; 0]).unwrap().select(FILES.into_iter())
    }

    #[test]
    fn globs_cross_folders_and_leave_pickles_out() {
        assert_eq!(
            select(&["*"]).unwrap(),
            [
                "model_index.json",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "unet/model.onnx_data"
            ]
        );
        assert_eq!(select(&["unet/*.json", "vae/*"]).unwrap(), ["unet/config.json"]);
    }

    #[test]
    fn named_files_must_be_there() {
        assert_eq!(select(&["model_index.json"]).unwrap(), ["model_index.json"]);
        assert_eq!(select(&["*.json", "vae/config.json"]).unwrap_err(), ["vae/config.json"]);
        assert_eq!(select(&["*.ckpt", "vae/*"]).unwrap_err(), ["*.ckpt", "vae/*"]);
    }

    #[test]
    fn what_is_excluded_is_not_there() {
        let select = |excluded: &[&str]| Patterns::new(&["unet/*"], excluded).unwrap().select(FILES.into_iter());
        assert_eq!(
            select(&["*.onnx*", "vae/*"]).unwrap(),
            ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
        );
        assert_eq!(select(&["*"]).unwrap_err(), ["unet/*"]);
        let named = Patterns::new(&["unet/config.json"], &["*.json"]).unwrap();
        assert_eq!(named.select(FILES.into_iter()).unwrap_err(), ["unet/config.json"]);
    }

    #[test]
    fn pickles_are_refused_by_name() {
        let error = Patterns::new(&["unet/diffusion_pytorch_model.bin"], &[""; 0]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "`unet/diffusion_pytorch_model.bin` is not fetched: only safetensors, json, jsonl, txt, csv, onnx, onnx_data are, because \
             other formats can run code when they are read; convert it where you trust it: \
             pipeline.save_pretrained(folder, safe_serialization=True)"
        );
        assert!(matches!(Patterns::new(&["a["], &[""; 0]), Err(Error::Pattern { .. })));
    }
}
