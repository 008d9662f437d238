//! Time and peak memory of a process.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    ffi::OsStr,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How often a process is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// What a process took.
#[derive(Serialize)]
pub struct Measured {
    pub seconds: f64,
    /// Largest resident memory in bytes, pages of mapped files included.
    pub peak_resident: u64,
    /// Largest resident memory that is no file's.
    pub peak_anonymous: u64,
}

/// Runs this program with other arguments.
pub fn child(arguments: &[&OsStr]) -> Result<Measured> {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe()?).args(arguments).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let (mut peak_resident, mut peak_anonymous) = (0, 0);
    let exit = loop {
        let text = fs::read_to_string(&status).context("peak memory is read from /proc, which only Linux has")?;
        peak_resident = peak_resident.max(field(&text, "VmHWM:"));
        peak_anonymous = peak_anonymous.max(field(&text, "RssAnon:"));
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        thread::sleep(INTERVAL);
    };
    ensure!(exit.success(), "the measured process failed: {exit}");
    Ok(Measured { seconds: start.elapsed().as_secs_f64(), peak_resident, peak_anonymous })
}

/// A field of a process's status, in bytes; 0 where there is none, as at its end.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or(0_u64) * 1024
}
