//! tracing on stderr, in the printer's own words: a library's `warn!` reads as a warning of the command.

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::Verbosity;
use crate::color::Palette;
use crate::printer::Printer;

/// Tracing could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The variable is set to something else than a filter.
    #[error("RUST_LOG is not a filter: `{0}` (examples: `debug`, `warn,pleach_runtime=trace`)")]
    Filter(String, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends what is traced to the printer; `RUST_LOG` replaces what `-q` and `-v` choose. Where a subscriber stands
/// already, as in a program that embeds Pleach, it stays.
pub fn install_logging(printer: &Printer) -> Result<(), LoggingError> {
    let filter = filter(printer.verbosity(), std::env::var("RUST_LOG").ok())?;
    let printer = printer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(printer.color())
        .event_format(Format { palette: *printer.err_palette() })
        .with_writer(move || LogWriter(printer.clone()))
        .finish();
    // The only failure is a subscriber that stands already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn filter(verbosity: Verbosity, variable: Option<String>) -> Result<EnvFilter, LoggingError> {
    let chosen = match verbosity {
        Verbosity::Silent => "error",
        Verbosity::Quiet | Verbosity::Default => "warn",
        Verbosity::Verbose => "info,pleach=debug",
        Verbosity::Trace => "debug,pleach=trace",
    };
    let directives = variable.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| chosen.to_owned());
    EnvFilter::try_new(&directives).map_err(|error| LoggingError::Filter(directives, error.into()))
}

/// `warning: MESSAGE field=value`, and below warnings `debug: TARGET: MESSAGE`.
struct Format {
    palette: Palette,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let (word, style) = match *metadata.level() {
            Level::ERROR => ("error", self.palette.error),
            Level::WARN => ("warning", self.palette.warning),
            Level::INFO => ("info", self.palette.faint),
            Level::DEBUG => ("debug", self.palette.faint),
            Level::TRACE => ("trace", self.palette.faint),
        };
        write!(writer, "{style}{word}{style:#}: ")?;
        if *metadata.level() > Level::WARN {
            write!(writer, "{0}{1}{0:#}: ", self.palette.faint, metadata.target())?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// tracing-subscriber writes each event whole.
struct LogWriter(Printer);

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.raw_err(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::Settings;

    fn logged(verbosity: Verbosity, variable: Option<&str>) -> String {
        let (printer, captured) = Printer::captured(Settings { verbosity, ..Default::default() });
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(verbosity, variable.map(str::to_owned)).unwrap())
            .with_ansi(false)
            .event_format(Format { palette: *printer.err_palette() })
            .with_writer(move || LogWriter(printer.clone()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(words = 10_000, "the prompt is cut");
            tracing::debug!(target: "pleach_hub", "from the cache");
            tracing::debug!(target: "other", "noise");
        });
        captured.err()
    }

    #[test]
    fn levels_follow_the_options_and_rust_log() {
        let warning = "warning: the prompt is cut words=10000\n";
        let debug = "debug: pleach_hub: from the cache\n";
        assert_eq!(logged(Verbosity::Default, None), warning);
        assert_eq!(logged(Verbosity::Silent, None), "");
        assert_eq!(logged(Verbosity::Verbose, None), format!("{warning}{debug}"));
        assert_eq!(logged(Verbosity::Trace, None), format!("{warning}{debug}debug: other: noise\n"));
        assert_eq!(logged(Verbosity::Verbose, Some("other=debug")), "debug: other: noise\n");
        assert_eq!(logged(Verbosity::Default, Some(" ")), warning);
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = filter(Verbosity::Default, Some("pleach=loud".to_owned())).unwrap_err();
        let expected = "RUST_LOG is not a filter: `pleach=loud` (examples: `debug`, `warn,pleach_runtime=trace`)";
        assert_eq!(error.to_string(), expected);
    }
}
