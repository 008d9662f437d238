//! Programs that run as children.

use super::{Error, Record, Result, Step, StepKind, recipe::Program, store::tail, text::Text};
use pleach_model::files::{self, digest_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often a child is asked whether it has ended.
const PATIENCE: Duration = Duration::from_millis(20);
/// Variables that tell numerical libraries how many threads to use.
const THREADS: [&str; 4] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"];

/// A program that did something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ProgramInfo {
    /// Its name.
    pub name: String,
    /// What it says of its version.
    pub version: String,
    /// Hash of its file, in hexadecimal; empty for Pleach's own steps.
    pub sha256: String,
}

impl ProgramInfo {
    /// This library.
    pub fn own() -> Self {
        Self { name: "pleach-audit".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), sha256: String::new() }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    found: BTreeMap<Program, (PathBuf, ProgramInfo)>,
    threads: Option<NonZeroUsize>,
}

impl Programs {
    /// Looks for the programs in a folder, or beside this program and then on the path.
    ///
    /// # Errors
    /// [`Error::Program`] where one is missing, and what keeps it from being read or started.
    pub fn find(folder: Option<&Path>, needed: &[Program], threads: Option<NonZeroUsize>) -> Result<Self> {
        let mut found = BTreeMap::new();
        for &program in needed {
            let path = look(folder, program)?;
            let sha256 = digest_file(&path)?.sha256;
            let said = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
            let said = said.map_err(|source| Error::Spawn { program: path.clone(), source })?;
            let version = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().trim().to_owned();
            let info = ProgramInfo { name: program.name().to_owned(), version, sha256: sha256.to_string() };
            found.insert(program, (path, info));
        }
        Ok(Self { found, threads })
    }

    /// What is known of a program.
    ///
    /// # Errors
    /// [`Error::Program`] where it was not looked for.
    pub fn info(&self, program: Program) -> Result<&ProgramInfo> {
        Ok(&self.get(program)?.1)
    }

    fn get(&self, program: Program) -> Result<&(PathBuf, ProgramInfo)> {
        let missing = || Error::Program { program: program.name(), folder: PathBuf::new() };
        self.found.get(&program).ok_or_else(missing)
    }
}

fn look(folder: Option<&Path>, program: Program) -> Result<PathBuf> {
    let name = format!("{}{}", program.name(), env::consts::EXE_SUFFIX);
    let own = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let folders: Vec<PathBuf> = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => own.into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())).collect(),
    };
    let found = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
    let missing = || Error::Program { program: program.name(), folder: folders.first().cloned().unwrap_or_default() };
    let found = found.ok_or_else(missing)?;
    Ok(std::path::absolute(&found).unwrap_or(found))
}

/// A command, and where it works: `out` is made by it, `log.txt` and its recipe's file are beside that.
pub struct Running<'r> {
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub arguments: &'r [Text],
    /// What is written to its recipe's file.
    pub recipe: Option<&'r Text>,
    /// The step's folder.
    pub folder: &'r Path,
    /// The step's lock. The program holds it too, so that nobody begins anew beside one whose study was killed.
    pub held: &'r File,
}

impl Running<'_> {
    /// Runs it to its end, and says in `record` how that was.
    ///
    /// # Errors
    /// [`Error::Stopped`] where `stopped` says so, [`Error::Command`] where it does not end well, [`Error::Nothing`] where it makes
    /// nothing.
    pub fn run(&self, programs: &Programs, stopped: &dyn Fn() -> bool, record: &mut Record) -> Result<()> {
        let (path, _) = programs.get(self.program)?;
        let (out, file, log) = (self.folder.join("out"), self.folder.join("recipe.toml"), self.folder.join("log.txt"));
        if let Some(recipe) = self.recipe {
            files::write(&file, recipe.actual(&out, &file).as_bytes())?;
        }
        record.arguments = self.arguments.iter().map(|text| text.actual(&out, &file)).collect();
        let failed = |source| Error::Io { path: log.clone(), source };
        let stdout = File::create(&log).map_err(failed)?;
        let stderr = stdout.try_clone().map_err(failed)?;
        // An empty file, which to a program is as good as no input.
        let stdin = self.held.try_clone().map_err(failed)?;
        let mut command = Command::new(path);
        command.args(&record.arguments).current_dir(self.folder).stdin(stdin).stdout(stdout).stderr(stderr);
        if let Some(threads) = programs.threads {
            command.envs(THREADS.map(|name| (name, threads.to_string())));
        }
        alone(&mut command);
        let begun = Instant::now();
        let mut child = command.spawn().map_err(|source| Error::Spawn { program: path.clone(), source })?;
        let status = wait(&mut child, stopped).map_err(|source| Error::Spawn { program: path.clone(), source })?;
        record.seconds = begun.elapsed().as_secs_f64();
        let Some(status) = status else { return Err(Error::Stopped) };
        record.exit_code = status.code();
        let program = self.program.name();
        if !status.success() {
            let kept = log.file_name().map(PathBuf::from).unwrap_or_default();
            return Err(Error::Command { program, status: status.to_string(), log: kept, tail: tail(&log) });
        }
        if !out.exists() {
            return Err(Error::Nothing { program, out: "{out}".into() });
        }
        Ok(())
    }
}

/// In a group of its own, so that Ctrl-C in a terminal reaches this program alone, which then ends its children.
fn alone(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Waits for a child's end; none where it had to be ended.
fn wait(child: &mut Child, stopped: &dyn Fn() -> bool) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if stopped() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PATIENCE);
    }
}

/// A command of a recipe as a step.
///
/// # Errors
/// [`Error::Asked`] where it says nowhere what it makes, and where a recipe is given and not used, or the other way round.
pub fn step(
    kind: StepKind,
    name: String,
    (program, run, recipe): (Program, &[String], Option<&str>),
    scope: &super::text::Scope,
) -> Result<std::sync::Arc<Step>> {
    let scope = scope.of_command();
    let arguments = run.iter().map(|argument| scope.expand(argument, &name)).collect::<Result<Vec<_>>>()?;
    let recipe = recipe.map(|recipe| scope.expand(recipe, &format!("{name}, recipe"))).transpose()?;
    if !arguments.iter().chain(&recipe).any(Text::has_out) {
        return Err(Error::Asked(format!("{name}: the command says nowhere {{out}}, the folder that it makes")));
    }
    match (&recipe, arguments.iter().any(Text::has_recipe)) {
        (None, true) => Err(Error::Asked(format!("{name}: the command names {{recipe}}, and none is given"))),
        (Some(_), false) => Err(Error::Asked(format!("{name}: a recipe is given, and no argument names {{recipe}}"))),
        _ => Ok(Step::command(kind, name, program, arguments, recipe)),
    }
}

/// Empties a folder in which a command is to work.
pub fn fresh(folder: &Path) -> Result<()> {
    super::store::remove(folder)?;
    fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })
}
