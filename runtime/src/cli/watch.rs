//! What is shown while pictures are drawn.

use pleach_console::{Interrupt, Printer, Progress, human};
use pleach_runtime::pipeline::{Event, Observer, Request};

/// Draws a progress bar over all steps of all pictures, and stops when asked to.
pub struct Watch<'r> {
    printer: Printer,
    interrupt: Interrupt,
    request: &'r Request,
    /// From the first step on: opening the networks would spoil the rate.
    progress: Option<Progress>,
}

impl<'r> Watch<'r> {
    /// Shows how `request` goes on.
    pub fn new(printer: &Printer, interrupt: Interrupt, request: &'r Request) -> Self {
        Self { printer: printer.clone(), interrupt, request, progress: None }
    }

    fn progress(&mut self) -> &Progress {
        let steps = self.request.steps * self.request.pictures.len();
        self.progress.get_or_insert_with(|| self.printer.progress(steps as u64, "Drawing", "steps"))
    }

    /// `2 of 4: a red star`
    fn title(&self, index: usize) -> String {
        let prompt = self.request.pictures.get(index).map_or("", |picture| picture.prompt.as_str());
        match self.request.pictures.len() {
            1 => excerpt(prompt),
            pictures => format!("{} of {pictures}: {}", index + 1, excerpt(prompt)),
        }
    }
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Opening { component, expert } => {
                let expert = expert.map_or_else(String::new, |expert| format!(" of {expert}"));
                match &self.progress {
                    Some(progress) => progress.message(format!("opening the {component}{expert}")),
                    None => self.printer.status("Opening", format_args!("the {component}{expert}")),
                }
            }
            Event::Truncated { prompt, dropped, kept } => self.printer.warn(format_args!(
                "the prompt {:?} is too long: {kept} tokens are read, the last {} are dropped",
                excerpt(prompt),
                human::exact(dropped as u64)
            )),
            Event::Step { call, calls, first, before, batch, .. } => {
                // What a sampler calls beyond its steps comes at the beginning, and counts for none.
                let steps = call.saturating_sub(calls.saturating_sub(self.request.steps));
                let position = before * self.request.steps + batch * steps;
                let title = self.title(first);
                let progress = self.progress();
                progress.message(title);
                progress.set(position as u64);
            }
            Event::Tile { tile, tiles, picture, .. } if tiles > 1 => {
                let title = format!("{} (tile {tile} of {tiles})", self.title(picture));
                self.progress().message(title);
            }
            _ => {}
        }
    }

    fn cancelled(&mut self) -> bool {
        self.interrupt.requested()
    }
}

/// The beginning of a prompt, on one line.
fn excerpt(prompt: &str) -> String {
    const LONGEST: usize = 40;
    let mut words = prompt.split_whitespace().collect::<Vec<_>>().join(" ").replace(|c: char| c.is_control(), " ");
    if let Some((end, _)) = words.char_indices().nth(LONGEST) {
        words.truncate(end);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn excerpts_fit_a_line() {
        assert_eq!(excerpt("a red\n star\u{7}"), "a red star ");
        assert_eq!(excerpt(&"星".repeat(100)), format!("{}…", "星".repeat(40)));
    }
}
