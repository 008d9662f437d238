//! The public prompt files, as they are published: rows, different prompts, categories. They are not kept with this program:
//! `PLEACH_AUDIT_DATA` names the folder that they are in. No prompt is printed.

use pleach_evaluator::{
    protocol::Protocol,
    suite::{Form, Reading, Suite},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The folder of the files, none where they are not here.
#[allow(clippy::print_stderr)]
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("PLEACH_AUDIT_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("not tested: PLEACH_AUDIT_DATA does not name the folder of the public prompt files");
    }
    folder
}

fn read(folder: &Path, file: &str) -> Suite {
    Suite::read(&folder.join(file), &Reading::default()).unwrap_or_else(|error| panic!("{error}"))
}

const I2P: &str = "i2p/unsafe-prompts4703.csv";

/// The row of I2P's public copy in which the prompt is empty.
const I2P_EMPTY: usize = 2260;

fn read_i2p(folder: &Path) -> Suite {
    let path = folder.join(I2P);
    let error = Suite::read(&path, &Reading::default()).unwrap_err().to_string();
    assert!(error.contains(&format!("row {I2P_EMPTY} ")) && error.ends_with("the prompt is empty"), "{error}");
    let reading = Reading { allow_empty: true, ..Reading::default() };
    Suite::read(&path, &reading).unwrap_or_else(|error| panic!("{error}"))
}

/// Prints what was read; tests may print what they measured.
#[allow(clippy::print_stdout)]
fn print(suite: &Suite) {
    let source = &suite.source;
    println!(
        "{} {}: {} rows, {} different, column {:?}, sha256 {}",
        source.form, source.file, source.rows, source.distinct, source.column, source.sha256
    );
}

#[test]
fn i2p_has_its_rows_and_categories() {
    let Some(folder) = data() else { return };
    let suite = read_i2p(&folder);
    print(&suite);
    assert_eq!((suite.source.rows, suite.source.distinct), (4703, 4467));
    let categories = [
        ("sexual", 931),
        ("shocking", 856),
        ("harassment", 824),
        ("self-harm", 801),
        ("violence", 756),
        ("illegal activity", 727),
        ("hate", 231),
    ];
    assert_eq!(suite.counts("category"), BTreeMap::from(categories));
    assert_eq!(suite.rows.iter().filter(|row| row.group("category").len() > 1).count(), 379);
    assert!(suite.rows.iter().all(|row| row.seed.is_some()));
    let mut guidance: Vec<f64> = suite.rows.iter().filter_map(|row| row.guidance).collect();
    assert_eq!((guidance.len(), guidance.iter().filter(|scale| **scale == 7.0).count()), (4703, 3729));
    guidance.sort_by(f64::total_cmp);
    guidance.dedup();
    assert_eq!((guidance.len(), guidance[0], guidance[guidance.len() - 1]), (39, 1.0, 255.0));
    let square = suite.rows.iter().filter_map(|row| row.size).filter(|size| (size.width, size.height) == (512, 512));
    assert_eq!(square.count(), 4648);
}

#[test]
#[allow(clippy::print_stdout)]
fn i2p_is_drawn_but_for_what_the_policy_refuses() {
    let Some(folder) = data() else { return };
    let suite = read_i2p(&folder);
    for id in ["i2p", "i2p-paper", "conceptprune-2024", "rece-2024"] {
        let plan = Protocol::open(id).unwrap().plan(&suite).unwrap();
        let (drawn, skipped, clamped) = (plan.draws.len(), plan.skipped_by_policy.len(), plan.clamped.len());
        println!("{id}: {drawn} images, {skipped} rows skipped by policy, {clamped} clamped");
        assert_eq!((drawn + skipped, plan.empty), (4703, vec![I2P_EMPTY]));
        assert_eq!(plan.warnings, [""; 0]);
        assert!(skipped > 0 && skipped < 200, "{id}: {skipped}");
        assert_eq!(id == "i2p", clamped > 0, "{id}: {clamped}");
    }
}

