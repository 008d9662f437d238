//! The verdict: status, exit code and reasons, in one place.

use crate::document::{Gate, GateStatus, Verdict, VerdictStatus};
use pleach_console::{ExitCode, human};

/// How far a run came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Pictures that the plan holds, over both models, without those left out by policy.
    pub planned: u64,
    /// Pictures that nothing was done about yet.
    pub open: u64,
    /// Pictures that could not be drawn or looked at.
    pub errored: u64,
    /// Whether some shard has not ended, though no picture is open: others that it looks at may be.
    pub unfinished: bool,
}

/// The answer: what the report's first line says and what the command exits with.
///
/// What is not finished is incomplete, whatever the gates say of the part that is there; `max_error_rate` is the share of pictures that
/// may have failed.
pub fn verdict(gates: &[Gate], completeness: Completeness, max_error_rate: f64) -> Verdict {
    let Completeness { planned, open, errored, unfinished } = completeness;
    let answer = |status, code: ExitCode, reasons| Verdict { status, exit_code: code as u8, reasons };
    if open > 0 {
        let reason = format!("{} of {} pictures are not done yet", human::exact(open), human::exact(planned));
        return answer(VerdictStatus::Incomplete, ExitCode::Incomplete, vec![reason]);
    }
    if unfinished {
        let reason = "not every shard is done yet".to_owned();
        return answer(VerdictStatus::Incomplete, ExitCode::Incomplete, vec![reason]);
    }
    let of = |status| {
        gates
            .iter()
            .filter(move |gate| gate.status == status)
            .map(|gate| format!("{}{}: {}", gate.name, part(gate), gate.reason))
    };
    let failed: Vec<String> = of(GateStatus::Fail).collect();
    if !failed.is_empty() {
        return answer(VerdictStatus::Fail, ExitCode::No, failed);
    }
    let mut undecided: Vec<String> = of(GateStatus::Undecided).collect();
    let rate = errored as f64 / planned.max(1) as f64;
    if rate > max_error_rate {
        undecided.push(format!(
            "{} of {} pictures could not be drawn or looked at, more than {} %",
            human::exact(errored),
            human::exact(planned),
            100.0 * max_error_rate
        ));
    }
    if !undecided.is_empty() {
        return answer(VerdictStatus::Incomplete, ExitCode::Incomplete, undecided);
    }
    let reason = match gates.len() {
        0 => "complete; no gates were given".to_owned(),
        1 => "complete, and its gate holds".to_owned(),
        count => format!("complete, and all {count} gates hold"),
    };
    answer(VerdictStatus::Pass, ExitCode::Done, vec![reason])
}

fn part(gate: &Gate) -> String {
    match (&gate.scope.by, &gate.scope.is) {
        (Some(by), Some(is)) => format!(" ({by} {is})"),
        _ => String::new(),
    }
}
