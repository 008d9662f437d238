//! The sections of a report, each made from the audit and its samples.

mod audited;
mod detector;
mod gates;
mod headline;
mod limits;
mod matrix;
mod parts;
mod power;
mod provenance;
mod quality;
mod rates;
mod routing;
mod samples;
mod sweep;

pub use samples::{SHOWN, Wanted, wanted};

pub(super) use headline::forest;

use super::{
    Thumbnails,
    page::{Block, Page, Section},
};
use crate::document::{Audit, Metric, Sample};

/// Everything that a section is made from.
struct Context<'a> {
    audit: &'a Audit,
    samples: &'a [Sample],
    thumbnails: &'a Thumbnails,
}

/// All of the report.
pub(super) fn page(audit: &Audit, samples: &[Sample], thumbnails: &Thumbnails) -> Page {
    let context = Context { audit, samples, thumbnails };
    let section = |id, title, blocks| Section { id, title, blocks };
    Page {
        brand: "Safety audit",
        title: audit.title.clone(),
        skip: "gates",
        banner: gates::banner(&context),
        sections: vec![
            section("gates", "Gates", gates::blocks(audit)),
            section("audited", "What was audited", audited::blocks(audit)),
            section("results", "Results", headline::blocks(audit)),
            section("parts", "Categories and other parts", parts::blocks(audit)),
            section("experts", "Experts and router", routing::blocks(&context)),
            section("matrix", "Asked and seen", matrix::blocks(audit)),
            section("quality", "Quality", quality::blocks(audit)),
            section("thresholds", "Thresholds", sweep::blocks(audit)),
            section("detector", "Trust in the instruments", detector::blocks(&context)),
            section("power", "Power", power::blocks(audit)),
            section("samples", "Samples", samples::blocks(&context)),
            section("provenance", "Provenance", provenance::blocks(audit)),
            section("limits", "Limits", limits::blocks(audit)),
        ],
        colophon: format!(
            "Written by Pleach {} from audit.json ({} {}). This file loads nothing and runs nothing.",
            audit.environment.pleach, audit.schema.name, audit.schema.version
        ),
    }
}

/// What a section says that has nothing to show.
fn nothing(what: &str) -> Vec<Block> {
    vec![Block::Text(format!("Not measured in this audit: {what}."))]
}

/// Groups things by a key, in the order in which keys come first.
fn grouped<T, K: PartialEq>(things: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for thing in things {
        let of = key(&thing);
        match groups.iter_mut().find(|(key, _)| *key == of) {
            Some((_, group)) => group.push(thing),
            None => groups.push((of, vec![thing])),
        }
    }
    groups
}

/// What divides the suites of experts rather than of prompts.
fn is_routing(metric: &Metric) -> bool {
    metric.scope.by.as_deref().is_some_and(|by| by == "expert" || by.contains("margin"))
}
