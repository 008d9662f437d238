//! What `pleach-train doctor` reports: the libtorch that was found, and what is wrong with it.

use crate::libtorch::{Cuda, WrongVersion, libtorch};
use pleach_console::{PrintError, Printer};
use serde::Serialize;
use std::path::PathBuf;

/// The libtorch of this process.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of libtorch.
    pub version: String,
    /// The file of its CPU part.
    pub path: Option<PathBuf>,
    /// Threads within an operation.
    pub threads: i32,
    /// Its CUDA part.
    pub cuda: CudaReport,
}

/// What can be said of CUDA.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CudaReport {
    /// This libtorch has no CUDA part: the CPU computes.
    Absent,
    /// The CUDA part does not load.
    Broken {
        /// What the loader says.
        reason: String,
    },
    /// The CUDA part is loaded, but there is no device or no driver.
    NoDevice,
    /// Ready.
    Available {
        /// Number of devices.
        devices: usize,
    },
}

impl Report {
    /// Looks at this process.
    ///
    /// # Errors
    /// Another libtorch than the one needed.
    pub fn new() -> Result<Self, WrongVersion> {
        let libtorch = libtorch()?;
        let cuda = match &libtorch.cuda {
            Cuda::Absent => CudaReport::Absent,
            Cuda::Broken(reason) => CudaReport::Broken { reason: reason.clone() },
            Cuda::Loaded { devices: 0 } => CudaReport::NoDevice,
            Cuda::Loaded { devices } => CudaReport::Available { devices: *devices },
        };
        let (version, path) = (libtorch.version.to_string(), libtorch.path.clone());
        Ok(Self { version, path, threads: tch::get_num_threads(), cuda })
    }

    /// Whether nothing has to be repaired.
    pub fn is_healthy(&self) -> bool {
        !matches!(self.cuda, CudaReport::Broken { .. })
    }

    /// Prints the report for people.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub fn print(&self, printer: &Printer) -> Result<(), PrintError> {
        let path = self.path.as_ref().map_or("unknown".into(), |path| path.display().to_string());
        printer.line(format_args!("libtorch  {} from {path}", self.version))?;
        printer.line(format_args!("threads   {}", self.threads))?;
        match &self.cuda {
            CudaReport::Absent => printer.line("CUDA      no: this libtorch computes on the CPU only"),
            CudaReport::Broken { reason } => printer.line(format_args!("CUDA      broken: {reason}")),
            CudaReport::NoDevice => printer.line("CUDA      no device: is there a GPU, and its driver?"),
            CudaReport::Available { devices } => printer.line(format_args!("CUDA      {devices} devices")),
        }
    }
}
