//! Names of the samplers.

use super::SamplerError;
use crate::schedule::{ScheduleError, SchedulerConfig};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A sampler, as a person names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SamplerKind {
    /// Pseudo linear multistep (PLMS): `PNDMScheduler` without its Runge-Kutta warm-up.
    #[serde(rename = "pndm")]
    Pndm,
    /// `DDIMScheduler`.
    #[serde(rename = "ddim")]
    Ddim,
    /// DPM-Solver++ of second order, multistep: `DPMSolverMultistepScheduler`.
    #[serde(rename = "dpmpp_2m")]
    Dpmpp2m,
    /// The same over the noise levels of Karras et al.
    #[serde(rename = "dpmpp_2m_karras")]
    Dpmpp2mKarras,
    /// `EulerDiscreteScheduler`.
    #[serde(rename = "euler")]
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    #[serde(rename = "euler_a")]
    EulerA,
}

impl SamplerKind {
    /// All samplers.
    pub const ALL: [Self; 6] = [Self::Pndm, Self::Ddim, Self::Dpmpp2m, Self::Dpmpp2mKarras, Self::Euler, Self::EulerA];

    /// The sampler that a repository's `scheduler_config.json` names.
    pub fn from_config(config: &SchedulerConfig) -> Result<Self, SamplerError> {
        const CLASSES: [(&str, SamplerKind); 5] = [
            ("PNDMScheduler", SamplerKind::Pndm),
            ("DDIMScheduler", SamplerKind::Ddim),
            ("DPMSolverMultistepScheduler", SamplerKind::Dpmpp2m),
            ("EulerDiscreteScheduler", SamplerKind::Euler),
            ("EulerAncestralDiscreteScheduler", SamplerKind::EulerA),
        ];
        let class = config.class_name.as_deref().unwrap_or("(missing)");
        let kind = CLASSES.into_iter().find(|(name, _)| *name == class).map(|(_, kind)| kind);
        match (kind, config.use_karras_sigmas == Some(true)) {
            (Some(Self::Dpmpp2m), true) => Ok(Self::Dpmpp2mKarras),
            (Some(Self::Euler), true) => {
                Err(ScheduleError::unsupported("euler", "use_karras_sigmas", true, &[false]).into())
            }
            (Some(kind), _) => Ok(kind),
            (None, _) => {
                let supported = CLASSES.map(|(name, _)| name);
                Err(ScheduleError::unsupported("any sampler", "_class_name", class, &supported).into())
            }
        }
    }

    /// The name: `dpmpp_2m`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pndm => "pndm",
            Self::Ddim => "ddim",
            Self::Dpmpp2m => "dpmpp_2m",
            Self::Dpmpp2mKarras => "dpmpp_2m_karras",
            Self::Euler => "euler",
            Self::EulerA => "euler_a",
        }
    }

    /// Whether the sampler can add noise after each step.
    pub(super) fn takes_eta(self) -> bool {
        matches!(self, Self::Ddim | Self::EulerA)
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = SamplerError;

    fn from_str(name: &str) -> Result<Self, SamplerError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| SamplerError::Unknown { name: name.to_owned(), known: Self::ALL.map(Self::name).join(", ") })
    }
}
