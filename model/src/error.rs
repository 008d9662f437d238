//! What can go wrong while a network is described, built or interpreted.

use crate::shape::Fact;

/// Result of everything that builds or runs a network.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the network definitions or of an interpreter of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation was given operands that it does not take, or its engine failed.
    #[error("{path}: {op} of {operands}: {reason}")]
    Op {
        /// Module path, as in the checkpoint: `down_blocks.0.resnets.1.conv1`.
        path: String,
        /// Name of the operation.
        op: &'static str,
        /// Shapes and types of the operands.
        operands: String,
        /// What the rule or the engine said.
        reason: String,
    },
    /// A value in a configuration file is missing, of the wrong kind or not supported.
    #[error("{network} config: {field}: {reason}")]
    Config {
        /// Class of the network: `UNet2DConditionModel`.
        network: &'static str,
        /// Key of the JSON file.
        field: String,
        /// What was found and what is supported.
        reason: String,
    },
    /// A parameter could not be given.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// Path of the parameter in the checkpoint.
        name: String,
        /// Why not.
        reason: String,
    },
    /// An architecture names a site that the network lacks, or keeps what cannot be.
    #[error("architecture: {site}: {reason}")]
    Architecture {
        /// Path of the site.
        site: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// An operation's failure, with its operands spelled out.
    pub fn op(path: &str, op: &'static str, operands: &[Fact], reason: impl Into<String>) -> Self {
        let operands = operands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Self::Op { path: path.to_owned(), op, operands, reason: reason.into() }
    }
}
