//! `pleach NAME ...` runs the program `pleach-NAME` from beside this one or from the PATH, as git and cargo do.

use anyhow::bail;
use clap::CommandFactory;
use pleach_console::{ConsoleArgs, ExitCode, ResultExt};
use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// Told below the list of commands.
pub const HELP: &str = "\
Programs of their own, beside this one or on the PATH:
  train   Train, prune and suppress (pleach-train)
  export  Export a checkpoint or what was trained to a bundle (pleach-export)
  audit   Audit what a bundle draws (pleach-audit)
  NAME    Any other program pleach-NAME";

const PREFIX: &str = "pleach-";

/// Runs the program that the first word names with the others.
pub fn run(console: &ConsoleArgs, words: &[OsString]) -> anyhow::Result<ExitCode> {
    let Some((name, arguments)) = words.split_first() else { bail!("no command is named") };
    let name = name.to_string_lossy();
    let program = folders().map(|folder| folder.join(file_name(&name))).find(|program| is_program(program));
    let Some(program) = program.filter(|_| is_name(&name)) else {
        let known = known();
        let hint = match nearest(&name, &known) {
            Some(nearest) => format!("did you mean `pleach {nearest}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        return Err(anyhow::anyhow!(
            "there is no command `{name}`, and no program {PREFIX}{name} beside this one or on the PATH"
        ))
        .hint(hint);
    };
    become_program(Command::new(&program).args(forwarded(console)).args(arguments), &program)
}

/// Prints the help of the whole, of one of our own commands, or of a program, whatever stands first.
pub fn help(console: &ConsoleArgs, words: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut own = super::Cli::command();
    own.build();
    let Some(name) = words.first() else {
        own.print_long_help()?;
        return Ok(ExitCode::Done);
    };
    if let Some(command) = name.to_str().and_then(|name| own.find_subcommand_mut(name)) {
        command.print_long_help()?;
        return Ok(ExitCode::Done);
    }
    run(console, &[words, &["--help".into()]].concat())
}

/// The options given before the name, for the program to take.
fn forwarded(console: &ConsoleArgs) -> Vec<String> {
    let mut options = vec![format!("--color={}", console.color)];
    options.extend((0..console.quiet).map(|_| "--quiet".to_owned()));
    options.extend((0..console.verbose).map(|_| "--verbose".to_owned()));
    options.extend(console.no_progress.then(|| "--no-progress".to_owned()));
    options
}

#[cfg(unix)]
fn become_program(command: &mut Command, program: &Path) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(anyhow::Error::new(command.exec()).context(format!("cannot run {}", program.display())))
}

#[cfg(not(unix))]
fn become_program(command: &mut Command, program: &Path) -> anyhow::Result<ExitCode> {
    use anyhow::Context;
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    Ok(match status.code() {
        Some(0) => ExitCode::Done,
        Some(1) => ExitCode::No,
        Some(3) => ExitCode::Incomplete,
        Some(4) => ExitCode::Integrity,
        _ => ExitCode::Usage,
    })
}

/// Where programs are looked for.
fn folders() -> impl Iterator<Item = PathBuf> {
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    beside.into_iter().chain(env::split_paths(&path).collect::<Vec<_>>())
}

fn file_name(name: &str) -> String {
    format!("{PREFIX}{name}{}", env::consts::EXE_SUFFIX)
}

/// Nothing that would lead into another folder.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Every command: our own, and the programs that are found.
fn known() -> Vec<String> {
    let own = super::Cli::command();
    let mut known: BTreeSet<String> = own.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for entry in folders().filter_map(|folder| folder.read_dir().ok()).flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(env::consts::EXE_SUFFIX)?.strip_prefix(PREFIX));
        if let Some(name) = name.filter(|name| is_name(name) && is_program(&entry.path())) {
            known.insert(name.to_owned());
        }
    }
    known.into_iter().collect()
}

/// The known word that a slip of the fingers made into `word`.
fn nearest<'k>(word: &str, known: &'k [String]) -> Option<&'k str> {
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), known.as_str()));
    distances.filter(|(distance, known)| *distance <= known.len().div_ceil(3)).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_command() {
        let known = ["audit", "generate", "inspect"].map(String::from);
        assert_eq!(nearest("genrate", &known), Some("generate"));
        assert_eq!(nearest("inspct", &known), Some("inspect"));
        assert_eq!(nearest("frobnicate", &known), None);
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(is_name("train") && is_name("quick-test"));
        assert!(!is_name("") && !is_name("../x") && !is_name("a/b") && !is_name("a b") && !is_name("a.b"));
    }
}
