//! One run on several machines: which of them does what.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Part `index` of `count` equal parts of a run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which, from 0.
    pub index: u64,
    /// Of how many.
    pub count: u64,
}

/// A text is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a shard: write I/N, where I is 0 to N-1, such as 0/4")]
pub struct ParseShardError {
    text: String,
}

/// Where schedulers say which part of a job a process is: the variable of its number, that of the number of processes, and the variable
/// that names the number of the first process where that may be another than 0.
const SCHEDULERS: [(&str, &str, &str, Option<&str>); 3] = [
    ("torchrun", "RANK", "WORLD_SIZE", None),
    ("a Slurm array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", Some("SLURM_ARRAY_TASK_MIN")),
    ("srun", "SLURM_PROCID", "SLURM_NTASKS", None),
];

/// Kubernetes numbers the pods of an indexed job and does not tell them how many there are.
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

/// How a process learns which part is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A scheduler said so.
    By(&'static str, Shard),
    /// A Kubernetes indexed job says the number and not how many there are.
    Unfinished {
        /// The number.
        index: u64,
    },
    /// Nobody says anything: the whole run.
    Nothing,
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether number `position` of the plan's samples belongs to it.
    pub fn holds(self, position: u64) -> bool {
        position % self.count == self.index
    }

    /// What the environment of a scheduler's process says: torchrun, Slurm (array jobs, srun), Kubernetes indexed jobs (`PLEACH_SHARDS`
    /// says how many there are). Where there is one process there is nothing to divide.
    pub fn told(variable: impl Fn(&str) -> Option<String>) -> Told {
        let number = |name: &str| variable(name).and_then(|text| text.trim().parse::<u64>().ok());
        for (scheduler, index, count, first) in SCHEDULERS {
            let first = first.and_then(number).unwrap_or(0);
            if let (Some(index), Some(count)) = (number(index), number(count))
                && count > 1
                && let Some(index) = index.checked_sub(first).filter(|index| *index < count)
            {
                return Told::By(scheduler, Self { index, count });
            }
        }
        match (number(KUBERNETES), number("PLEACH_SHARDS")) {
            (Some(index), Some(count)) if index < count => Told::By("a Kubernetes indexed job", Self { index, count }),
            (Some(index), _) => Told::Unfinished { index },
            (None, _) => Told::Nothing,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            let (index, count) = (index.parse().ok()?, count.parse().ok()?);
            (index < count).then_some(Self { index, count })
        };
        parse().ok_or_else(|| ParseShardError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn told(variables: &[(&str, &str)]) -> Told {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Shard::told(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn every_sample_is_of_one_shard() {
        for count in [1, 2, 7] {
            let shards: Vec<Shard> = (0..count).map(|index| Shard { index, count }).collect();
            assert!((0..100).all(|position| shards.iter().filter(|shard| shard.holds(position)).count() == 1));
        }
        assert!("2/7".parse::<Shard>().is_ok_and(|shard| shard == Shard { index: 2, count: 7 }));
        for wrong in ["7/7", "1", "a/b", "0/0", "-1/2", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn schedulers_say_which() {
        let shard = |index, count| Shard { index, count };
        assert_eq!(told(&[("RANK", "3"), ("WORLD_SIZE", "8")]), Told::By("torchrun", shard(3, 8)));
        let array = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(told(&array), Told::By("a Slurm array", shard(2, 4)));
        assert_eq!(told(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2")]), Told::By("srun", shard(0, 2)));
        assert_eq!(told(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]), Told::Nothing);
        assert_eq!(told(&[(KUBERNETES, "5")]), Told::Unfinished { index: 5 });
        let job = [(KUBERNETES, "5"), ("PLEACH_SHARDS", "6")];
        assert_eq!(told(&job), Told::By("a Kubernetes indexed job", shard(5, 6)));
        assert_eq!(told(&[("RANK", "9"), ("WORLD_SIZE", "8")]), Told::Nothing);
    }
}
