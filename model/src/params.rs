//! Parameters by path: a network asks for each tensor by its name in the checkpoint and says which shape it expects.

use crate::{backend::Backend, error::Result, tensor::TensorSpec};
use std::{cell::RefCell, fmt::Display, sync::Arc};

/// Where parameters come from: a checkpoint, an optimiser's variables, or nowhere (a list of what is asked for).
pub trait Source<B: Backend> {
    /// The parameter of this name and shape.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::error::Error::Parameter) where it is missing or has another shape.
    fn parameter(&self, backend: &B, spec: &TensorSpec) -> Result<B::Value>;
}

/// A [`Source`] seen from one module.
pub struct Params<'a, B: Backend> {
    backend: &'a B,
    source: &'a dyn Source<B>,
    path: Arc<str>,
}

impl<'a, B: Backend> Params<'a, B> {
    /// The whole network.
    pub fn new(backend: &'a B, source: &'a dyn Source<B>) -> Self {
        Self { backend, source, path: "".into() }
    }

    /// The module `name` (which may hold dots) inside this one.
    pub fn at(&self, name: impl Display) -> Self {
        Self { path: self.join(&name).into(), ..*self }
    }

    /// Path of this module.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The interpreter that the parameters are for.
    pub fn backend(&self) -> &'a B {
        self.backend
    }

    /// The parameter `name` of this module.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<B::Value> {
        let spec = TensorSpec { name: self.join(&name), shape: shape.to_vec() };
        self.source.parameter(self.backend, &spec)
    }

    fn join(&self, name: &dyn Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
}

/// Passes requests on and keeps a list of them: the tensors that a checkpoint must hold.
pub struct Listing<S> {
    source: S,
    specs: RefCell<Vec<TensorSpec>>,
}

impl<S> Listing<S> {
    /// Lists what is asked of `source`.
    pub fn new(source: S) -> Self {
        Self { source, specs: RefCell::default() }
    }

    /// The list, in the order of construction.
    pub fn into_specs(self) -> Vec<TensorSpec> {
        self.specs.into_inner()
    }
}

impl<B: Backend, S: Source<B>> Source<B> for Listing<S> {
    fn parameter(&self, backend: &B, spec: &TensorSpec) -> Result<B::Value> {
        self.specs.borrow_mut().push(spec.clone());
        self.source.parameter(backend, spec)
    }
}
