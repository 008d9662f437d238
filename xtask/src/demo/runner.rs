//! Does steps one after the other, each once: what is done is found by its mark, what was interrupted goes on.
//!
//! ```text
//! OUT/  .lock                 held by the demo and by the command that it runs
//!       marks/NAME.json       the step's key, whether it is done, and its seconds
//!       logs/NAME.txt         what its command printed
//!       recipes/              what commands read
//!       ...                   what steps make
//! ```
//! A step's key is the hash of its command, its recipe and the key of the step before it; the first one follows on the base model's files. So
//! whatever changes is done anew with everything after it, and nothing is mixed.

use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::steps::{Again, Step, placed};

/// How often a command is asked whether it has ended.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long an interrupted command may take to write a checkpoint.
const GRACE: Duration = Duration::from_secs(60);
/// Lines of a failed command's log that are shown.
const TAIL: usize = 15;

/// Where and with what steps are done. Commands run in the current folder.
pub struct Runner<'a> {
    /// The demo's folder.
    pub out: &'a Path,
    /// The base model, as commands name it.
    pub base: &'a str,
    /// The folder of Pleach's programs.
    pub programs: &'a Path,
    /// Set when the demo is to stop.
    pub stop: &'a AtomicBool,
}

/// How the steps ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// All are done, in so many seconds of work, those of earlier starts included.
    Done(f64),
    /// Stopped; the same command goes on.
    Stopped,
    /// A command failed, and what it said was shown.
    Failed,
}

/// What is known of a step that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    key: String,
    done: bool,
    seconds: f64,
}

/// Keeps everybody else out of a folder, until this and every command that was given it has ended.
pub fn lock(out: &Path) -> Result<File> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = out.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("Waiting for another demo in {}, or for a command that one left behind.", out.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}

impl Runner<'_> {
    /// Does what is not done.
    pub fn run(&self, steps: &[Step], lock: &File) -> Result<End> {
        for folder in ["marks", "logs", "recipes"] {
            let folder = self.out.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let keys = self.keys(steps)?;
        let mut clock = Clock::new(steps);
        for (i, (step, key)) in steps.iter().zip(keys).enumerate() {
            let mut begun = self.mark(step).filter(|mark| mark.key == key);
            if let Some(mark) = begun.take_if(|mark| mark.done) {
                // Unless somebody removed what it made.
                if self.out.join(step.makes).exists() {
                    clock.done(step, mark.seconds);
                    continue;
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            let about = if begun.is_some() && step.again != Again::Anew { ", going on" } else { "" };
            println!("[{}/{}] {}{about} ({})", i + 1, steps.len(), step.about, clock.left(step));
            let before = begun.as_ref().map_or(0.0, |mark| mark.seconds);
            if begun.is_none() || step.again == Again::Anew {
                remove(&self.out.join(step.makes))?;
            }
            let mut mark = Mark { key, done: false, seconds: before };
            self.write_mark(step, &mark)?;
            let start = Instant::now();
            let status = self.command(step, lock)?;
            mark.seconds = before + start.elapsed().as_secs_f64();
            mark.done = status.success() || (step.may_say_no && status.code() == Some(1));
            self.write_mark(step, &mark)?;
            if !mark.done {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(End::Stopped);
                }
                self.show_failure(step, status);
                return Ok(End::Failed);
            }
            clock.done(step, mark.seconds);
        }
        Ok(End::Done(clock.taken))
    }

    /// The key of each step.
    fn keys(&self, steps: &[Step]) -> Result<Vec<String>> {
        let mut key = tree(Path::new(self.base))?;
        let mut keys = Vec::new();
        for step in steps {
            let said = serde_json::json!([key, step.name, step.program.name(), step.arguments, step.recipe]);
            key = hex(Sha256::digest(said.to_string()));
            keys.push(key.clone());
        }
        Ok(keys)
    }

    fn mark_path(&self, step: &Step) -> PathBuf {
        self.out.join("marks").join(format!("{}.json", step.name))
    }

    /// A mark that cannot be read says as little as none.
    fn mark(&self, step: &Step) -> Option<Mark> {
        serde_json::from_slice(&fs::read(self.mark_path(step)).ok()?).ok()
    }

    fn write_mark(&self, step: &Step, mark: &Mark) -> Result<()> {
        write(&self.mark_path(step), serde_json::to_string(mark)?.as_bytes())
    }

    /// Runs a step's command to its end, or to where it stops when the demo is to.
    fn command(&self, step: &Step, lock: &File) -> Result<ExitStatus> {
        if let Some((file, text)) = &step.recipe {
            write(&self.out.join("recipes").join(file), placed(text, self.out, self.base).as_bytes())?;
        }
        let log = self.out.join("logs").join(format!("{}.txt", step.name));
        let failed = || format!("cannot write {}", log.display());
        let mut printed = File::create(&log).with_context(failed)?;
        let program = self.programs.join(format!("{}{}", step.program.name(), std::env::consts::EXE_SUFFIX));
        let mut words: Vec<String> = step.arguments.iter().map(|word| placed(word, self.out, self.base)).collect();
        if let Again::Resume(begun) = step.again
            && self.out.join(begun).exists()
        {
            words.push("--resume".to_owned());
        }
        // In a terminal the command shows how far it is; elsewhere our line is enough.
        let shown = std::io::stderr().is_terminal();
        words.extend((!shown).then(|| "--no-progress".to_owned()));
        writeln!(printed, "$ {} {}", program.display(), words.join(" ")).with_context(failed)?;
        let said = if shown { Stdio::inherit() } else { printed.try_clone().with_context(failed)?.into() };
        let made = self.out.join(step.makes);
        // What a command prints becomes the step's file when it has ended well.
        let partial = made.with_extension("partial");
        let out = if step.printed { File::create(&partial).with_context(failed)? } else { printed };
        let mut command = Command::new(&program);
        // An empty file, and the lock: whatever ends the demo, nobody begins beside a command that is still at work.
        let stdin = lock.try_clone().context("cannot hand the lock on")?;
        command.args(&words).stdin(stdin).stdout(out).stderr(said);
        alone(&mut command);
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let status = self.wait(child).with_context(|| format!("cannot wait for {}", program.display()))?;
        if step.printed && status.success() {
            fs::rename(&partial, &made).with_context(|| format!("cannot write {}", made.display()))?;
        }
        Ok(status)
    }

    /// Waits for a command; passes on that it is to stop.
    fn wait(&self, mut child: Child) -> std::io::Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            match asked {
                None if self.stop.load(Ordering::Relaxed) => {
                    interrupt(&mut child)?;
                    asked = Some(Instant::now());
                }
                Some(since) if since.elapsed() > GRACE => child.kill()?,
                _ => {}
            }
            thread::sleep(PATIENCE);
        }
    }

    fn show_failure(&self, step: &Step, status: ExitStatus) {
        let log = self.out.join("logs").join(format!("{}.txt", step.name));
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            eprintln!("    {line}");
        }
        eprintln!("{} failed ({status}); its log is {}", step.program.name(), log.display());
    }
}

