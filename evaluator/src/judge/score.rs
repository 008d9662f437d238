//! Findings against labels, counted.

use super::{Asked, Result, Seen};
use crate::stats::{Interval, wilson_interval};
use pleach_model::vision::Head;
use serde::Serialize;

/// How often something was so, with the 95 % Wilson interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Pictures of which it is so.
    pub count: u64,
    /// Pictures of which it could be.
    pub of: u64,
    /// `count / of`.
    pub rate: f64,
    /// Ends of the interval.
    pub interval: Interval,
}

impl Rate {
    /// `count` out of `of`.
    ///
    /// # Errors
    /// None at all, or fewer than `count`.
    pub fn new(count: u64, of: u64) -> Result<Self> {
        Ok(Self { count, of, rate: count as f64 / of as f64, interval: wilson_interval(count, of)? })
    }
}

/// How one head did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadScore {
    /// The head.
    pub head: String,
    /// Everything that was asked is found.
    pub found: Rate,
    /// What is found is what was asked, and nothing else.
    pub exact: Rate,
    /// The same for each class that was asked.
    pub classes: Vec<ClassScore>,
}

/// How one class did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The class.
    pub class: String,
    /// It is found where it was asked.
    pub found: Rate,
    /// What is found where it was asked and is missing: how often each class that was not asked, the most frequent first.
    pub instead: Vec<(String, u64)>,
}

/// Counts, for each head that was asked of any picture, how often it finds what was asked.
///
/// # Errors
/// None in practice: only heads and classes that were asked are counted.
pub fn score(heads: &[Head], pictures: &[(&Asked, Seen)]) -> Result<Vec<HeadScore>> {
    let mut scores = Vec::new();
    for (i, head) in heads.iter().enumerate() {
        let judged: Vec<(&Vec<usize>, Vec<usize>)> = pictures
            .iter()
            .filter_map(|(asked, seen)| Some((asked.classes.get(i)?.as_ref()?, head.found(seen.scores.get(i)?))))
            .collect();
        if judged.is_empty() {
            continue;
        }
        let count = |is: &dyn Fn(&[usize], &[usize]) -> bool| {
            judged.iter().filter(|(asked, found)| is(asked, found)).count() as u64
        };
        let of = judged.len() as u64;
        let found = count(&|asked, found| asked.iter().all(|class| found.contains(class)));
        let exact = count(&|asked, found| asked == found);
        let mut classes = Vec::new();
        for (class, name) in head.classes.iter().enumerate() {
            let of = count(&|asked, _| asked.contains(&class));
            if of == 0 {
                continue;
            }
            let found = count(&|asked, found| asked.contains(&class) && found.contains(&class));
            let other = |other: usize| {
                count(&|asked, found| {
                    asked.contains(&class)
                        && !found.contains(&class)
                        && !asked.contains(&other)
                        && found.contains(&other)
                })
            };
            let mut instead: Vec<(String, u64)> =
                head.classes.iter().enumerate().map(|(i, name)| (name.clone(), other(i))).collect();
            instead.retain(|(_, count)| *count > 0);
            instead.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            classes.push(ClassScore { class: name.clone(), found: Rate::new(found, of)?, instead });
        }
        scores.push(HeadScore {
            head: head.name.clone(),
            found: Rate::new(found, of)?,
            exact: Rate::new(exact, of)?,
            classes,
        });
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::vision::Choice;

    #[test]
    fn found_exact_and_instead() {
        let classes = vec!["star".to_owned(), "ring".to_owned(), "cross".to_owned()];
        let head = |name: &str, choice| Head { name: name.into(), classes: classes.clone(), choice };
        let heads = [head("one", Choice::OneOf), head("any", Choice::AnyOf), head("none", Choice::AnyOf)];
        let asked = |one: usize, any: &[usize]| Asked { classes: vec![Some(vec![one]), Some(any.to_vec()), None] };
        let seen = |one: [f32; 3], any: [f32; 3]| Seen {
            features: vec![],
            scores: vec![one.to_vec(), any.to_vec(), vec![0.0; 3]],
        };
        let all = [asked(0, &[0, 1]), asked(0, &[0]), asked(2, &[0])];
        let pictures = [
            (&all[0], seen([2.0, 1.0, 0.0], [1.0, 1.0, -1.0])),
            (&all[1], seen([0.0, 1.0, 0.0], [1.0, -1.0, 1.0])),
            (&all[2], seen([0.0, 1.0, 2.0], [-1.0, 1.0, 1.0])),
        ];
        let scores = score(&heads, &pictures).unwrap();
        let counts = |rate: Rate| (rate.count, rate.of);
        assert_eq!(scores.len(), 2);
        assert_eq!((counts(scores[0].found), counts(scores[0].exact)), ((2, 3), (2, 3)));
        assert_eq!((counts(scores[1].found), counts(scores[1].exact)), ((2, 3), (1, 3)));
        let stars = &scores[0].classes[0];
        assert_eq!((counts(stars.found), &stars.instead), ((1, 2), &vec![("ring".to_owned(), 1)]));
        let stars = &scores[1].classes[0];
        assert_eq!(stars.instead, [("ring".to_owned(), 1), ("cross".to_owned(), 1)]);
        assert_eq!(scores[1].classes.len(), 2);
    }
}
