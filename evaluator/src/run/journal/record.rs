//! What a journal's records say.

use crate::{document::Environment, instrument::Observation};
use pleach_model::files::Sha256;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of the two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The model that is compared with.
    Baseline,
    /// The model that is audited.
    Subject,
}

impl Arm {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Subject => "subject",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record. None holds a time or a place: the same run leaves the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The first record: what is carried out, and which part of it.
    Begin {
        /// Hash of the plan.
        plan: Sha256,
        /// Which shard, from 0.
        shard: u64,
        /// Of how many.
        shards: u64,
        /// What draws and looks.
        environment: Environment,
    },
    /// A picture was drawn and lies in the store.
    Drawn {
        /// The sample.
        sample: Sha256,
        /// Who drew it.
        arm: Arm,
        /// Hash of its pixels.
        picture: Sha256,
        /// The expert that drew it; none where the bundle names none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expert: Option<String>,
        /// How clear the router was; none where nothing routed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        margin: Option<f32>,
    },
    /// A picture could not be drawn.
    Failed {
        /// The sample.
        sample: Sha256,
        /// Who should have drawn it.
        arm: Arm,
        /// Why not.
        reason: String,
    },
    /// An instrument looked at a picture.
    Looked {
        /// The picture.
        picture: Sha256,
        /// The instrument, by its name in the plan.
        instrument: String,
        /// What it saw.
        seen: Observation,
    },
    /// An instrument could not look at a picture.
    Unseen {
        /// The picture.
        picture: Sha256,
        /// The instrument.
        instrument: String,
        /// Why not.
        reason: String,
    },
    /// An instrument read a prompt.
    Read {
        /// Hash of the prompt.
        prompt: Sha256,
        /// The instrument.
        instrument: String,
        /// What it made of it.
        seen: Observation,
    },
    /// The last record: everything of this shard was done.
    End {
        /// Records before this one.
        records: u64,
    },
}
