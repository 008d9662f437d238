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
    /// What is resident now, shared with no other process, and was written to: it cannot be dropped.
    pub dirty: Option<u64>,
    /// What is resident now, shared with no other process, and was not written to: pages of files, which the system drops when it wants.
    pub clean: Option<u64>,
}

impl Memory {
    /// Of this process.
    pub fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (status, maps) = (read("status"), read("smaps_rollup"));
        Self {
            peak: field(&status, "VmHWM:"),
            private: field(&status, "RssAnon:"),
            dirty: field(&maps, "Private_Dirty:"),
            clean: field(&maps, "Private_Clean:"),
        }
    }
}

/// Bytes that the line `name` tells in kilobytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
