//! The reference of a command line in Markdown, made from its definition: what `docs/cli` holds, and what holds it to the program.

use clap::{Arg, Command};
use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// The variable under which [`keep`] writes instead of comparing; `cargo xtask docs` sets it.
pub const WRITE: &str = "PLEACH_WRITE_DOCS";

/// The page is not what the program says, or could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The definition of the command line has changed.
    #[error("{} is not what the command line says: `cargo xtask docs` writes it anew", path.display())]
    Stale {
        /// The page.
        path: PathBuf,
    },
    /// A file.
    #[error("cannot read or write {}; `cargo xtask docs` writes it", path.display())]
    File {
        /// The page.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Holds the page `path` to a program's command line, or writes it where [`WRITE`] is set.
///
/// # Errors
/// [`ReferenceError`].
pub fn keep(command: Command, path: &Path) -> Result<(), ReferenceError> {
    let text = reference(command);
    let failed = |source| ReferenceError::File { path: path.to_owned(), source };
    if env::var_os(WRITE).is_some() {
        return fs::write(path, text).map_err(failed);
    }
    // Git may have written the page with the line ends of Windows.
    let kept = fs::read_to_string(path).map_err(failed)?.replace("\r\n", "\n");
    if kept == text { Ok(()) } else { Err(ReferenceError::Stale { path: path.to_owned() }) }
}

/// The page of a program: every command with its usage, arguments and options.
pub fn reference(mut command: Command) -> String {
    command.build();
    let name = command.get_name().to_owned();
    let mut page = format!("# `{name}`\n\n*Made from the program's own definition by `cargo xtask docs`.*\n");
    let globals = globals(&command);
    describe(&mut command, &mut page, &globals);
    if !globals.is_empty() {
        page += "\n## Options of every command\n\n";
        command
            .get_arguments()
            .filter(|arg| globals.contains(arg.get_id().as_str()))
            .for_each(|arg| item(arg, &mut page));
    }
    for command in command.get_subcommands_mut().filter(|command| is_shown(command)) {
        let _ = write!(page, "\n## `{name} {}`\n", command.get_name());
        describe(command, &mut page, &globals);
    }
    page
}

type Globals = std::collections::BTreeSet<String>;

fn globals(command: &Command) -> Globals {
    command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string()).collect()
}

/// `help` says nothing of its own.
fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// What a command does, how it is called and with what; its commands by name.
fn describe(command: &mut Command, page: &mut String, globals: &Globals) {
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = write!(page, "\n{}\n", sentence(&about.to_string()));
    }
    let usage = command.render_usage().to_string();
    let _ = write!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage:").trim());
    let own = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        !arg.is_hide_set() && !globals.contains(id) && id != "help" && id != "version"
    };
    let mut own: Vec<&Arg> = command.get_arguments().filter(own).collect();
    own.sort_by_key(|arg| !arg.is_positional());
    if !own.is_empty() {
        page.push('\n');
        own.iter().for_each(|arg| item(arg, page));
    }
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| is_shown(command)).collect();
    if !commands.is_empty() {
        page.push('\n');
    }
    for command in commands {
        let about = command.get_about().map(|about| sentence(&about.to_string())).unwrap_or_default();
        let _ = writeln!(page, "- `{}`: {about}", command.get_name());
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = write!(page, "\n```text\n{}\n```\n", after.to_string().trim());
    }
}

/// An argument or option as an item of a list, with what it may be.
fn item(arg: &Arg, page: &mut String) {
    let mut names: Vec<String> = arg.get_short().map(|short| format!("-{short}")).into_iter().collect();
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let placeholder = || {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ")
    };
    let mut line = names.join(", ");
    if arg.is_positional() {
        line = placeholder();
    } else if arg.get_action().takes_values() {
        let _ = write!(line, " {}", placeholder());
    }
    let help = arg.get_long_help().or(arg.get_help()).map(|help| sentence(&help.to_string())).unwrap_or_default();
    let _ = write!(page, "- `{line}`: {help}");
    if !arg.is_positional() && arg.is_required_set() {
        page.push_str(" Required.");
    }
    let values = arg.get_possible_values();
    let is_flag = !arg.get_action().takes_values();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !is_flag && !arg.is_hide_default_value_set() && defaults.iter().any(|value| !value.is_empty()) {
        let _ = write!(page, " Default: `{}`.", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(page, " Environment: `{}`.", variable.to_string_lossy());
    }
    page.push('\n');
    if is_flag || arg.is_hide_possible_values_set() {
        return;
    }
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        let _ = write!(page, "  - `{}`", value.get_name());
        if let Some(help) = value.get_help() {
            let _ = write!(page, ": {}", sentence(&help.to_string()));
        }
        page.push('\n');
    }
}

/// Words of help as a sentence of Markdown: nothing in them is markup of its own.
fn sentence(help: &str) -> String {
    let mut text = help.trim().replace('<', "&lt;").replace('*', "\\*").replace('_', "\\_");
    if text.contains('`') {
        text = help.trim().to_owned();
    }
    if !text.ends_with(['.', ']', ':', ')']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser, ValueEnum};

    /// Prune hedges
    #[derive(Parser)]
    #[command(name = "hedge", version, after_help = "Gloves help.")]
    struct Cli {
        #[command(subcommand)]
        command: Sub,
        #[command(flatten)]
        console: crate::ConsoleArgs,
    }

    #[derive(clap::Subcommand)]
    enum Sub {
        /// Cut it
        Cut {
            /// The hedge, as a FILE_NAME
            hedge: std::path::PathBuf,
            /// How
            #[arg(short = 'w', long, value_enum, default_value_t = How::Short)]
            how: How,
            /// By whom
            #[arg(long, value_name = "NAME", env = "HEDGE_BY")]
            by: String,
        },
        #[command(hide = true)]
        Burn,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum How {
        /// A little
        Short,
        Long,
    }

    #[test]
    fn a_page_says_all_that_the_definition_says() {
        let page = reference(Cli::command());
        let expected = "\
## `hedge cut`

Cut it.

```text
hedge cut [OPTIONS] --by <NAME> <HEDGE>
```

- `<HEDGE>`: The hedge, as a FILE\\_NAME.
- `-w, --how <HOW>`: How. Default: `short`.
  - `short`: A little.
  - `long`
- `--by <NAME>`: By whom. Required. Environment: `HEDGE_BY`.
";
        assert!(page.ends_with(expected), "{page}");
        for part in [
            "# `hedge`\n",
            "Prune hedges.",
            "- `cut`: Cut it.",
            "Gloves help.",
            "## Options of every command",
            "- `-q, --quiet`: ",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("burn") && !page.contains("--help") && page.matches("--quiet").count() == 1, "{page}");
    }

    #[test]
    fn a_page_that_is_not_what_the_program_says_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hedge.md");
        assert!(matches!(keep(Cli::command(), &path), Err(ReferenceError::File { .. })));
        fs::write(&path, reference(Cli::command()).replace('\n', "\r\n")).unwrap();
        keep(Cli::command(), &path).unwrap();
        fs::write(&path, "old").unwrap();
        let error = keep(Cli::command(), &path).unwrap_err().to_string();
        assert!(error.contains("cargo xtask docs"), "{error}");
    }
}
