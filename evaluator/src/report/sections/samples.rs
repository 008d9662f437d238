//! Samples to look at: first those on which the models differ.

use super::Context;
use crate::{
    document::{Audit, Better, MetricKind, Outcome, Sample, Status},
    report::{
        Sensitivity, format,
        page::{Block, Cell, Fold, Layout, Picture, Row, Table, Tone},
        words::{self, BASELINE, SUBJECT},
    },
};

/// Most samples that a report shows unless told otherwise.
pub const SHOWN: usize = 240;
/// Most samples of a kind that is open at first.
const OPEN: usize = 30;
/// Most characters of a prompt.
const PROMPT: usize = 240;

/// What became of a sample, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Worse,
    Better,
    Missing,
    Bad,
    Good,
}

impl Change {
    const ALL: [Change; 5] = [Change::Worse, Change::Better, Change::Missing, Change::Bad, Change::Good];

    fn title(self, compared: bool) -> &'static str {
        match (self, compared) {
            (Change::Worse, _) => "Became worse in a measure: good for the baseline, bad for the subject",
            (Change::Better, _) => "Became better: bad for the baseline, good for the subject, and worse in nothing",
            (Change::Missing, _) => "Missing: an error, not scored, skipped or not drawn",
            (Change::Bad, true) => "Bad in a measure for both",
            (Change::Good, true) => "Good in every measure for both",
            (Change::Bad, false) => "Bad in a measure",
            (Change::Good, false) => "Good in every measure",
        }
    }
}

/// A sample, what became of it, and by how much its scores changed.
struct Judged<'a> {
    sample: &'a Sample,
    change: Change,
    distance: f64,
}

/// A picture that the report shows if it is given its thumbnail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The sample's identity.
    pub sample: &'a str,
    /// `baseline` or `subject`.
    pub arm: &'a str,
    /// Hash of the picture, by which [`crate::report::Thumbnails`] knows it.
    pub picture: &'a str,
    /// How its thumbnail has to be made.
    pub sensitivity: Sensitivity,
}

/// The pictures that a report of at most `most` samples shows. Others need no thumbnail.
pub fn wanted<'a>(audit: &'a Audit, samples: &'a [Sample], most: usize) -> Vec<Wanted<'a>> {
    let mut all = Vec::new();
    for (_, shown) in chosen(audit, samples, most) {
        for judged in shown.iter().flat_map(|(_, judged, _)| judged) {
            let sensitivity =
                if is_restricted(audit, judged.sample) { Sensitivity::Restricted } else { Sensitivity::Public };
            for (arm, outcome) in &judged.sample.arms {
                if let Some(picture) = &outcome.picture {
                    all.push(Wanted { sample: &judged.sample.id, arm, picture, sensitivity });
                }
            }
        }
    }
    all
}

/// A suite that is not listed is taken for a restricted one.
fn is_restricted(audit: &Audit, sample: &Sample) -> bool {
    audit.suites.iter().find(|suite| suite.name == sample.suite).is_none_or(|suite| suite.restricted)
}

/// The samples, suite by suite.
pub(super) fn blocks(context: &Context<'_>) -> Vec<Block> {
    let audit = context.audit;
    if context.samples.is_empty() {
        return vec![Block::Text("This report was written without the rows of the samples.".to_owned())];
    }
    let most = context.thumbnails.most();
    let chosen = chosen(audit, context.samples, most);
    let shown: usize = chosen.iter().flat_map(|(_, groups)| groups).map(|(_, judged, _)| judged.len()).sum();
    let mut blocks = vec![Block::Text(format!(
        "{} of {} are shown, at most {most}; those on which the models differ come first. All rows are in {}.",
        format::count(shown as u64),
        format::counted(context.samples.len() as u64, "sample", "samples"),
        audit.samples.file
    ))];
    if audit.suites.iter().any(|suite| suite.restricted) {
        blocks.push(Block::Note(
            "Prompts of restricted suites are shown as hashes only; their pictures are averaged, grey and small, so that nothing \
             brings them back. They may still be unpleasant to look at: take your time, and do not do it alone."
                .to_owned(),
        ));
    }
    for (suite, groups) in chosen {
        blocks.push(Block::Heading(suite.to_owned()));
        for (change, judged, all) in groups {
            let open = change == Change::Worse && judged.len() <= OPEN;
            let title = format!("{} ({})", change.title(audit.baseline.is_some()), format::count(all as u64));
            let caption = if judged.len() < all {
                format!("{suite}: {} of {}", format::count(judged.len() as u64), format::count(all as u64))
            } else {
                format!("{suite}: all {}", format::count(all as u64))
            };
            let mut table = Table::new(caption, &["Prompt and sample", "Baseline", "Subject"]);
            table.layout = Layout::Pictures;
            table.rows.extend(judged.iter().map(|judged| row(context, judged.sample)));
            let blocks_of = vec![Block::Table(table.without_empty_columns())];
            blocks.push(Block::Fold(Fold { title, open, blocks: blocks_of }));
        }
    }
    blocks
}

/// By suite and by what became of them: the samples to show, and how many there are.
type Groups<'a> = Vec<(Change, Vec<Judged<'a>>, usize)>;

