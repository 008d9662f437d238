//! From a `Result` to an exit code, and an error as people read it: what failed, why, and what to do.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::process::Termination;

use crate::args::ConsoleArgs;
use crate::color::Palette;
use crate::logging::install_logging;
use crate::printer::{PrintError, Printer};

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// The answer is no: a failed gate, a failed verification.
    No = 1,
    /// Usage, configuration or environment. An error that names no code has this one.
    Usage = 2,
    /// Incomplete but resumable.
    Incomplete = 3,
    /// A file is not what its manifest or hash says.
    Integrity = 4,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl Termination for ExitCode {
    fn report(self) -> std::process::ExitCode {
        self.into()
    }
}

/// An error together with the exit code and the hint that a command attached to it. It reads as the error itself.
#[derive(Debug)]
pub struct Failure {
    code: Option<ExitCode>,
    hint: Option<String>,
    error: anyhow::Error,
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.error, formatter)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl Failure {
    /// The failures attached to an error, the outermost first, wherever `context` lies between them.
    fn all(error: &anyhow::Error) -> impl Iterator<Item = &Failure> {
        std::iter::successors(error.downcast_ref::<Failure>(), |failure| failure.error.downcast_ref())
    }
}

/// Attaches exit codes and hints to errors, as anyhow's `Context` attaches messages.
pub trait ResultExt<T> {
    /// The command ends with this code if the error reaches its end. The outermost code counts.
    fn exit_code(self, code: ExitCode) -> anyhow::Result<T>;

    /// What to do about the error: a line below it.
    fn hint(self, hint: impl Display) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ResultExt<T> for Result<T, E> {
    fn exit_code(self, code: ExitCode) -> anyhow::Result<T> {
        self.map_err(|error| Failure { code: Some(code), hint: None, error: error.into() }.into())
    }

    fn hint(self, hint: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| Failure { code: None, hint: Some(hint.to_string()), error: error.into() }.into())
    }
}

/// Chooses the exit code of a library's error: `error.downcast_ref::<ThatError>()`.
pub type Classify = fn(&anyhow::Error) -> Option<ExitCode>;

fn code_of(error: &anyhow::Error, classify: Classify) -> ExitCode {
    let attached = Failure::all(error).find_map(|failure| failure.code);
    let classified = || classify(error).or_else(|| Failure::all(error).find_map(|failure| classify(&failure.error)));
    attached.or_else(classified).unwrap_or(ExitCode::Usage)
}

/// The message, one line per cause that adds something, and the hints. Lines after a message's first are indented.
pub(crate) fn explain(error: &anyhow::Error, palette: &Palette) -> String {
    let indented = |text: &str| text.trim_end().replace('\n', "\n  ");
    let mut said = error.to_string();
    let mut text = format!("{0}error{0:#}: {1}", palette.error, indented(&said));
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many libraries repeat their source in their own message.
        if !said.contains(&cause) {
            text += &format!("\n  {0}caused by{0:#}: {1}", palette.error, indented(&cause));
        }
        said = cause;
    }
    for hint in Failure::all(error).filter_map(|failure| failure.hint.as_deref()) {
        text += &format!("\n{0}hint{0:#}: {1}", palette.note, indented(hint));
    }
    text
}

/// Runs a command: builds the printer, sets tracing up, prints an error once, gives the exit code.
pub fn run(args: &ConsoleArgs, command: impl FnOnce(&Printer) -> anyhow::Result<ExitCode>) -> std::process::ExitCode {
    run_classified(args, |_| None, command)
}

/// As [`run`], with exit codes for the errors of libraries that attach none themselves.
pub fn run_classified(
    args: &ConsoleArgs,
    classify: Classify,
    command: impl FnOnce(&Printer) -> anyhow::Result<ExitCode>,
) -> std::process::ExitCode {
    let printer = Printer::new(args.settings());
    let result = install_logging(&printer).map_err(anyhow::Error::from).and_then(|()| command(&printer));
    conclude(&printer, classify, result).into()
}

fn conclude(printer: &Printer, classify: Classify, result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    let closed = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(PrintError::Closed));
    if closed(&error) || Failure::all(&error).any(|failure| closed(&failure.error)) {
        return ExitCode::Done;
    }
    printer.error(&error);
    code_of(&error, classify)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;

    use super::*;

    fn missing() -> Result<(), io::Error> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn ended(result: anyhow::Result<()>, classify: Classify) -> (u8, String) {
        let (printer, captured) = Printer::captured(Default::default());
        let code = conclude(&printer, classify, result.map(|()| ExitCode::Done));
        (code as u8, captured.err())
    }

    fn none(_: &anyhow::Error) -> Option<ExitCode> {
        None
    }

    #[test]
    fn causes_and_hints_are_printed_once() {
        let result = missing()
            .context("cannot read unet/config.json")
            .hint("give the folder of a pipeline")
            .context("cannot open the checkpoint")
            .hint("see `pleach doctor`");
        let expected = "\
error: cannot open the checkpoint
  caused by: cannot read unet/config.json
  caused by: no such file
hint: see `pleach doctor`
hint: give the folder of a pipeline
";
        assert_eq!(ended(result, none), (2, expected.to_owned()));
    }

    #[test]
    fn a_cause_that_its_message_repeats_is_not_repeated() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open it: {0}")]
        struct Repeats(#[source] io::Error);
        let result = missing().map_err(Repeats).map_err(anyhow::Error::from);
        assert_eq!(ended(result, none).1, "error: cannot open it: no such file\n");
    }

    #[test]
    fn lines_of_a_message_stay_below_it() {
        let result = Err(anyhow::anyhow!("2 tensors are missing\na.weight\nb.weight\n"));
        assert_eq!(ended(result, none).1, "error: 2 tensors are missing\n  a.weight\n  b.weight\n");
    }

    #[test]
    fn the_outermost_code_counts() {
        let result = missing().exit_code(ExitCode::Incomplete).context("x").exit_code(ExitCode::Integrity).context("y");
        assert_eq!(ended(result, none).0, 4);
        assert_eq!(ended(missing().map_err(Into::into), none).0, 2);
        assert_eq!(ended(Ok(()), none), (0, String::new()));
    }

    #[test]
    fn errors_of_libraries_are_classified_below_hints_and_contexts() {
        fn classify(error: &anyhow::Error) -> Option<ExitCode> {
            error.downcast_ref::<io::Error>().map(|_| ExitCode::No)
        }
        assert_eq!(ended(missing().hint("h").context("c"), classify).0, 1);
        assert_eq!(ended(missing().context("c").hint("h"), classify).0, 1);
        assert_eq!(ended(missing().exit_code(ExitCode::Integrity), classify).0, 4);
    }

    #[test]
    fn a_reader_that_went_away_is_success() {
        let closed = || Err::<(), _>(PrintError::Closed);
        assert_eq!(ended(closed().map_err(Into::into), none), (0, String::new()));
        assert_eq!(ended(closed().context("x").hint("y"), none), (0, String::new()));
        let network = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(ended(Err(network.into()), none).0, 2);
    }
}
