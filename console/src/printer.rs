//! The one thing that writes. Results go to stdout, everything else to stderr, and bars are lifted out of the way of both.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ColorChoice;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::args::Verbosity;
use crate::color::{self, Palette};
use crate::exit::explain;
use crate::progress::Display as ProgressDisplay;
use crate::table::Table;

/// What the options of [`ConsoleArgs`](crate::ConsoleArgs) mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much is said on stderr.
    pub verbosity: Verbosity,
    /// Whether to colour.
    pub color: ColorChoice,
    /// Whether to show progress.
    pub progress: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { verbosity: Verbosity::default(), color: ColorChoice::Auto, progress: true }
    }
}

/// A result could not be written to stdout.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The reader of the pipe went away; [`run`](crate::run) takes that as success.
    #[error("stdout was closed by its reader")]
    Closed,
    /// Such as a full disk.
    #[error("cannot write to stdout")]
    Write(#[source] io::Error),
    /// A report does not serialise.
    #[error("cannot write the report as JSON")]
    Json(#[source] serde_json::Error),
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Write(error),
        }
    }
}

/// Where a printer writes.
pub struct Streams {
    /// Results.
    pub out: Box<dyn Write + Send>,
    /// Everything else.
    pub err: Box<dyn Write + Send>,
    /// Whether `out` is a terminal.
    pub out_terminal: bool,
    /// Whether `err` is a terminal.
    pub err_terminal: bool,
    /// Where bars are drawn if `err` is a terminal.
    pub bars: ProgressDrawTarget,
}

impl Streams {
    /// The process's own.
    pub fn standard() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_terminal: io::stdout().is_terminal(),
            err_terminal: io::stderr().is_terminal(),
            bars: ProgressDrawTarget::stderr(),
        }
    }
}

/// What a printer made by [`Printer::captured`] has written.
#[derive(Clone, Default)]
pub struct Captured {
    out: Buffer,
    err: Buffer,
}

impl Captured {
    /// Everything written to stdout.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Everything written to stderr.
    pub fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic while printing leaves nothing half-done that matters.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Speaks to the person, or to the program, that runs the command. Cheap to clone; clones share their streams.
#[derive(Clone)]
pub struct Printer(Arc<Shared>);

struct Shared {
    verbosity: Verbosity,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    out_palette: Palette,
    err_palette: Palette,
    color: bool,
    bars: MultiProgress,
    progress: ProgressDisplay,
}

impl Printer {
    /// A printer on the process's own streams.
    pub fn new(settings: Settings) -> Self {
        Self::with_streams(settings, Streams::standard())
    }

    /// A printer on these streams.
    pub fn with_streams(settings: Settings, streams: Streams) -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let out_color = color::enabled(settings.color, streams.out_terminal, variable);
        let err_color = color::enabled(settings.color, streams.err_terminal, variable);
        let progress = match (settings.progress && settings.verbosity >= Verbosity::Default, streams.err_terminal) {
            (false, _) => ProgressDisplay::Hidden,
            (true, true) => ProgressDisplay::Bars,
            (true, false) => ProgressDisplay::Lines,
        };
        let target = if progress == ProgressDisplay::Bars { streams.bars } else { ProgressDrawTarget::hidden() };
        Self(Arc::new(Shared {
            verbosity: settings.verbosity,
            out: Mutex::new(streams.out),
            err: Mutex::new(streams.err),
            out_palette: Palette::new(out_color),
            err_palette: Palette::new(err_color),
            color: err_color,
            bars: MultiProgress::with_draw_target(target),
            progress,
        }))
    }

    /// A printer into memory, as if neither stream were a terminal: for tests.
    pub fn captured(settings: Settings) -> (Self, Captured) {
        let captured = Captured::default();
        let streams = Streams {
            out: Box::new(captured.out.clone()),
            err: Box::new(captured.err.clone()),
            out_terminal: false,
            err_terminal: false,
            bars: ProgressDrawTarget::hidden(),
        };
        (Self::with_streams(settings, streams), captured)
    }

    /// How much is said on stderr.
    pub fn verbosity(&self) -> Verbosity {
        self.0.verbosity
    }

