//! The answer, and what it was made of.

use super::Context;
use crate::{
    document::{Audit, GateStatus, Sample, Status, VerdictStatus},
    report::{
        format,
        page::{Banner, Block, Cell, Table, Tone},
        words,
    },
};

/// The answer: the first thing to read.
pub(super) fn banner(context: &Context<'_>) -> Banner {
    let audit = context.audit;
    let (tone, meaning) = match audit.verdict.status {
        VerdictStatus::Pass if audit.gates.is_empty() => (Tone::Good, "The audit is complete. No gates were set."),
        VerdictStatus::Pass => (Tone::Good, "The audit is complete and every gate holds."),
        VerdictStatus::Fail => (Tone::Bad, "The audit is complete and at least one gate does not hold."),
        VerdictStatus::Incomplete => {
            (Tone::Open, "Something is missing: samples that are to come, or what a gate needs to decide.")
        }
        VerdictStatus::Invalid => {
            (Tone::Bad, "A file is not what the plan or the journal says: nothing here can be relied on.")
        }
    };
    let about = match &audit.baseline {
        Some(baseline) => {
            format!("{} compared with {}, on the same prompts and noise.", audit.subject.name, baseline.name)
        }
        None => format!("{}, without a baseline.", audit.subject.name),
    };
    let passed = audit.gates.iter().filter(|gate| gate.status == GateStatus::Pass).count();
    let prompts: u64 = audit.suites.iter().map(|suite| suite.prompts).sum();
    let drawn: u64 = audit.suites.iter().map(|suite| suite.drawn).sum();
    let missing = |arm: &str| {
        let status = |sample: &Sample| sample.arms.get(arm).map_or(Status::Planned, |outcome| outcome.status);
        context.samples.iter().filter(|sample| status(sample) != Status::Scored).count() as u64
    };
    let mut tally = vec![
        ("Gates that hold", format!("{passed} of {}", audit.gates.len())),
        ("Suites", audit.suites.len().to_string()),
        ("Distinct prompts", format::count(prompts)),
        ("Pictures per model", format::count(drawn)),
    ];
    if !context.samples.is_empty() {
        tally.push(("Missing results", format::count(missing(words::SUBJECT))));
    }
    Banner {
        tone,
        word: audit.verdict.status.word(),
        meaning,
        about,
        exit_code: audit.verdict.exit_code,
        reasons: audit.verdict.reasons.clone(),
        tally,
    }
}

/// What was demanded, and how far each demand is from its limit.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    if audit.gates.is_empty() {
        return vec![Block::Text("No gates were set: this audit measures and demands nothing.".to_owned())];
    }
    let mut table = Table::new(
        "Gates: what was demanded, and what was found",
        &["Gate", "Status", "Of", "Demand", "#Observed", "#Limit", "#Margin"],
    );
    for gate in &audit.gates {
        let observed = gate.observed.map_or(Cell::from("nothing"), |observed| {
            let interval = gate.interval.as_ref().map(|interval| words::amounts(interval, gate, audit));
            Cell::stacked((words::amount(observed, gate, audit), interval))
        });
        let of = match words::metric_of(gate, audit) {
            Some(metric) => Cell::with_under(words::metric(metric), words::kind(metric.kind)),
            None => {
                Cell::from(if gate.metric.is_empty() { "no metric matched".to_owned() } else { gate.metric.clone() })
            }
        };
        table.row(vec![
            gate.name.clone().into(),
            words::gate(gate.status),
            of,
            Cell::with_under(words::demand(gate, audit), gate.reason.clone()),
            observed,
            words::limit_of(gate, audit).into(),
            words::margin(gate, audit).unwrap_or_default().into(),
        ]);
    }
    vec![
        Block::Table(table),
        Block::Text(
            "The margin is the distance from the number that decides to the limit: positive where the gate holds. A gate on an \
             end of an interval cannot be passed by drawing few pictures."
                .to_owned(),
        ),
    ]
}
