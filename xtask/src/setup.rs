//! `cargo xtask setup`: brings the native libraries into `.native/`, each part whole or not at all.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::native::{self, Audience, Build, Part};
use crate::{tools, wheel};

#[derive(clap::Args, Default)]
pub struct Args {
    /// Leave out libtorch: enough to export, run and audit
    #[arg(long)]
    without_trainer: bool,
    /// Also install these providers for ONNX Runtime: openvino, qnn
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    providers: Vec<String>,
    /// Also install these instruments of the audit: nudenet (its weights are under AGPL-3.0)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    instruments: Vec<String>,
    /// Install the builds for NVIDIA GPUs; by default, where there is an NVIDIA driver
    #[arg(long, value_enum, default_value_t)]
    cuda: Cuda,
    /// Install again what is there already
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Cuda {
    #[default]
    Auto,
    Yes,
    No,
}

impl Cuda {
    fn wanted(self) -> bool {
        match self {
            Self::Auto => Path::new("/proc/driver/nvidia/version").exists(),
            Self::Yes => true,
            Self::No => false,
        }
    }
}

/// What is to be done about a part.
enum Step<'a> {
    /// The user has his own: the variable and its value.
    Own(&'a str, OsString),
    Installed,
    Install(&'a Build),
}

/// Installs what is wanted and missing.
pub fn run(args: &Args, root: &Path) -> Result<()> {
    let folder = root.join(".native");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Two set-ups at once would take each other's files away.
    let lock = File::create(folder.join(".lock")).context("cannot lock .native")?;
    lock.lock().context("cannot lock .native")?;

    let parts = native::parts()?;
    let steps = plan(args, &parts, &folder)?;
    let python = require_tools(args, &steps)?;
    let width = steps.iter().map(|(part, _)| part.name.len()).max().unwrap_or(0);
    for (part, step) in &steps {
        print!("{:width$}  ", part.name);
        match step {
            Step::Own(variable, value) => println!("left alone, {variable}={} is set", value.display()),
            Step::Installed => println!("ready in .native/{}", part.folder.display()),
            Step::Install(build) => {
                println!("fetching {}: {}", build.packages()?, part.about);
                let start = Instant::now();
                let bytes =
                    install(part, build, &python, &folder).with_context(|| format!("cannot install {}", part.name))?;
                let (size, seconds) = (bytes as f64 / 1e6, start.elapsed().as_secs_f64());
                println!("{:width$}  {size:.1} MB in .native/{}, {seconds:.1} s", "", part.folder.display());
            }
        }
    }
    Ok(())
}

/// Decides about every part that is wanted, before anything is fetched.
fn plan<'a>(args: &Args, parts: &'a [Part], folder: &Path) -> Result<Vec<(&'a Part, Step<'a>)>> {
    for (what, audience, asked) in
        [("provider", Audience::Provider, &args.providers), ("instrument", Audience::Instrument, &args.instruments)]
    {
        let known: BTreeSet<&str> =
            parts.iter().filter(|part| part.audience == audience).map(|part| part.name.as_str()).collect();
        for name in asked {
            let names = || known.iter().copied().collect::<Vec<_>>().join(", ");
            ensure!(known.contains(name.as_str()), "there is no {what} `{name}`; there are: {}", names());
        }
    }
    let (platform, cuda) = (native::platform(), args.cuda.wanted());
    let mut steps = Vec::new();
    for part in parts {
        let wanted = match part.audience {
            Audience::All => true,
            Audience::Trainer => !args.without_trainer,
            // A platform for which no CUDA is pinned runs on its CPU.
            Audience::Cuda => cuda && part.build(&platform, cuda).is_some(),
            Audience::Provider => args.providers.contains(&part.name),
            Audience::Instrument => args.instruments.contains(&part.name),
        };
        if !wanted {
            continue;
        }
        let home = folder.join(&part.folder);
        let step = if let Some((variable, value)) = own(part, &home, |name| std::env::var_os(name)) {
            Step::Own(variable, value)
        } else if let Some(build) = part.build(&platform, cuda) {
            if !args.force && build.is_installed(&home)? { Step::Installed } else { Step::Install(build) }
        } else {
            bail!("{}", unpinned(part, &platform));
        };
        steps.push((part, step));
    }
    Ok(steps)
}

/// The variable with which the user says that he has his own, if it says so: cargo itself sets it to `home` (`.cargo/config.toml`).
pub fn own<'a>(
    part: &'a Part,
    home: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<(&'a str, OsString)> {
    let set = part.variables.iter().filter_map(|name| Some((name.as_str(), variable(name)?)));
    set.into_iter().find(|(_, value)| !Path::new(value).starts_with(home))
}

fn unpinned(part: &Part, platform: &str) -> String {
    let way_out = match part.variables.last() {
        Some(variable) => format!("; install it yourself and set {variable}"),
        None => String::new(),
    };
    format!("this platform ({platform}) has no pinned wheel of {}{way_out}", part.name)
}

/// The python3 to fetch with (unused if there is nothing to fetch); an error that names everything that is missing.
fn require_tools(args: &Args, steps: &[(&Part, Step)]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut missing = Vec::new();
    let mut python = PathBuf::new();
    if steps.iter().any(|(_, step)| matches!(step, Step::Install(_))) {
        match tools::python(&path) {
            Ok(found) => python = found,
            Err(what) => missing.push(what),
        }
    }
    if !args.without_trainer {
        missing.extend(tools::compiler(std::env::var("CXX").ok().as_deref(), &path).err());
    }
    ensure!(missing.is_empty(), "this machine lacks what set-up needs:\n  {}", missing.join("\n  "));
    Ok(python)
}

/// Fetches and unpacks a part beside the others, then moves it into its place; gives its bytes.
fn install(part: &Part, build: &Build, python: &Path, folder: &Path) -> Result<u64> {
    let staging = folder.join(".staging");
    // What an interrupted set-up left.
    remove(&staging)?;
    let fresh = staging.join("fresh");
    let bytes = fetch(build, python, &staging.join("wheels"), &fresh).and_then(|bytes| {
        replace(&folder.join(&part.folder), &fresh, &staging.join("old"))?;
        Ok(bytes)
    });
    remove(&staging)?;
    bytes
}

/// Fetches the wheels and puts what is wanted of them into the folder `fresh`, complete with its stamp.
fn fetch(build: &Build, python: &Path, downloads: &Path, fresh: &Path) -> Result<u64> {
    wheel::download(python, &build.wheel, downloads)?;
    fs::create_dir_all(fresh)?;
    let mut bytes = 0;
    for wheel in &build.wheel {
        bytes += wheel.unpack(downloads, fresh)?;
    }
    for (path, text) in &build.write {
        fs::write(fresh.join(path), text)?;
    }
    build.write_stamp(fresh)?;
    Ok(bytes)
}

/// Moves `fresh` to `home`, and what was there to `old`.
fn replace(home: &Path, fresh: &Path, old: &Path) -> Result<()> {
    if let Some(parent) = home.parent() {
        fs::create_dir_all(parent)?;
    }
    if home.exists() {
        fs::rename(home, old)?;
    }
    Ok(fs::rename(fresh, home)?)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str) -> Part {
        native::parts().unwrap().into_iter().find(|part| part.name == name).unwrap()
    }