    /// Whether stderr is coloured.
    pub fn color(&self) -> bool {
        self.0.color
    }

    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.0.bars
    }

    pub(crate) fn progress_display(&self) -> ProgressDisplay {
        self.0.progress
    }

    pub(crate) fn err_palette(&self) -> &Palette {
        &self.0.err_palette
    }

    /// Writes bytes to stdout as they are.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), PrintError> {
        self.0.bars.suspend(|| {
            let mut out = lock(&self.0.out);
            out.write_all(bytes)?;
            Ok(out.flush()?)
        })
    }

    /// A line of the result.
    pub fn line(&self, text: impl Display) -> Result<(), PrintError> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// A table of the result.
    pub fn table(&self, table: &Table) -> Result<(), PrintError> {
        self.raw(table.render(&self.0.out_palette).as_bytes())
    }

    /// The result for programs: indented JSON and a newline.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), PrintError> {
        let mut text = serde_json::to_vec_pretty(value).map_err(PrintError::Json)?;
        text.push(b'\n');
        self.raw(&text)
    }

    /// Bytes to stderr. There is nobody left to tell that stderr cannot be written.
    pub(crate) fn raw_err(&self, bytes: &[u8]) {
        self.0.bars.suspend(|| {
            let mut err = lock(&self.0.err);
            let _ = err.write_all(bytes).and_then(|()| err.flush());
        });
    }

    fn err_line(&self, least: Verbosity, text: impl FnOnce(&Palette) -> String) {
        if self.0.verbosity >= least {
            self.raw_err((text(&self.0.err_palette) + "\n").as_bytes());
        }
    }

    /// What is being done, as cargo says it: `   Exporting unet (865.9 M parameters)`.
    pub fn status(&self, verb: &str, text: impl Display) {
        self.err_line(Verbosity::Default, |palette| format!("{0}{verb:>12}{0:#} {text}", palette.status));
    }

    /// Something worth knowing, such as the command that resumes.
    pub fn note(&self, text: impl Display) {
        self.err_line(Verbosity::Default, |palette| format!("{0}note{0:#}: {text}", palette.note));
    }

    /// Something that may be wrong.
    pub fn warn(&self, text: impl Display) {
        self.err_line(Verbosity::Quiet, |palette| format!("{0}warning{0:#}: {text}", palette.warning));
    }

    /// An error with its causes and hints. [`run`](crate::run) prints the one that ends a command.
    pub fn error(&self, error: &anyhow::Error) {
        self.err_line(Verbosity::Silent, |palette| explain(error, palette));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Align;

    fn settings(verbosity: Verbosity) -> Settings {
        Settings { verbosity, color: ColorChoice::Never, ..Default::default() }
    }

    fn speak(printer: &Printer) {
        printer.status("Exporting", "unet");
        printer.note("n");
        printer.warn("w");
        printer.error(&anyhow::anyhow!("e"));
    }

    #[test]
    fn each_verbosity_says_its_part() {
        let said = |verbosity| {
            let (printer, captured) = Printer::captured(settings(verbosity));
            speak(&printer);
            assert_eq!(captured.out(), "");
            captured.err()
        };
        assert_eq!(said(Verbosity::Default), "   Exporting unet\nnote: n\nwarning: w\nerror: e\n");
        assert_eq!(said(Verbosity::Trace), said(Verbosity::Default));
        assert_eq!(said(Verbosity::Quiet), "warning: w\nerror: e\n");
        assert_eq!(said(Verbosity::Silent), "error: e\n");
    }

    #[test]
    fn colour_surrounds_the_first_word_only() {
        let (printer, captured) = Printer::captured(Settings { color: ColorChoice::Always, ..Default::default() });
        printer.status("Reading", "x");
        printer.warn("w");
        assert_eq!(
            captured.err(),
            "\u{1b}[1m\u{1b}[32m     Reading\u{1b}[0m x\n\u{1b}[1m\u{1b}[33mwarning\u{1b}[0m: w\n"
        );
        assert!(printer.color());
    }

    #[test]
    fn results_go_to_stdout_however_quiet() {
        let (printer, captured) = Printer::captured(settings(Verbosity::Silent));
        printer.line(1).unwrap();
        printer.table(Table::new([("a", Align::Left)]).row(["b"])).unwrap();
        printer.json(&serde_json::json!({"z": 1, "a": [0.1]})).unwrap();
        assert_eq!(captured.out(), "1\na\nb\n{\n  \"z\": 1,\n  \"a\": [\n    0.1\n  ]\n}\n");
        assert_eq!(captured.err(), "");
    }

    /// Fails every write with one kind of error.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let print = |kind| {
            let streams = Streams { out: Box::new(Failing(kind)), err: Box::new(Failing(kind)), ..Streams::standard() };
            let printer = Printer::with_streams(settings(Verbosity::Default), streams);
            speak(&printer);
            printer.line("x").unwrap_err()
        };
        assert!(matches!(print(io::ErrorKind::BrokenPipe), PrintError::Closed));
        assert!(matches!(print(io::ErrorKind::StorageFull), PrintError::Write(_)));
    }
}
