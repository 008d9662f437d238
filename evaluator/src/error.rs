//! Numbers that no statistic can be made of.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is too little to say anything.
    #[error("{what}: at least {least} are needed, got {got}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many are needed.
        least: usize,
        /// How many there are.
        got: usize,
    },

    /// More successes than trials.
    #[error("{successes} of {trials} is not a rate")]
    Counts {
        /// The number that should be the smaller one.
        successes: u64,
        /// The number that should be the larger one.
        trials: u64,
    },

    /// A group of which no rate can be made.
    #[error("group {index}: {successes} of {trials} is not a rate")]
    Group {
        /// Its index.
        index: usize,
        /// Its successes, which are more than the trials unless there are no trials.
        successes: u64,
        /// Its trials.
        trials: u64,
    },

    /// A parameter out of its range.
    #[error("{what} is {value}, which is not {range}")]
    Range {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        range: &'static str,
    },

    /// Two arms that were not planned for the same pictures.
    #[error("{first} outcomes of the first arm and {second} of the second are not pairs")]
    Unpaired {
        /// Outcomes of the first arm, missing ones included.
        first: u128,
        /// Outcomes of the second arm, missing ones included.
        second: u128,
    },

    /// All resamples lie on one side of the estimate, too far off for a correction of the ends.
    #[error("the resamples are too one-sided for a BCa interval; take a percentile interval")]
    OneSided,

    /// Not a probability.
    #[error("{what} {index} is {value}, not between 0 and 1")]
    Probability {
        /// Which number.
        what: &'static str,
        /// Its index.
        index: usize,
        /// Its value.
        value: f64,
    },

    /// A feature or a statistic is not a finite number.
    #[error("{what} {index} is {value}, not a finite number")]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// Its index.
        index: usize,
        /// Its value.
        value: f64,
    },

    /// Features that do not divide into vectors.
    #[error("{values} values are not vectors of {dimensions} features")]
    Shape {
        /// The number of values.
        values: usize,
        /// The length of a vector.
        dimensions: usize,
    },

    /// Two sets of features of different kinds.
    #[error("features of {a} and of {b} dimensions cannot be compared")]
    Dimensions {
        /// Of the first set.
        a: usize,
        /// Of the second set.
        b: usize,
    },

    /// An iteration did not converge, which finite input should not bring about.
    #[error("the {0} of the covariance did not converge")]
    Decomposition(&'static str),
}
