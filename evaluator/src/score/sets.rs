//! Distances between sets of pictures, by their features.

use super::Result;
use crate::{
    document::Sample,
    frechet::{Gaussian, frechet_distance},
    kid::Subsets,
    protocol::{Kind, Measure},
    run::{Planned, State, reference},
};
use pleach_model::files::Sha256;

/// The distance of the subject's pictures, and of the baseline's, from what the measure compares with. Against the baseline itself
/// there is the subject's alone. None where there are too few.
///
/// # Errors
/// Features of different lengths.
pub fn distances(
    planned: &Planned,
    state: &State,
    measure: &Measure,
    samples: &[&Sample],
) -> Result<(Option<f64>, Option<f64>)> {
    let features = |pictures: Vec<Sha256>| -> Vec<&[f32]> {
        let seen = pictures.iter().filter_map(|picture| state.looked.get(&(*picture, measure.instrument.clone())));
        seen.filter_map(|seen| seen.as_ref().ok()?.features()).collect()
    };
    let drawn = |arm: &str| {
        let pictures = samples.iter().filter_map(|sample| sample.arms.get(arm)?.picture.as_ref()?.parse().ok());
        features(pictures.collect())
    };
    match reference(measure).and_then(|name| planned.plan.references.get(&name)) {
        Some(reference) => {
            let reference = features(reference.pictures.values().copied().collect());
            Ok((distance(measure, &drawn("subject"), &reference)?, distance(measure, &drawn("baseline"), &reference)?))
        }
        None => Ok((distance(measure, &drawn("subject"), &drawn("baseline"))?, None)),
    }
}

fn distance(measure: &Measure, a: &[&[f32]], b: &[&[f32]]) -> Result<Option<f64>> {
    let Some(dimensions) = a.first().map(|features| features.len()).filter(|_| a.len() >= 2 && b.len() >= 2) else {
        return Ok(None);
    };
    let (a, b) = (a.concat(), b.concat());
    Ok(Some(match &measure.kind {
        Kind::Kid { subsets, subset_size, .. } => {
            let subsets = Subsets { count: *subsets as usize, size: *subset_size as usize, seed: 0 };
            subsets.kernel_distance(&a, &b, dimensions)?.mean
        }
        _ => frechet_distance(&Gaussian::of_features(&a, dimensions)?, &Gaussian::of_features(&b, dimensions)?)?,
    }))
}