    #[test]
    fn a_users_own_library_wins() {
        let libtorch = part("libtorch");
        let home = Path::new("repo/.native/libtorch");
        let own = |variables: &[(&str, &str)]| {
            own(&libtorch, home, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
                .map(|(variable, value)| format!("{variable}={}", value.display()))
        };
        assert_eq!(own(&[]), None);
        assert_eq!(own(&[("LIBTORCH", "repo/.native/libtorch")]), None, "what .cargo/config.toml sets");
        assert_eq!(own(&[("LIBTORCH", "opt/libtorch")]).as_deref(), Some("LIBTORCH=opt/libtorch"));
        let python = [("LIBTORCH", "repo/.native/libtorch"), ("LIBTORCH_USE_PYTORCH", "1")];
        assert_eq!(own(&python).as_deref(), Some("LIBTORCH_USE_PYTORCH=1"));
    }

    #[test]
    fn an_unpinned_platform_is_named_with_the_way_out() {
        assert_eq!(
            unpinned(&part("libtorch"), "freebsd-x86_64"),
            "this platform (freebsd-x86_64) has no pinned wheel of libtorch; install it yourself and set LIBTORCH"
        );
    }

    #[test]
    fn an_unknown_provider_or_instrument_is_refused_before_anything_is_fetched() {
        let parts = native::parts().unwrap();
        let error = |args| plan(&args, &parts, Path::new(".native")).err().unwrap().to_string();
        let args = Args { providers: vec!["opnvino".to_owned()], ..Args::default() };
        assert_eq!(error(args), "there is no provider `opnvino`; there are: openvino, qnn");
        let args = Args { instruments: vec!["qnn".to_owned()], ..Args::default() };
        assert_eq!(error(args), "there is no instrument `qnn`; there are: nudenet");
    }

    #[test]
    fn instruments_are_fetched_only_when_asked_for() {
        let (parts, folder) = (native::parts().unwrap(), tempfile::tempdir().unwrap());
        let names = |instruments: &[&str]| -> Vec<String> {
            let instruments = instruments.iter().map(|name| (*name).to_owned()).collect();
            let args = Args { instruments, without_trainer: true, cuda: Cuda::No, ..Args::default() };
            plan(&args, &parts, folder.path()).unwrap().into_iter().map(|(part, _)| part.name.clone()).collect()
        };
        assert!(!names(&[]).contains(&"nudenet".to_owned()));
        assert!(names(&["nudenet"]).contains(&"nudenet".to_owned()));
    }
}