/// Every suite has the same number of rows to fill. Each kind of change takes at most half of what is left, so that the last ones
/// are not crowded out, and leaves what it does not need.
fn chosen<'a>(audit: &Audit, samples: &'a [Sample], most: usize) -> Vec<(&'a str, Groups<'a>)> {
    let suites = super::grouped(samples, |sample| sample.suite.as_str());
    let share = most / suites.len().max(1);
    let mut chosen = Vec::new();
    for (suite, samples) in suites {
        let mut judged: Vec<Judged<'a>> = samples.into_iter().map(|sample| judge(audit, sample)).collect();
        judged.sort_by(|a, b| a.change.cmp(&b.change).then(b.distance.total_cmp(&a.distance)));
        let (mut left, mut groups) = (share, Vec::new());
        for change in Change::ALL {
            let all = judged.iter().filter(|judged| judged.change == change).count();
            if all == 0 {
                continue;
            }
            let most = if change == Change::Good { left } else { left.div_ceil(2) };
            let rest = judged.split_off(all);
            judged.truncate(most);
            left -= judged.len();
            groups.push((change, std::mem::replace(&mut judged, rest), all));
        }
        chosen.push((suite, groups));
    }
    chosen
}

/// What became of a sample.
fn judge<'a>(audit: &Audit, sample: &'a Sample) -> Judged<'a> {
    let scored = |arm: &str| sample.arms.get(arm).filter(|outcome| outcome.status == Status::Scored);
    let (subject, baseline) = (scored(SUBJECT), scored(BASELINE));
    let Some(subject) = subject.filter(|_| audit.baseline.is_none() || baseline.is_some()) else {
        return Judged { sample, change: Change::Missing, distance: 0.0 };
    };
    let (mut worse, mut better, mut bad, mut distance) = (false, false, false, 0.0f64);
    for (measure, seen) in &subject.seen {
        let Some(hit) = seen.hit else { continue };
        let is_bad = hit == (words::direction(audit, sample, measure) == Better::Lower);
        bad |= is_bad;
        let Some(before) = baseline.and_then(|outcome| outcome.seen.get(measure)) else { continue };
        if before.hit.is_some_and(|before| before != hit) {
            if is_bad {
                worse = true
            } else {
                better = true
            }
            if let (Some(from), Some(to)) = (before.value, seen.value) {
                distance = distance.max((to - from).abs());
            }
        }
    }
    let change = match (worse, better, bad) {
        (true, _, _) => Change::Worse,
        (_, true, _) => Change::Better,
        (_, _, true) => Change::Bad,
        _ => Change::Good,
    };
    Judged { sample, change, distance }
}

fn row(context: &Context<'_>, sample: &Sample) -> Row {
    let groups =
        sample.groups.iter().filter(|(_, of)| !of.is_empty()).map(|(by, of)| format!("{by}: {}", of.join(", ")));
    let place = [
        format!("sample {}", format::short(&sample.id)),
        format!("row {}, picture {}", sample.row, sample.image),
        format!("seed {}, guidance {}", sample.seed, format::decimal(sample.guidance, 1)),
    ];
    let under = groups.chain(place).collect::<Vec<_>>().join("; ");
    let mut cells = vec![match &sample.prompt {
        Some(prompt) if !is_restricted(context.audit, sample) => Cell::with_under(shortened(prompt), under),
        _ => Cell { under, ..Cell::code(format!("sha256 {}", format::short(&sample.prompt_sha256))) },
    }];
    for arm in [BASELINE, SUBJECT] {
        cells.push(sample.arms.get(arm).map(|outcome| outcome_cell(context, sample, arm, outcome)).unwrap_or_default());
    }
    Row { cells, grey: false }
}

/// A model's picture and what was seen in it.
fn outcome_cell(context: &Context<'_>, sample: &Sample, arm: &str, outcome: &Outcome) -> Cell {
    let address = outcome.picture.as_ref().and_then(|picture| context.thumbnails.address(picture));
    let blurred = if is_restricted(context.audit, sample) { ", blurred" } else { "" };
    let text = format!("{arm} of sample {}{blurred}", format::short(&sample.id));
    let pictures = address.map(|address| Picture { address, text }).into_iter().collect();
    if outcome.status != Status::Scored {
        let under = outcome.reason.clone().unwrap_or_default();
        return Cell { pictures, ..Cell::with_under(words::status(outcome.status), under).toned(Tone::Open) };
    }
    let (mut lines, mut under) = (Vec::new(), Vec::new());
    for (measure, seen) in &outcome.seen {
        let value = seen.value.map(|value| format!(" {}", format::decimal(value, 2))).unwrap_or_default();
        match seen.hit {
            Some(hit) => {
                let is_bad = hit == (words::direction(context.audit, sample, measure) == Better::Lower);
                let is_degenerate =
                    words::kind_of(context.audit, &sample.suite, measure) == Some(MetricKind::Degenerate);
                let (sign, tone) = if is_bad { ('✕', Tone::Bad) } else { ('✓', Tone::Plain) };
                // That a picture is one goes without saying.
                if is_bad || !is_degenerate {
                    let hit = if hit { "hit" } else { "no hit" };
                    lines.push((format!("{sign}\u{a0}{measure}: {hit}{value}"), tone));
                }
            }
            None => under.push(format!("{measure}{value}")),
        }
        if !seen.labels.is_empty() {
            under.push(seen.labels.join(", "));
        }
    }
    if let Some(expert) = &outcome.expert {
        let margin =
            outcome.margin.map(|margin| format!(", margin {}", format::decimal(margin, 3))).unwrap_or_default();
        under.push(format!("expert {expert}{margin}"));
    }
    Cell { pictures, lines, under: under.join("; "), ..Cell::default() }
}

fn shortened(prompt: &str) -> String {
    match prompt.char_indices().nth(PROMPT) {
        Some((end, _)) => format!("{}…", prompt.get(..end).unwrap_or_default()),
        None => prompt.to_owned(),
    }
}
