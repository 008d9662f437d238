//! `scheduler_config.json` of a diffusers pipeline.

use super::ScheduleError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a diffusers scheduler stores. A key that the file lacks takes the default of the diffusers class that reads it,
/// which depends on the sampler chosen, so every field is optional here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// The repository's own sampler: `PNDMScheduler`.
    #[serde(rename = "_class_name", skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Noise levels of the model's training; 1000 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_train_timesteps: Option<usize>,
    /// First beta; 0.0001 by default, 0.00085 for Stable Diffusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// Last beta; 0.02 by default, 0.012 for Stable Diffusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_end: Option<f64>,
    /// `linear` (the default), `scaled_linear` or `squaredcos_cap_v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_schedule: Option<String>,
    /// All betas; with them the four fields above are not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_betas: Option<Vec<f32>>,
    /// Rescale the betas so that the last noise level holds no signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale_betas_zero_snr: Option<bool>,
    /// What the network predicts: `epsilon` (the default), `v_prediction` or `sample`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction_type: Option<String>,
    /// `leading` (the default of PNDM and DDIM), `linspace` (of the others) or `trailing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_spacing: Option<String>,
    /// Added to every timestep of `leading` spacing; 0 by default, 1 for Stable Diffusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_offset: Option<usize>,
    /// PNDM, DDIM: whether the sample after the last step is free of noise, or as noisy as timestep 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_alpha_to_one: Option<bool>,
    /// PNDM: leave out the Runge-Kutta warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_prk_steps: Option<bool>,
    /// DPM-Solver, Euler: the noise levels of Karras et al.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_karras_sigmas: Option<bool>,
    /// Every other key, as it stands in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl SchedulerConfig {
    /// Parses the text of a `scheduler_config.json`, with the bare `Infinity`, `-Infinity` and `NaN` that Python's
    /// `json` writes and JSON does not have (diffusers stores `"lambda_min_clipped": -Infinity`).
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        Ok(serde_json::from_str(&quote_non_finite(text))?)
    }

    /// Refuses a value of `key` other than `supported`; a key that is missing or null has its default.
    pub(crate) fn require(&self, reader: &'static str, key: &str, supported: &[Value]) -> Result<(), ScheduleError> {
        match self.other.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if supported.contains(value) => Ok(()),
            Some(value) => Err(ScheduleError::unsupported(reader, key, value, supported)),
        }
    }
}

/// `text` with the non-finite numbers outside strings turned into strings.
fn quote_non_finite(text: &str) -> Cow<'_, str> {
    const NON_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !NON_FINITE.iter().any(|token| text.contains(token)) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let token = NON_FINITE.iter().find(|token| !in_string && rest.starts_with(**token));
        if let Some(token) = token {
            quoted.extend(["\"", token, "\""]);
            rest = &rest[token.len()..];
            continue;
        }
        in_string ^= character == '"' && !escaped;
        escaped = in_string && character == '\\' && !escaped;
        quoted.push(character);
        rest = &rest[character.len_utf8()..];
    }
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_json() {
        let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "note \" -Infinity": "NaN \\",
            "lambda_min_clipped": -Infinity, "trained_betas": null, "unknown": [Infinity, NaN]}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert_eq!(config.other["lambda_min_clipped"], "-Infinity");
        assert_eq!(config.other["note \" -Infinity"], "NaN \\");
        assert_eq!(config.trained_betas, None);
        let error = SchedulerConfig::from_json(r#"{"beta_start": NaN}"#).unwrap_err();
        assert_eq!(error.to_string(), "scheduler config is not what diffusers writes");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("invalid type: string \"NaN\", expected f64"), "{cause}");
    }

    #[test]
    fn written_and_read_again() {
        let config = SchedulerConfig {
            class_name: Some("PNDMScheduler".to_owned()),
            beta_start: Some(0.00085),
            steps_offset: Some(1),
            ..SchedulerConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(json, r#"{"_class_name":"PNDMScheduler","beta_start":0.00085,"steps_offset":1}"#);
        assert_eq!(SchedulerConfig::from_json(&json).unwrap(), config);
    }
}
