//! Progress of long work: a bar with position, rate and time left on a terminal, a line now and then elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::human;
use crate::printer::{Printer, lock};

/// How progress is shown, chosen once for a printer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    Bars,
    Lines,
    Hidden,
}

/// What is counted.
#[derive(Clone, Debug)]
enum Unit {
    Bytes,
    Named(String),
}

impl Unit {
    fn position(&self, position: u64, total: u64) -> String {
        match self {
            Self::Bytes => format!("{}/{}", human::bytes(position), human::bytes(total)),
            Self::Named(name) => format!("{}/{} {name}", human::exact(position), human::exact(total)),
        }
    }

    fn rate(&self, per_second: f64) -> String {
        match self {
            Self::Bytes => format!("{}/s", human::bytes(per_second as u64)),
            Self::Named(_) if per_second > 0.0 && per_second < 1.0 => {
                format!("{} each", human::duration(seconds(1.0 / per_second)))
            }
            Self::Named(name) => format!("{per_second:.1} {name}/s"),
        }
    }
}

/// A duration from an estimate, which may be anything.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

/// One piece of long work. It may be shared between threads; dropping it takes its bar away.
pub struct Progress(Shown);

enum Shown {
    Bar(ProgressBar),
    Lines { printer: Printer, lines: Mutex<Lines> },
    Hidden,
}

impl Printer {
    /// Shows work on `total` things: `printer.progress(25, "Sampling", "steps")`.
    pub fn progress(&self, total: u64, what: &str, unit: &str) -> Progress {
        self.show(total, what, Unit::Named(unit.to_owned()))
    }

    /// Shows a copy of `total` bytes: `printer.progress_bytes(size, "Downloading")`.
    pub fn progress_bytes(&self, total: u64, what: &str) -> Progress {
        self.show(total, what, Unit::Bytes)
    }

    /// Shows a series of files that are copied, one after the other or at once.
    pub fn copies(&self, what: &str) -> Copies {
        Copies { printer: self.clone(), what: what.to_owned(), running: Mutex::default() }
    }

    fn show(&self, total: u64, what: &str, unit: Unit) -> Progress {
        Progress(match self.progress_display() {
            Display::Hidden => Shown::Hidden,
            Display::Lines => {
                Shown::Lines { printer: self.clone(), lines: Mutex::new(Lines::new(total, what, unit, Instant::now())) }
            }
            Display::Bars => {
                let bar = self.bars().add(ProgressBar::new(total));
                bar.set_style(bar_style(unit));
                bar.set_prefix(format!("{0}{what:>12}{0:#}", self.err_palette().status));
                bar.tick();
                Shown::Bar(bar)
            }
        })
    }
}

fn bar_style(unit: Unit) -> ProgressStyle {
    let count = unit.clone();
    // The template is a constant that a test draws.
    ProgressStyle::with_template("{prefix} [{bar:24}] {count}, {pace}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("count", move |state: &ProgressState, writer: &mut dyn std::fmt::Write| {
            let _ = writer.write_str(&count.position(state.pos(), state.len().unwrap_or_default()));
        })
        .with_key("pace", move |state: &ProgressState, writer: &mut dyn std::fmt::Write| {
            let _ = writer.write_str(&pace(&unit, state.per_sec(), state.eta()));
        })
}

fn pace(unit: &Unit, per_second: f64, left: Duration) -> String {
    if per_second > 0.0 {
        format!("{}, {} left", unit.rate(per_second), human::duration(left))
    } else {
        "starting".to_owned()
    }
}

impl Progress {
    /// That many more are done.
    pub fn inc(&self, count: u64) {
        match &self.0 {
            Shown::Bar(bar) => bar.inc(count),
            Shown::Lines { printer, lines } => {
                let mut lines = lock(lines);
                let position = lines.position.saturating_add(count);
                lines.show(position, printer);
            }
            Shown::Hidden => {}
        }
    }

    /// That many are done.
    pub fn set(&self, position: u64) {
        match &self.0 {
            Shown::Bar(bar) => bar.set_position(position),
            Shown::Lines { printer, lines } => lock(lines).show(position, printer),
            Shown::Hidden => {}
        }
    }

    /// That many were done before: they count as done, not towards the rate.
    pub fn resume_at(&self, position: u64) {
        match &self.0 {
            Shown::Bar(bar) => {
                // `update` brings the estimate to this position, and only then is it forgotten.
                bar.update(|state| state.set_pos(position));
                bar.reset_eta();
                bar.force_draw();
            }
            Shown::Lines { lines, .. } => {
                let mut lines = lock(lines);
                lines.position = position;
                lines.resumed = position;
                lines.tenth = lines.tenth_of(position);
            }
            Shown::Hidden => {}
        }
    }