/// In a group of its own: Ctrl-C in a terminal reaches the demo alone, which passes it on once.
fn alone(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Asks a command to stop where it can go on from.
fn interrupt(child: &mut Child) -> std::io::Result<()> {
    if cfg!(unix) {
        let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        if status.is_ok_and(|status| status.success()) {
            return Ok(());
        }
    }
    child.kill()
}

/// How long everything takes: the steps' own estimates, scaled by what those that are done took.
struct Clock {
    /// Estimates of what is not done.
    ahead: f64,
    /// Estimates of what is done.
    behind: f64,
    /// Seconds that it took.
    taken: f64,
}

impl Clock {
    fn new(steps: &[Step]) -> Self {
        Self { ahead: steps.iter().map(|step| step.seconds).sum(), behind: 0.0, taken: 0.0 }
    }

    fn done(&mut self, step: &Step, seconds: f64) {
        self.ahead -= step.seconds;
        self.behind += step.seconds;
        self.taken += seconds;
    }

    /// How much slower this machine is than what estimates were made on. As long as little is done, little is known.
    fn scale(&self) -> f64 {
        const TRUST: f64 = 5.0;
        (self.taken + TRUST) / (self.behind + TRUST)
    }

    fn left(&self, step: &Step) -> String {
        let scale = self.scale();
        format!("about {}, {} left in all", duration(step.seconds * scale), duration(self.ahead * scale))
    }
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 60, whole % 60) {
        (0, seconds) => format!("{} s", seconds.max(1)),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The hash of a folder's files, in the order of their names.
pub fn tree(folder: &Path) -> Result<String> {
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let mut all = Sha256::new();
    add(folder, folder, &mut all)?;
    Ok(hex(all.finalize()))
}

fn add(root: &Path, folder: &Path, all: &mut Sha256) -> Result<()> {
    let failed = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(failed)?.collect::<Result<Vec<_>, _>>().with_context(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(root, &path, all)?;
        } else {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            all.update(format!("{name} {}\n", hex(Sha256::digest(bytes))));
        }
    }
    Ok(())
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(all(test, unix))]
mod tests;
