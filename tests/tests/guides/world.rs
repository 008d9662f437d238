//! Guides whose commands work on the small world.

use crate::{
    page::{root, run},
    sd21::sentences,
};

fn guide(page: &str, blocks: usize, variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let encoder = folder.path().join("sentences");
    sentences(&encoder);
    std::os::unix::fs::symlink(root().join("assets"), folder.path().join("assets")).unwrap();
    let mut all = vec![("SENTENCES", encoder.to_str().unwrap().to_owned())];
    all.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    run(page, blocks, folder.path(), &all);
}

#[test]
fn every_command_of_the_guide_to_training_works() {
    guide("docs/train.md", 6, &[("PICTURES", "16"), ("STEPS", "2"), ("ALL_CAPTIONS", "true")]);
}

#[test]
fn every_command_of_the_guide_to_exporting_works() {
    guide("docs/export.md", 4, &[]);
}

#[test]
fn every_command_of_the_guide_to_devices_works() {
    guide("docs/device.md", 2, &[("REPEATS", "1")]);
}