    /// Shows something beside the numbers, such as the loss or a file's name.
    pub fn message(&self, text: impl Into<String>) {
        match &self.0 {
            Shown::Bar(bar) => bar.set_message(text.into()),
            Shown::Lines { lines, .. } => lock(lines).message = text.into(),
            Shown::Hidden => {}
        }
    }

    /// Takes the bar away; the status that follows says what was done.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// When to print a line: at every tenth of the work, but neither every moment nor after a long silence.
struct Lines {
    what: String,
    unit: Unit,
    message: String,
    total: u64,
    position: u64,
    resumed: u64,
    tenth: u64,
    start: Instant,
    last: Instant,
}

impl Lines {
    const SOONEST: Duration = Duration::from_secs(2);
    const LATEST: Duration = Duration::from_secs(30);

    fn new(total: u64, what: &str, unit: Unit, now: Instant) -> Self {
        let (what, message) = (what.to_owned(), String::new());
        Self { what, unit, message, total, position: 0, resumed: 0, tenth: 0, start: now, last: now }
    }

    fn tenth_of(&self, position: u64) -> u64 {
        if self.total == 0 { 0 } else { (u128::from(position) * 10 / u128::from(self.total)) as u64 }
    }

    fn show(&mut self, position: u64, printer: &Printer) {
        if let Some(text) = self.advance(position, Instant::now()) {
            printer.status(&self.what, text);
        }
    }

    fn advance(&mut self, position: u64, now: Instant) -> Option<String> {
        self.position = position;
        let tenth = self.tenth_of(position);
        let silent = now.saturating_duration_since(self.last);
        let due = silent >= Self::LATEST || (tenth > self.tenth && silent >= Self::SOONEST);
        due.then(|| {
            self.tenth = tenth;
            self.last = now;
            self.text(now)
        })
    }

