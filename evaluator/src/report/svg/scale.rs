//! From values to places.

/// A straight line from a domain of values to a range of user units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Linear {
    domain: (f64, f64),
    range: (f64, f64),
    step: f64,
}

impl Linear {
    /// A scale whose domain is widened to whole steps of 1, 2 or 5 times a power of ten, about `steps` of them. A domain without
    /// width becomes one of width 1.
    pub fn new(domain: (f64, f64), range: (f64, f64), steps: usize) -> Self {
        let (low, high) = if domain.0 < domain.1 { domain } else { (domain.0 - 0.5, domain.0 + 0.5) };
        let step = step((high - low) / steps.max(1) as f64);
        // A hair's breadth, so that 0.3 / 0.1 does not become a step more.
        let down = |value: f64| (value / step + 1e-9).floor() * step;
        let up = |value: f64| (value / step - 1e-9).ceil() * step;
        Self { domain: (down(low), up(high)), range, step }
    }

    /// Where a value is.
    pub fn at(&self, value: f64) -> f64 {
        let ((low, high), (from, to)) = (self.domain, self.range);
        from + (value - low) / (high - low) * (to - from)
    }

    /// The ends of the domain.
    #[cfg(test)]
    pub fn domain(&self) -> (f64, f64) {
        self.domain
    }

    /// The ends of the range.
    pub fn range(&self) -> (f64, f64) {
        self.range
    }

    /// The values at whole steps.
    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.domain.0 / self.step).round();
        let count = ((self.domain.1 - self.domain.0) / self.step).round() as usize;
        (0..=count).map(|index| (first + index as f64) * self.step).collect()
    }

    /// How many decimals tell the ticks apart.
    pub fn decimals(&self) -> usize {
        (-self.step.log10().floor()).clamp(0.0, 8.0) as usize
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is not below `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_domain() {
        let scale = Linear::new((-0.482, 0.031), (0.0, 100.0), 6);
        assert_eq!(scale.domain(), (-0.5, 0.1));
        assert_eq!(scale.ticks().len(), 7);
        assert_eq!(scale.decimals(), 1);
        assert_eq!((scale.at(-0.5), scale.at(0.1)), (0.0, 100.0));
        let scale = Linear::new((0.0, 0.3), (0.0, 1.0), 3);
        assert_eq!(scale.domain(), (0.0, 3.0 * 0.1));
        assert_eq!(scale.ticks().len(), 4);
    }

    #[test]
    fn a_range_may_go_down_and_a_domain_may_be_a_point() {
        let scale = Linear::new((0.0, 10.0), (200.0, 0.0), 5);
        assert_eq!(scale.at(2.0), 160.0);
        let point = Linear::new((3.0, 3.0), (0.0, 10.0), 4);
        assert!(point.domain().0 < 3.0 && point.domain().1 > 3.0);
        assert!(point.at(3.0).is_finite());
    }
}
