//! Two experts in one process, opened through the host cache one after the other, as a bundle's are: what each adds to its memory.

use anyhow::{Context, Result, bail};
use pleach_console::Printer;
use pleach_model::manifest::Precision;
use pleach_runtime::engine::{Engine, EngineOptions};
use pleach_tests::{
    memory::Memory,
    stepping::{CPU_GRAPH, Contender, Engine as Way, Settings},
};
use serde::{Deserialize, Serialize};
use std::{env, process::Command};

/// Experts that were opened one after the other.
#[derive(Serialize)]
pub struct Resident {
    pub precision: Precision,
    /// The way they were opened.
    pub engine: Way,
    pub experts: Vec<Opened>,
}

/// An expert, and the memory of the process with it and those before it.
#[derive(Serialize)]
pub struct Opened {
    pub share: f64,
    /// Once it was open.
    pub opened: Memory,
    /// Once it has taken a step.
    pub stepped: Memory,
}

/// What the process is told.
#[derive(Serialize, Deserialize)]
struct Told {
    engine: Way,
    experts: Vec<Settings>,
}

/// What the process says of each.
#[derive(Serialize, Deserialize)]
struct Said {
    opened: Memory,
    stepped: Memory,
}

/// Fills the host caches, then opens all in another process.
pub fn measure(precision: Precision, engine: Way, experts: &[(f64, &Settings)], printer: &Printer) -> Result<Resident> {
    for (share, settings) in experts {
        printer.status("Filling", format_args!("the host cache with {share} in {precision}, {engine}"));
        Contender::fill(engine, settings)?;
    }
    printer.status("Opening", format_args!("{} experts in {precision} in one process, {engine}", experts.len()));
    let told = Told { engine, experts: experts.iter().map(|(_, settings)| (*settings).clone()).collect() };
    let child = Command::new(env::current_exe()?)
        .args(["--quiet", "--resident", &serde_json::to_string(&told)?])
        .output()
        .context("cannot start a process")?;
    if !child.status.success() {
        bail!("{}", String::from_utf8_lossy(&child.stderr));
    }
    let said: Vec<Said> = serde_json::from_slice(&child.stdout)?;
    let opened = |(&(share, _), Said { opened, stepped }): (&(f64, &Settings), Said)| Opened { share, opened, stepped };
    Ok(Resident { precision, engine, experts: experts.iter().zip(said).map(opened).collect() })
}

/// The process.
pub fn work(told: &str, printer: &Printer) -> Result<()> {
    let Told { engine: way, experts } = serde_json::from_str(told)?;
    let threads = experts.first().map(|settings| settings.threads);
    let engine = Engine::start(&EngineOptions { threads, ..EngineOptions::default() })?;
    let (mut open, mut said) = (Vec::new(), Vec::new());
    for settings in &experts {
        let mut network = settings.open(&engine, CPU_GRAPH, settings.cache(way))?;
        let opened = Memory::now();
        settings.step(&mut network)?;
        said.push(Said { opened, stepped: Memory::now() });
        open.push(network);
    }
    Ok(printer.json(&said)?)
}
