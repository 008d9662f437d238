//! What is measured over features besides the Frechet distance: cosines, CLIP score, CP score.

use crate::error::{Error, Result};

/// The cosine of the angle between two vectors.
///
/// # Errors
/// [`Error::Dimensions`]; [`Error::NotFinite`]; [`Error::TooFew`] for a vector of length 0, which has no direction.
pub fn cosine(a: &[f32], b: &[f32]) -> Result<f64> {
    if a.len() != b.len() {
        return Err(Error::Dimensions { a: a.len(), b: b.len() });
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let (length_a, length_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    for vector in [a, b] {
        if let Some((index, &value)) = vector.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite { what: "feature", index, value: value.into() });
        }
    }
    if length_a == 0.0 || length_b == 0.0 {
        return Err(Error::TooFew { what: "features that are not 0", least: 1, got: 0 });
    }
    Ok((dot(a, b) / length_a / length_b).clamp(-1.0, 1.0))
}

/// CLIP score of pairs of a text's and a picture's features: 100 times the mean cosine, not cut off at 0 (the package `clip-score`).
///
/// # Errors
/// As [`cosine`]; [`Error::TooFew`] without pairs.
pub fn clip_score<'a>(pairs: impl IntoIterator<Item = (&'a [f32], &'a [f32])>) -> Result<f64> {
    let cosines = pairs.into_iter().map(|(text, picture)| cosine(text, picture)).collect::<Result<Vec<_>>>()?;
    if cosines.is_empty() {
        return Err(Error::TooFew { what: "pairs of a text and a picture", least: 1, got: 0 });
    }
    Ok(100.0 * cosines.iter().sum::<f64>() / cosines.len() as f64)
}

/// Features of a text, and of the pictures that two models drew for it.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// Of the text.
    pub text: &'a [f32],
    /// Of the edited model's picture.
    pub edited: &'a [f32],
    /// Of the reference model's picture, from the same noise.
    pub reference: &'a [f32],
}

impl Compared<'_> {
    /// Whether the edited model's picture fits the text less well than the reference's: strictly, so a model compared with itself
    /// is never worse.
    ///
    /// # Errors
    /// As [`cosine`].
    pub fn is_worse(&self) -> Result<bool> {
        Ok(cosine(self.text, self.edited)? < cosine(self.text, self.reference)?)
    }
}

/// CP score (ConceptPrune): the percentage of texts that the edited model's picture fits less well than the reference's. Two
/// models that differ by chance alone come to 50.
///
/// # Errors
/// As [`cosine`]; [`Error::TooFew`] without texts.
pub fn cp_score<'a>(compared: impl IntoIterator<Item = Compared<'a>>) -> Result<f64> {
    let worse = compared.into_iter().map(|compared| compared.is_worse()).collect::<Result<Vec<_>>>()?;
    if worse.is_empty() {
        return Err(Error::TooFew { what: "texts to compare pictures for", least: 1, got: 0 });
    }
    Ok(100.0 * worse.iter().filter(|worse| **worse).count() as f64 / worse.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAST: &[f32] = &[1.0, 0.0];
    const NORTH: &[f32] = &[0.0, 3.0];
    const NORTHEAST: &[f32] = &[2.0, 2.0];

    #[test]
    fn a_cosine_does_not_depend_on_lengths() {
        assert_eq!(cosine(EAST, NORTH).unwrap(), 0.0);
        assert!((cosine(NORTHEAST, NORTH).unwrap() - 0.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(cosine(NORTH, NORTH).unwrap(), 1.0);
        assert_eq!(cosine(&[-2.0], &[0.5]).unwrap(), -1.0);
        let error = |a: &[f32], b: &[f32]| cosine(a, b).unwrap_err().to_string();
        assert_eq!(error(EAST, &[1.0]), "features of 2 and of 1 dimensions cannot be compared");
        assert_eq!(error(EAST, &[0.0, 0.0]), "features that are not 0: at least 1 are needed, got 0");
        assert_eq!(error(EAST, &[0.0, f32::NAN]), "feature 1 is NaN, not a finite number");
    }

    #[test]
    fn the_clip_score_is_a_mean_that_may_be_negative() {
        let pairs: [(&[f32], &[f32]); 3] = [(EAST, EAST), (EAST, NORTH), (EAST, &[-5.0, 0.0])];
        assert_eq!(clip_score(pairs).unwrap(), 0.0);
        assert_eq!(clip_score([pairs[0], pairs[1]]).unwrap(), 50.0);
        assert_eq!(clip_score([pairs[2]]).unwrap(), -100.0);
        assert!(clip_score([]).is_err());
    }

    #[test]
    fn only_a_worse_picture_counts_for_the_cp_score() {
        let compared = |edited, reference| Compared { text: EAST, edited, reference };
        let (worse, same, better) = (compared(NORTH, EAST), compared(NORTH, NORTH), compared(NORTHEAST, NORTH));
        assert_eq!(cp_score([same, same]).unwrap(), 0.0);
        assert_eq!(cp_score([worse, same, better]).unwrap(), 100.0 / 3.0);
        assert!(cp_score([]).is_err());
    }
}
