//! Gates as JUnit's test cases, for services that build and test.

use super::{Result, check, words};
use crate::document::{Audit, Gate, GateStatus, VerdictStatus};
use askama::Template;

#[derive(Template)]
#[template(path = "junit.xml")]
struct Junit<'a> {
    audit: &'a Audit,
    failures: usize,
    errors: usize,
    /// Why the audit has no answer, which no gate may say.
    unfinished: Option<String>,
}

impl Junit<'_> {
    fn verdict(&self) -> &'static str {
        self.audit.verdict.status.word()
    }

    fn tests(&self) -> usize {
        self.audit.gates.len() + usize::from(self.unfinished.is_some())
    }
}

/// One test case for each gate: a gate that does not hold is a failure, one that is not decided an error. An audit that is
/// incomplete or invalid has one more, an error, so that nobody takes it for a passed one.
///
/// # Errors
/// A number that is not finite.
pub fn junit(audit: &Audit) -> Result<String> {
    check::document(audit)?;
    let count = |status| audit.gates.iter().filter(|gate| gate.status == status).count();
    let unfinished = match audit.verdict.status {
        VerdictStatus::Pass | VerdictStatus::Fail => None,
        VerdictStatus::Incomplete | VerdictStatus::Invalid => Some(audit.verdict.reasons.join(" ")),
    };
    let errors = count(GateStatus::Undecided) + usize::from(unfinished.is_some());
    Ok(Junit { audit, failures: count(GateStatus::Fail), errors, unfinished }.render()?)
}

/// A text without the characters that XML cannot hold.
fn xml(text: &str) -> String {
    let held =
        |c: &char| !matches!(*c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(held).collect()
}

/// A gate's name, with the part that it is about: one demand of every part is as many gates.
fn name(gate: &Gate) -> String {
    match (&gate.scope.by, &gate.scope.is) {
        (Some(by), Some(is)) => xml(&format!("{} ({by}: {is})", gate.name)),
        _ => xml(&gate.name),
    }
}

/// What is demanded, in a sentence.
fn demand(gate: &Gate, audit: &Audit) -> String {
    xml(&words::demand(gate, audit))
}
