//! Over the random pipeline of the fixtures.

use super::*;
use crate::{
    cli::{report, route},
    prune::read_routes,
    testing,
};
use clap::Parser;
use pleach_console::ConsoleArgs;
use std::fs;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    prune: PruneArgs,
}

#[derive(Parser)]
struct RouteCli {
    #[command(flatten)]
    route: route::RouteArgs,
}

#[derive(Parser)]
struct ReportCli {
    #[command(flatten)]
    report: report::FamilyReportArgs,
}

/// What `route` prints.
fn routed(words: &[&str]) -> anyhow::Result<serde_json::Value> {
    let (printer, captured) = Printer::captured(ConsoleArgs::default().settings());
    let arguments = RouteCli::try_parse_from([&["route", "--device", "cpu", "--json"], words].concat())?.route;
    route::run(&arguments, &printer)?;
    Ok(serde_json::from_str(&captured.out())?)
}

/// What `report` prints.
fn reported(words: &[&str]) -> anyhow::Result<serde_json::Value> {
    let (printer, captured) = Printer::captured(ConsoleArgs::default().settings());
    report::run(&ReportCli::try_parse_from([&["report", "--json"], words].concat())?.report, &printer)?;
    Ok(serde_json::from_str(&captured.out())?)
}

/// What the command returns, and prints.
fn outcome(bench: &testing::Bench, out: &Path, more: &[&str]) -> (anyhow::Result<ExitCode>, String) {
    let [out, teacher] = [out, &testing::pipeline()].map(|path| path.display().to_string());
    let encoder = format!("sentences={:?}", bench.sentence_encoder().display().to_string());
    let words = ["prune", "--out", &out, "--teacher", &teacher, "--device", "cpu", "--set", &encoder];
    let arguments = Cli::try_parse_from([&words, more].concat()).unwrap().prune;
    let (printer, captured) = Printer::captured(ConsoleArgs::default().settings());
    (prune(&arguments, &printer, &Interrupt::manual()), captured.out())
}

fn refused(bench: &testing::Bench, out: &Path, more: &[&str]) -> String {
    format!("{:#}", outcome(bench, out, more).0.unwrap_err())
}