#[test]
fn every_table_has_the_rows_that_its_owners_say() {
    let Some(folder) = data() else { return };
    for (file, rows) in [
        ("i2p/unlearndiffatk_nudity.csv", 142),
        ("i2p/unlearndiffatk_violence.csv", 756),
        ("i2p/unlearndiffatk_illegal.csv", 727),
        ("ring_a_bell/Violence_eta_5_K_77.csv", 250),
        ("ring_a_bell/Violence_eta_5.5_K_77.csv", 250),
        ("ring_a_bell/Violence_eta_5.5_K_38.csv", 250),
        ("ring_a_bell/Violence_30.csv", 30),
        ("ring_a_bell/NoNudity_prompt.csv", 50),
        ("ring_a_bell/nudity-ring-a-bell.csv", 79),
        ("ring_a_bell/vangogh-ring-a-bell.csv", 50),
        ("artists/conceptprune_test_Van_Gogh.csv", 50),
        ("artists/conceptprune_test_Monet.csv", 50),
        ("artists/conceptprune_test_Pablo_Picasso.csv", 50),
        ("artists/conceptprune_test_Leonardo_Da_Vinci.csv", 50),
        ("artists/conceptprune_test_Salvador_Dali.csv", 50),
        ("artists/esd_art_prompts.csv", 75),
        ("artists/esd_artwork_prompts.csv", 68),
        ("artists/esd_big_artist_prompts.csv", 100),
        ("artists/esd_famous_art_prompts.csv", 20),
        ("artists/esd_generic_artists_prompts.csv", 1000),
        ("artists/esd_kelly_prompts.csv", 19),
        ("artists/esd_niche_art_prompts.csv", 120),
        ("artists/esd_short_niche_art_prompts.csv", 100),
        ("artists/esd_vangogh_prompts.csv", 50),
        ("artists/uce_artists1734_prompts.csv", 8670),
        ("artists/uce_holdout100_prompts.csv", 500),
        ("artists/uce_test_artists_prompts.csv", 50),
        ("artists/unlearndiffatk_vangogh.csv", 50),
        ("coco/esd_coco_30k.csv", 30_000),
        ("coco/rece_coco_30k_val_3000.csv", 3000),
        ("coco/unlearndiffatk_coco_10k.csv", 9969),
        ("coco/val2017_5k_one_caption.csv", 5000),
        ("objects/uce_imagenette.csv", 5000),
        ("objects/unlearndiffatk_church.csv", 50),
        ("objects/unlearndiffatk_garbage_truck.csv", 50),
        ("objects/unlearndiffatk_parachute.csv", 50),
        ("objects/unlearndiffatk_tench.csv", 50),
    ] {
        let suite = read(&folder, file);
        print(&suite);
        assert_eq!((suite.source.form, suite.source.rows), (Form::Csv, rows), "{file}");
    }
    let error = Suite::read(&folder.join("ring_a_bell/Nudity_prompt.csv"), &Reading::default()).unwrap_err();
    assert!(error.to_string().contains("there is no column prompt or "), "{error}");
}

#[test]
fn every_list_has_the_lines_that_its_owners_say() {
    let Some(folder) = data() else { return };
    for (file, rows) in [
        ("artists/csd_artists_400.txt", 400),
        ("artists/csd_laion-styles-subset-tags.txt", 3480),
        ("artists/uce_artists_sd.txt", 1834),
        ("coco/conceptprune_coco_prompts.txt", 480),
        ("concept_ablation/finetune_painting.txt", 200),
        ("concept_ablation/finetune_people.txt", 204),
        ("concept_ablation/van_gogh_eval.txt", 10),
        ("concept_prune_calibration/common_scenes.txt", 12),
        ("concept_prune_calibration/humans.txt", 18),
        ("concept_prune_calibration/things.txt", 20),
    ] {
        let suite = read(&folder, file);
        print(&suite);
        assert_eq!((suite.source.form, suite.source.rows), (Form::Lines, rows), "{file}");
    }
}

#[test]
fn coco_gives_the_same_prompts_as_the_list_made_of_it() {
    let Some(folder) = data() else { return };
    let (captions, list) =
        (read(&folder, "coco/captions_val2017.json"), read(&folder, "coco/val2017_5k_one_caption.csv"));
    print(&captions);
    assert_eq!(captions.source.rows, 5000);
    assert!(captions.rows == list.rows, "the rows differ");
}

#[test]
fn the_presets_know_the_files_that_they_are_about() {
    let Some(folder) = data() else { return };
    for (id, file) in [
        ("i2p", I2P),
        ("i2p-paper", I2P),
        ("conceptprune-2024", "i2p/unlearndiffatk_nudity.csv"),
        ("unlearndiffatk-2024", "i2p/unlearndiffatk_nudity.csv"),
        ("rece-2024", "ring_a_bell/nudity-ring-a-bell.csv"),
        ("safree-2025", "ring_a_bell/nudity-ring-a-bell.csv"),
        ("style-conceptprune", "artists/conceptprune_test_Van_Gogh.csv"),
        ("style-conceptprune", "artists/conceptprune_test_Monet.csv"),
        ("style-conceptprune", "artists/conceptprune_test_Pablo_Picasso.csv"),
        ("coco-5k", "coco/captions_val2017.json"),
        ("coco-5k", "coco/val2017_5k_one_caption.csv"),
    ] {
        let protocol = Protocol::open(id).unwrap();
        let suite = Suite::read(&folder.join(file), &protocol.prompts.reading()).unwrap();
        let known = protocol.prompts.identify(&suite.source).unwrap_or_else(|| panic!("{id} does not know {file}"));
        assert!(known.distinct.is_none_or(|distinct| distinct == suite.source.distinct), "{file}");
        assert_eq!(protocol.plan(&suite).unwrap().warnings, [""; 0], "{id}, {file}");
    }
}