    fn text(&self, now: Instant) -> String {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        let per_second = self.position.saturating_sub(self.resumed) as f64 / elapsed;
        let left = seconds(self.total.saturating_sub(self.position) as f64 / per_second);
        let percent = if self.total == 0 { 0.0 } else { 100.0 * self.position as f64 / self.total as f64 };
        let count = self.unit.position(self.position, self.total);
        let text = format!("{count} ({percent:.0} %), {}  {}", pace(&self.unit, per_second, left), self.message);
        text.trim_end().to_owned()
    }
}

/// The progress of files by name: `update` fits a callback that knows a file, its position and its size in bytes.
pub struct Copies {
    printer: Printer,
    what: String,
    running: Mutex<Vec<(String, Progress)>>,
}

impl Copies {
    /// `position` of `total` bytes of `file` are there. The first position seen counts as there before.
    pub fn update(&self, file: &str, position: u64, total: u64) {
        let mut running = lock(&self.running);
        let index = running.iter().position(|(name, _)| name == file);
        if position >= total {
            if let Some(index) = index {
                running.swap_remove(index);
            }
            return;
        }
        match index.and_then(|index| running.get(index)) {
            Some((_, progress)) => progress.set(position),
            None => {
                let progress = self.printer.progress_bytes(total, &self.what);
                progress.message(file);
                progress.resume_at(position);
                running.push((file.to_owned(), progress));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;
    use crate::args::Verbosity;
    use crate::printer::{Settings, Streams};

    fn on_terminal() -> (Printer, InMemoryTerm) {
        let terminal = InMemoryTerm::new(10, 100);
        let streams = Streams {
            out: Box::new(std::io::sink()),
            err: Box::new(std::io::sink()),
            out_terminal: false,
            err_terminal: true,
            bars: ProgressDrawTarget::term_like(Box::new(terminal.clone())),
        };
        let settings = Settings { color: clap::ColorChoice::Never, ..Default::default() };
        (Printer::with_streams(settings, streams), terminal)
    }

    #[test]
    fn a_bar_shows_position_rate_and_time_left_and_goes() {
        let (printer, terminal) = on_terminal();
        let bar = printer.progress(25, "Sampling", "steps");
        assert_eq!(terminal.contents(), "    Sampling [                        ] 0/25 steps, starting");
        std::thread::sleep(Duration::from_millis(60));
        bar.message("loss 0.1");
        bar.set(20);
        let drawn = terminal.contents();
        assert!(drawn.starts_with("    Sampling [===================>    ] 20/25 steps, "), "{drawn}");
        assert!(drawn.contains(" steps/s, ") && drawn.ends_with(" left  loss 0.1"), "{drawn}");
        bar.finish();
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn what_is_printed_or_traced_lifts_the_bar() {
        let (printer, terminal) = on_terminal();
        let bar = printer.progress_bytes(3_000_000, "Copying");
        bar.resume_at(1_200_000);
        let before = terminal.moves_since_last_check();
        printer.warn("w");
        let moves = terminal.moves_since_last_check();
        assert!(before.contains("1.2 MB/3.0 MB"), "{before}");
        assert!(moves.contains("Clear"), "the bar is cleared before the warning is written: {moves}");
        assert!(moves.contains("1.2 MB/3.0 MB"), "and drawn again after it: {moves}");
    }

    #[test]
    fn lines_come_at_tenths_but_not_too_often_nor_too_seldom() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lines = Lines::new(1000, "Exporting", Unit::Named("tensors".to_owned()), start);
        assert_eq!(lines.advance(150, at(1)), None, "too soon");
        assert_eq!(lines.advance(200, at(4)).unwrap(), "200/1,000 tensors (20 %), 50.0 tensors/s, 16 s left");
        assert_eq!(lines.advance(290, at(10)), None, "the same tenth");
        lines.message = "loss 0.1".to_owned();
        assert_eq!(
            lines.advance(295, at(34)).unwrap(),
            "295/1,000 tensors (30 %), 8.7 tensors/s, 1 min 21 s left  loss 0.1"
        );
        assert_eq!(lines.advance(999, at(35)), None);
        assert_eq!(
            lines.advance(1000, at(40)).unwrap(),
            "1,000/1,000 tensors (100 %), 25.0 tensors/s, 0 ms left  loss 0.1"
        );
    }

    #[test]
    fn slow_work_and_work_without_a_total_have_words_too() {
        let start = Instant::now();
        let mut slow = Lines::new(10, "Sampling", Unit::Named("steps".to_owned()), start);
        assert_eq!(
            slow.advance(1, start + Duration::from_secs(5)).unwrap(),
            "1/10 steps (10 %), 5.0 s each, 45 s left"
        );
        let mut endless = Lines::new(0, "Copying", Unit::Bytes, start);
        let text = endless.advance(1 << 20, start + Duration::from_secs(30)).unwrap();
        assert_eq!(text, "1.0 MB/0 B (0 %), 35.0 kB/s, 0 ms left");
    }

    #[test]
    fn resumed_work_does_not_count_towards_the_rate() {
        let (printer, _) = Printer::captured(Settings::default());
        let progress = printer.progress(100, "Training", "steps");
        progress.resume_at(55);
        let Shown::Lines { lines, .. } = &progress.0 else { panic!("not a terminal") };
        let mut lines = lock(lines);
        let later = lines.start + Duration::from_secs(5);
        assert_eq!(lines.advance(60, later).unwrap(), "60/100 steps (60 %), 1.0 steps/s, 40 s left");
    }

    #[test]
    fn nothing_is_shown_when_quiet_or_unwanted() {
        for settings in [
            Settings { verbosity: Verbosity::Quiet, ..Default::default() },
            Settings { progress: false, ..Default::default() },
        ] {
            let (printer, captured) = Printer::captured(settings);
            let progress = printer.progress(1, "Sampling", "steps");
            assert!(matches!(progress.0, Shown::Hidden));
            progress.inc(1);
            assert_eq!(captured.err(), "");
        }
    }

    #[test]
    fn progress_is_shared_between_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        let (printer, _) = Printer::captured(Settings::default());
        shared(&printer.progress(1, "Sampling", "steps"));
        shared(&printer.copies("Downloading"));
    }

    #[test]
    fn copies_have_a_bar_each_while_they_run() {
        let (printer, terminal) = on_terminal();
        let copies = printer.copies("Downloading");
        copies.update("a.safetensors", 500, 2000);
        copies.update("b.json", 0, 10);
        let drawn = terminal.contents();
        assert!(drawn.contains("500 B/2.0 kB, starting  a.safetensors"), "{drawn}");
        assert!(drawn.contains("0 B/10 B, starting  b.json"), "{drawn}");
        copies.update("b.json", 10, 10);
        assert!(!terminal.contents().contains("b.json"));
        copies.update("a.safetensors", 2000, 2000);
        assert_eq!(terminal.contents(), "");
    }
}
