//! Which files of a repository make a pipeline.

/// What drawing reads of an ONNX pipeline. Checkpoints that lie in the same repository are left there.
pub const BUNDLE_FILES: [&str; 8] = [
    "model_index.json",
    "*.json",
    "tokenizer/*",
    "text_encoder/*.onnx*",
    "unet/*.onnx*",
    "vae_decoder/*.onnx*",
    "vae_encoder/*.onnx*",
    "router/*",
];

/// What an export reads of a diffusers pipeline: of the weights, one variant (`fp16`). `?` stands for a character that a name may
/// have or not have in all repositories, so that neither single files nor shards are asked for in vain.
pub fn checkpoint_files(variant: Option<&str>) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::Patterns;

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

    fn fetched(files: &[&str], variant: Option<&str>) -> Vec<String> {
        // Of the names without wildcards, those that the list at hand has.
        let asked = |name: &String| name.contains(['*', '?']) || files.contains(&name.as_str());
        let patterns: Vec<String> = checkpoint_files(variant).into_iter().filter(asked).collect();
        Patterns::new(&patterns, &[""; 0]).unwrap().select(files.iter().copied()).unwrap()
    }

    fn weights(files: Vec<String>) -> Vec<String> {
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
        assert!(others.clone().count() == 7 && others.into_iter().all(|file| plain.iter().any(|other| other == file)));
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

    #[test]
    fn bundles_leave_checkpoints_where_they_are() {
        let files =
            ["model_index.json", "unet/model.onnx", "unet/model.onnx_data", "unet/diffusion_pytorch_model.safetensors"];
        let found = Patterns::new(&BUNDLE_FILES, &[""; 0]).unwrap().select(files.into_iter()).unwrap();
        assert_eq!(found, files[..3]);
    }
}
