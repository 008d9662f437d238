//! `cargo xtask demo`: from nothing to a first picture.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{cargo, setup};

const PROMPT: &str = "a photo of a cat sitting on a red chair";

/// Sets up, exports the fixture checkpoint and draws with it; false as soon as a step fails.
pub fn run(root: &Path) -> Result<bool> {
    setup::run(&setup::Args::default(), root)?;
    let folder = root.join("target/demo");
    let (bundle, picture) = (folder.join("sd2.bundle"), folder.join("first.png"));
    let (bundle, picture) = (bundle.to_string_lossy(), picture.to_string_lossy());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if folder.join("first.png").exists() {
        std::fs::remove_file(folder.join("first.png")).context("cannot remove the last picture")?;
    }
    let start = Instant::now();
    let checkpoint = "tests/fixtures/sd2/pipeline";
    let steps: [(&str, &[&str]); 4] = [
        ("export", &["pleach-exporter", "pleach-export", checkpoint, "--out", &bundle, "--overwrite", "--verify"]),
        ("inspect", &["pleach-runtime", "pleach", "inspect", &bundle]),
        (
            "generate",
            &[
                "pleach-runtime",
                "pleach",
                "generate",
                &bundle,
                PROMPT,
                "--seed",
                "7",
                "--size",
                "128x96",
                "--out",
                &picture,
            ],
        ),
        ("read the recipe back", &["pleach-runtime", "pleach", "inspect", &picture]),
    ];
    for (name, arguments) in steps {
        let [package, binary, arguments @ ..] = arguments else { continue };
        println!("\n==> {name}: {binary} {}", arguments.join(" "));
        let mut command = cargo(root);
        command.args(["run", "--quiet", "--package", package, "--bin", binary, "--"]).args(arguments);
        if !command.status().context("cannot run cargo")?.success() {
            println!("==> {name} failed");
            return Ok(false);
        }
    }
    println!("\n==> a first picture: {picture} ({:.0} s with compilation)", start.elapsed().as_secs_f64());
    println!("    Its checkpoint holds random weights, so it is noise: the noise that diffusers draws for this seed.");
    println!("    Next: pleach export YOUR_DIFFUSERS_FOLDER --out my.bundle && pleach generate my.bundle \"a prompt\"");
    Ok(true)
}
