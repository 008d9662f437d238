use super::*;
use crate::demo::steps::{Program, Step};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// A folder with programs that do what their first argument says, and a base model of one file.
struct Ground(TempDir);

/// `make FILE TEXT` writes; `fail` does not; `slow DIR` counts to five in a file, one in 0.2 s; `endless DIR` counts one and ends only when it is
/// interrupted, with 3, or has --resume. What was called is noted in `calls`.
const SCRIPT: &str = r#"#!/bin/sh
trap 'exit 3' INT
echo "$1" >> "$(dirname "$0")/calls"
case $1 in
    make) echo "$3" > "$2" ;;
    print) echo "{}" ;;
    fail) echo "the disk is full" >&2; exit 2 ;;
    no) echo no > "$2"; exit 1 ;;
    endless)
        mkdir -p "$2"
        echo x >> "$2/count"
        case "$*" in *--resume*) ;; *) while :; do sleep 0.1; done ;; esac ;;
    slow)
        mkdir -p "$2"
        while [ "$(cat "$2/count" 2>/dev/null | wc -l)" -lt 5 ]; do echo x >> "$2/count"; sleep 0.2; done ;;
esac
"#;

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir().unwrap());
        for folder in ["base", "programs"] {
            fs::create_dir(ground.path(folder)).unwrap();
        }
        fs::write(ground.path("base/weights"), "1").unwrap();
        for program in Program::ALL {
            let path = ground.path("programs").join(program.name());
            fs::write(&path, SCRIPT).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, steps: &[Step]) -> End {
        self.run_until(steps, &AtomicBool::new(false))
    }

    fn run_until(&self, steps: &[Step], stop: &AtomicBool) -> End {
        let (out, base, programs) = (self.path("out"), self.path("base"), self.path("programs"));
        let runner = Runner { out: &out, base: base.to_str().unwrap(), programs: &programs, stop };
        runner.run(steps, &lock(&out).unwrap()).unwrap()
    }

    /// What was called since the last time.
    fn calls(&self) -> Vec<String> {
        let path = self.path("programs/calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap()
    }
}

fn step(name: &'static str, makes: &'static str, arguments: &str) -> Step {
    Step {
        name,
        about: "Working",
        program: Program::Train,
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        recipe: None,
        makes,
        again: Again::Anew,
        printed: false,
        may_say_no: false,
        seconds: 1.0,
    }
}

fn three() -> Vec<Step> {
    let slow = step("slow", "slow", "slow {out}/slow");
    vec![
        step("first", "first", "make {out}/first 1"),
        Step { again: Again::Resume("slow"), ..slow },
        step("last", "last", "make {out}/last 3"),
    ]
}

#[test]
fn what_is_done_is_not_done_again() {
    let ground = Ground::new();
    assert!(matches!(ground.run(&three()), End::Done(seconds) if seconds > 1.0));
    assert_eq!(ground.calls(), ["make", "slow", "make"]);
    // The seconds of earlier starts count.
    assert!(matches!(ground.run(&three()), End::Done(seconds) if seconds > 1.0));
    assert!(ground.calls().is_empty());
    fs::remove_file(ground.path("out/last")).unwrap();
    ground.run(&three());
    assert_eq!((ground.calls(), ground.read("last")), (vec!["make".to_owned()], "3\n".to_owned()));
}

#[test]
fn what_changes_is_done_anew_with_everything_after_it() {
    let ground = Ground::new();
    ground.run(&three());
    ground.calls();
    let mut steps = three();
    steps[1].recipe = Some(("slow.toml", "steps = 5".to_owned()));
    ground.run(&steps);
    assert_eq!(ground.calls(), ["slow", "make"]);
    assert_eq!(
        (ground.read("slow/count").lines().count(), ground.read("recipes/slow.toml")),
        (5, "steps = 5".to_owned())
    );
    steps[0].arguments[2] = "one".to_owned();
    ground.run(&steps);
    assert_eq!((ground.calls().len(), ground.read("first")), (3, "one\n".to_owned()));
    fs::write(ground.path("base/weights"), "2").unwrap();
    ground.run(&steps);
    assert_eq!(ground.calls().len(), 3);
}

#[test]
fn a_stop_reaches_the_command_and_the_next_start_goes_on_where_it_was() {
    let ground = Ground::new();
    let stop = AtomicBool::new(false);
    let mut steps = three();
    steps[1].arguments[0] = "endless".to_owned();
    let end = thread::scope(|scope| {
        scope.spawn(|| {
            while !ground.path("out/slow/count").exists() {
                thread::sleep(PATIENCE);
            }
            stop.store(true, Ordering::Relaxed);
        });
        ground.run_until(&steps, &stop)
    });
    assert_eq!(end, End::Stopped);
    assert!(!ground.path("out/last").exists());
    assert!(matches!(ground.run(&steps), End::Done(_)));
    assert_eq!(ground.calls(), ["make", "endless", "endless", "make"]);
    assert!(ground.read("logs/slow.txt").contains("--resume"));
    assert_eq!(ground.read("slow/count").lines().count(), 2, "what was there was kept");
}

#[test]
fn what_was_begun_by_another_recipe_is_not_gone_on_with() {
    let ground = Ground::new();
    fs::create_dir_all(ground.path("out/slow")).unwrap();
    fs::write(ground.path("out/slow/other"), "").unwrap();
    ground.run(&three());
    assert!(!ground.path("out/slow/other").exists());
    assert!(!ground.read("logs/slow.txt").contains("--resume"));
}

#[test]
fn a_command_that_fails_ends_it_and_is_tried_again() {
    let ground = Ground::new();
    let mut steps = three();
    steps[1] = step("slow", "slow", "fail");
    assert_eq!(ground.run(&steps), End::Failed);
    assert!(ground.read("logs/slow.txt").ends_with("the disk is full\n"));
    assert_eq!(ground.run(&steps), End::Failed);
    assert_eq!(ground.calls(), ["make", "fail", "fail"]);
}

#[test]
fn an_answer_of_no_is_an_answer_where_it_may_be_one() {
    let ground = Ground::new();
    let no = Step { again: Again::Same, ..step("audit", "verdict", "no {out}/verdict") };
    assert_eq!(ground.run(std::slice::from_ref(&no)), End::Failed);
    assert!(matches!(ground.run(&[Step { may_say_no: true, ..no }]), End::Done(_)));
}

#[test]
fn what_a_command_prints_is_kept_where_that_is_what_it_makes() {
    let ground = Ground::new();
    let printed = Step { printed: true, ..step("bench", "bench.json", "print") };
    assert!(matches!(ground.run(&[printed]), End::Done(_)));
    assert_eq!(ground.read("bench.json"), "{}\n");
}

#[test]
fn time_that_is_left_follows_what_was_measured() {
    let steps = [Step { seconds: 100.0, ..step("a", "a", "") }, Step { seconds: 50.0, ..step("b", "b", "") }];
    let mut clock = Clock::new(&steps);
    assert_eq!(clock.left(&steps[0]), "about 1 min 40 s, 2 min 30 s left in all");
    clock.done(&steps[0], 205.0);
    assert_eq!(clock.left(&steps[1]), "about 1 min 40 s, 1 min 40 s left in all");
}
