//! Shell completions, generated from the definition of the command line itself.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::printer::{PrintError, Printer};

/// The arguments of a `completions` command.
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionArgs {
    /// The shell to complete for
    pub shell: Shell,
}

/// Prints the completion script of the command line `C` to stdout.
pub fn completions<C: CommandFactory>(arguments: CompletionArgs, printer: &Printer) -> Result<(), PrintError> {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    printer.raw(&script)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ConsoleArgs;

    /// A test's command line.
    #[derive(Parser)]
    #[command(name = "pleach-test")]
    struct Cli {
        #[command(flatten)]
        _console: ConsoleArgs,
    }

    #[test]
    fn every_shell_gets_a_script() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let (printer, captured) = Printer::captured(Default::default());
            completions::<Cli>(CompletionArgs { shell }, &printer).unwrap();
            let script = captured.out();
            assert!(script.contains("pleach-test") && script.contains("no-progress"), "{shell}: {script}");
        }
    }
}
