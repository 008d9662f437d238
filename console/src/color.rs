//! Whether to colour: the option first, then the variables that all tools honour, then the terminal.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// Decides for one stream. `NO_COLOR` (no-color.org) beats `CLICOLOR_FORCE` (bixense.com/clicolors), as in clap itself.
pub(crate) fn enabled(choice: ColorChoice, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => {
            terminal
                && set("CLICOLOR").is_none_or(|value| value != "0")
                && set("TERM").is_none_or(|value| value != "dumb")
        }
    }
}

/// The styles in use; each renders as nothing where colour is off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Palette {
    pub status: Style,
    pub error: Style,
    pub warning: Style,
    pub note: Style,
    pub heading: Style,
    pub faint: Style,
}

impl Palette {
    pub(crate) fn new(color: bool) -> Self {
        if !color {
            return Self::default();
        }
        let bold = Style::new().bold();
        Self {
            status: AnsiColor::Green.on_default().bold(),
            error: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default().bold(),
            note: AnsiColor::Cyan.on_default().bold(),
            heading: bold,
            faint: Style::new().dimmed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(choice: ColorChoice, terminal: bool, variables: &[(&str, &str)]) -> bool {
        enabled(choice, terminal, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn option_then_variables_then_terminal() {
        let auto = ColorChoice::Auto;
        assert!(decide(auto, true, &[]));
        assert!(!decide(auto, false, &[]));
        assert!(!decide(auto, true, &[("NO_COLOR", "1")]));
        assert!(decide(auto, true, &[("NO_COLOR", "")]));
        assert!(decide(auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!decide(auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!decide(auto, true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(!decide(auto, true, &[("CLICOLOR", "0")]));
        assert!(!decide(auto, true, &[("TERM", "dumb")]));
        assert!(decide(ColorChoice::Always, false, &[("NO_COLOR", "1")]));
        assert!(!decide(ColorChoice::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn a_palette_without_colour_renders_nothing() {
        assert_eq!(format!("{0}x{0:#}", Palette::new(false).error), "x");
        assert_eq!(format!("{0}x{0:#}", Palette::new(true).error), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }
}
