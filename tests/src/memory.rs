//! What a process has in memory, as Linux tells it.

use serde::{Deserialize, Serialize};
use std::fs;

/// Sizes in bytes; none where the system does not tell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The most that was ever resident, mapped files included.
    pub peak: Option<u64>,
    /// What is resident now and belongs to no file.
    pub private: Option<u64>,
}

impl Memory {
    /// Of this process.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        Self { peak: field("VmHWM:"), private: field("RssAnon:") }
    }
}