#[test]
fn router_and_experts_in_one_go() {
    let (bench, out) = (testing::Bench::new(), tempfile::tempdir().unwrap());
    let pictures = bench.pictures().display().to_string();
    let small = ["aptp.batch=3", "aptp.warm_start=1", "aptp.loop.steps=3", "resolution=16"].map(|set| ["--set", set]);
    let more = [&["--captions", &pictures, "--experts", "2", "--target", "0.9", "--json"][..], small.as_flattened()];
    let (result, printed) = outcome(&bench, out.path(), &more.concat());
    assert_eq!(result.unwrap(), ExitCode::Done);
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let shares: Vec<f64> = (0..2).map(|i| report["experts"][i]["share"].as_f64().unwrap()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let ratios = |of: &serde_json::Value| of["macs_ratio"]["exact"].as_f64().unwrap();
    let mean: f64 = shares.iter().enumerate().map(|(i, share)| share * ratios(&report["experts"][i])).sum();
    assert!((report["mean_macs_ratio"]["exact"].as_f64().unwrap() - mean).abs() < 1e-9);
    let routes = read_routes(&out.path().join("routes.jsonl")).unwrap();
    assert_eq!(routes.len(), 6);
    let family = FamilyFolder::open(&out.path().join("family")).unwrap();
    assert!(routes.iter().all(|route| family.manifest().expert(&route.expert).is_some()));
    // The base is found from the family's folder.
    let base = out.path().join("family").join(&family.manifest().base.source);
    assert!(base.join("model_index.json").is_file(), "{}", base.display());

    // Routed again, a caption goes where it went; alone, too.
    let root = out.path().join("family").display().to_string();
    let again = out.path().join("again.jsonl").display().to_string();
    let printed = routed(&[&root, "--captions", &pictures, "--out", &again]).unwrap();
    assert_eq!(printed["captions"], 6);
    assert_eq!(read_routes(Path::new(&again)).unwrap(), routes);
    let alone = routed(&[&root, &routes[3].text]).unwrap();
    assert_eq!(alone[0]["expert"].as_str(), Some(routes[3].expert.as_str()));
    assert!(routed(&[&root]).unwrap_err().to_string().contains("nothing to route"));
    assert!(routed(&[&root, "a star", "--captions", &pictures]).is_err());

    // The report takes the routes beside the family, and may be made again.
    for _ in 0..2 {
        let printed = reported(&[&root]).unwrap();
        let prompts: u64 = (0..2).map(|i| printed["experts"][i]["prompts"].as_u64().unwrap()).sum();
        assert_eq!(prompts, 6);
    }
    let report = out.path().join("report");
    let text = fs::read_to_string(report.join("report.md")).unwrap();
    assert!(routes.iter().filter(|route| text.contains(&route.text)).count() >= 2, "{text}");
    for picture in ["experts.png", "margins.png"] {
        assert!(image::open(report.join(picture)).unwrap().width() > 100, "{picture}");
    }
    let message = format!("{:#}", reported(&[&root, "--out", &pictures]).unwrap_err());
    assert!(message.contains("is not empty"), "{message}");
    assert!(Path::new(&pictures).join("metadata.jsonl").is_file(), "what was there is gone");
}

#[test]
fn rules_cut_what_is_asked_for() {
    let (bench, tmp) = (testing::Bench::new(), tempfile::tempdir().unwrap());
    let pictures = bench.pictures().display().to_string();
    let data = ["--captions", &pictures, "--set", "resolution=16", "--set", "cut.taylor.batch=2"];
    for method in ["magnitude", "taylor", "random", "uniform"] {
        let (out, words) =
            (tmp.path().join(method), ["--method", method, "--target", "0.9", "--target", "0.7", "--json"]);
        let (result, printed) = outcome(&bench, &out, &[&words[..], &data].concat());
        assert_eq!(result.unwrap(), ExitCode::Done, "{method}");
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        for (i, target) in [0.9, 0.7].into_iter().enumerate() {
            let found = report["experts"][i]["macs_ratio"]["exact"].as_f64().unwrap();
            assert!((found - target).abs() < 0.02, "{method}: {found} is not {target}");
        }
        let family = FamilyFolder::open(&out.join("family")).unwrap();
        assert!(family.router().is_none());
        let root = out.join("family").display().to_string();
        assert!(routed(&[&root, "a star"]).unwrap_err().to_string().contains("has no router"));
        assert!(reported(&[&root]).unwrap()["experts"][0]["prompts"].is_null());
        assert!(!out.join("report/margins.png").exists());
        assert_eq!(family.manifest().experts[0].made[0].method, method);
    }
}

#[test]
fn what_cannot_be_asked_for() {
    let (bench, tmp) = (testing::Bench::new(), tempfile::tempdir().unwrap());
    let out = tmp.path().join("out");
    let refused = |more: &[&str]| refused(&bench, &out, more);
    for target in ["0", "-0.2", "1.5", "NaN"] {
        let target = format!("--target={target}");
        assert!(refused(&[&target]).contains("above 0, at most 1"), "aptp {target}");
        assert!(refused(&["--method", "uniform", &target]).contains("above 0, at most 1"), "uniform {target}");
    }
    assert!(refused(&["--target", "0.5", "--target", "0.6"]).contains("one --target"));
    assert!(refused(&["--method", "random", "--experts", "3", "--target", "0.6"]).contains("3 experts and 1 targets"));
    assert!(refused(&["--method", "uniform", "--target", "0.01"]).contains("never pruned"));
    assert!(refused(&["--set", "aptp.expert=3"]).contains("aptp.expert"));
    assert!(!out.exists(), "something was written");
}

#[test]
fn captions_that_no_router_can_be_learnt_from() {
    let (bench, tmp) = (testing::Bench::new(), tempfile::tempdir().unwrap());
    let data = tmp.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["0", "1", "2"] {
        let picture = bench.pictures().join("000000.png");
        fs::copy(picture, data.join(format!("{name}.png"))).unwrap();
    }
    let refused = |captions: [&str; 3], experts: &str| {
        let line = |(i, text)| format!("{}\n", json!({ "file_name": format!("{i}.png"), "text": text }));
        let lines: String = captions.iter().enumerate().map(line).collect();
        fs::write(data.join("metadata.jsonl"), lines).unwrap();
        let captions = data.display().to_string();
        let more = ["--captions", &captions, "--experts", experts, "--set", "resolution=16"];
        refused(&bench, &tmp.path().join("out"), &more)
    };
    assert!(refused(["a star"; 3], "2").contains("all captions are the same"));
    let message = refused(["a star", "a ring", "a star"], "3");
    assert!(message.contains("2 different captions, for 3 experts"), "{message}");
}
