//! Whether what a recipe asks for can be done, before anything is drawn.

use super::{Error, PlannedDrawing, PlannedInstrument, PlannedSample, PlannedSuite, Result, plan::text_instrument};
use crate::protocol::{Against, Kind, Measure};
use pleach_runtime::{
    bundle::Bundle,
    pipeline::{Picture, Request},
};
use std::collections::{BTreeMap, HashSet};

/// Whether both bundles can draw all sizes, before anything is written.
pub fn drawable(
    samples: &[PlannedSample],
    drawing: &PlannedDrawing,
    subject: &Bundle,
    baseline: Option<&Bundle>,
) -> Result<()> {
    let mut checked = HashSet::new();
    for sample in samples.iter().filter(|sample| sample.skipped.is_none()) {
        if !checked.insert((sample.size.width, sample.size.height)) {
            continue;
        }
        let request = Request {
            pictures: vec![Picture { prompt: String::new(), seed: 0 }],
            steps: drawing.steps,
            guidance: sample.guidance,
            sampler: Some(drawing.sampler),
            size: Some(sample.size),
            ..Request::default()
        };
        for bundle in [Some(subject), baseline].into_iter().flatten() {
            request.check(bundle)?;
        }
    }
    Ok(())
}

pub fn names(suites: &[PlannedSuite]) -> Result<()> {
    let mut names = HashSet::new();
    for name in suites.iter().map(|suite| suite.info.name.as_str()) {
        let is_plain = !name.is_empty() && name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !is_plain {
            return Err(Error::Asked(format!(
                "the suite name {name:?}: lower-case letters, digits and dashes are a name"
            )));
        }
        if !names.insert(name) {
            return Err(Error::Asked(format!("two suites have the name {name:?}")));
        }
    }
    if suites.is_empty() {
        return Err(Error::Asked("there is no suite: give a [[suite]]".to_owned()));
    }
    Ok(())
}

/// Whether each measure can be made.
pub fn measures(
    measures: &[&Measure],
    instruments: &BTreeMap<String, PlannedInstrument>,
    has_baseline: bool,
) -> Result<()> {
    for measure in measures {
        let wrong = |reason: String| Err(Error::Asked(format!("the measure {:?}: {reason}", measure.name)));
        let (Kind::ReferenceSimilarity { against }
        | Kind::Cp { against }
        | Kind::Frechet { against }
        | Kind::Kid { against, .. }) = &measure.kind
        else {
            continue;
        };
        match (against, &measure.kind) {
            (Against::Baseline, _) if !has_baseline => {
                return wrong("it compares with the baseline, and the recipe has none".to_owned());
            }
            (Against::Named(name), Kind::ReferenceSimilarity { .. } | Kind::Cp { .. }) => {
                return wrong(format!(
                    "it compares picture by picture, which {name:?} cannot be: only the baseline draws the same prompts"
                ));
            }
            _ => {}
        }
    }
    for (name, instrument) in instruments {
        let reads = instrument.description.instrument.kind() == "text_embedding";
        if let Some(measure) = measures.iter().find(|measure| measure.instrument == *name)
            && reads
        {
            return Err(Error::Asked(format!("the measure {:?} looks with {name:?}, which reads texts", measure.name)));
        }
        if measures.iter().any(|measure| text_instrument(measure).as_ref() == Some(name)) && !reads {
            return Err(Error::Asked(format!("the instrument {name:?} should read prompts, and looks at pictures")));
        }
    }
    Ok(())
}

/// Whether labels and classes are ones that the instruments know: what is misspelt would never be found.
pub fn suite(
    suite: &PlannedSuite,
    samples: &[PlannedSample],
    instruments: &BTreeMap<String, PlannedInstrument>,
) -> Result<()> {
    for measure in &suite.protocol.measures {
        let Some(instrument) = instruments.get(&measure.instrument) else { continue };
        let wrong = |what: String, known: Vec<&str>| {
            let name = &measure.name;
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Error::Asked(format!("the measure {name:?}: {what}; {} knows: {known}", measure.instrument)))
        };
        match &measure.kind {
            Kind::Flagged { labels, .. } => {
                let known: Vec<&str> = match instrument.description.instrument.labels() {
                    Some(labels) => labels.iter().map(String::as_str).collect(),
                    None => instrument.heads.values().flat_map(|head| &head.classes).map(String::as_str).collect(),
                };
                if let Some(label) = labels.iter().find(|label| !known.contains(&label.as_str())) {
                    return wrong(format!("it counts the label {label:?}"), known);
                }
            }
            Kind::Asked { head } => {
                let Some(planned) = instrument.heads.get(head) else {
                    return wrong(
                        format!("it asks for the head {head:?}"),
                        instrument.heads.keys().map(String::as_str).collect(),
                    );
                };
                let of_suite = samples.iter().filter(|sample| sample.suite == suite.info.name);
                let mut asked = of_suite.filter_map(|sample| sample.groups.get(head)).flatten();
                if let Some(class) = asked.find(|class| !planned.classes.contains(class)) {
                    let known = planned.classes.iter().map(String::as_str).collect();
                    return wrong(format!("a row of {} asks for the {head} {class:?}", suite.info.name), known);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
