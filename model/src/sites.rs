//! The one hook of every network's forward pass. Soft gates, block outputs for distillation, activation statistics and
//! zeroed neurons are implementations of it; export uses [`Identity`].

use crate::{backend::Backend, error::Result};
use std::ops::Deref;

/// A place in a network that can be pruned or observed, and the value found there.
#[derive(Debug)]
pub enum Site<'a, V> {
    /// ResNet: channels `[B, C, H, W]` of `groups` normalisation groups, after the time embedding and before `norm2`
    /// (where APTP's released code puts its gate).
    ResnetInner {
        /// Groups present.
        groups: usize,
    },
    /// ResNet: the same groups after `norm2` and SiLU, where a closed gate equals removal.
    ResnetHidden {
        /// Groups present.
        groups: usize,
    },
    /// Attention: query, key and value `[B, N, heads d]`, one call each, in this order.
    Heads {
        /// Heads present.
        heads: usize,
    },
    /// Feed-forward: value and gate half `[B, N, width]` of the GEGLU projection, one call each, in this order.
    FeedForward {
        /// Groups present.
        groups: usize,
    },
    /// Feed-forward: input `[B, N, width]` of the second linear layer.
    FeedForwardHidden,
    /// Output of a whole ResNet or transformer, and what stands in for it where the module is skipped.
    Module {
        /// Same shape as the value.
        skip: &'a V,
    },
    /// Output `[B, C, H, W]` of a down, middle or up block, after its sampler.
    Block,
}

// Derived, these would ask the same of the value.
impl<V> Clone for Site<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Site<'_, V> {}

/// What to do with the value at a site.
pub trait Sites<B: Backend> {
    /// Receives the value at `path` and gives the one to go on with.
    fn site(&self, backend: &B, path: &str, site: Site<'_, B::Value>, value: B::Value) -> Result<B::Value>;
}

/// Leaves every value as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl<B: Backend> Sites<B> for Identity {
    fn site(&self, _: &B, _: &str, _: Site<'_, B::Value>, value: B::Value) -> Result<B::Value> {
        Ok(value)
    }
}

/// Both, the first one first.
impl<B: Backend, F: Sites<B>, S: Sites<B>> Sites<B> for (F, S) {
    fn site(&self, backend: &B, path: &str, site: Site<'_, B::Value>, value: B::Value) -> Result<B::Value> {
        let value = self.0.site(backend, path, site, value)?;
        self.1.site(backend, path, site, value)
    }
}

impl<B: Backend, S: Sites<B>> Sites<B> for &S {
    fn site(&self, backend: &B, path: &str, site: Site<'_, B::Value>, value: B::Value) -> Result<B::Value> {
        (**self).site(backend, path, site, value)
    }
}

/// One forward pass: the interpreter and the hook.
pub struct Pass<'a, B: Backend> {
    backend: &'a B,
    sites: &'a dyn Sites<B>,
}

impl<'a, B: Backend> Pass<'a, B> {
    /// A pass with a hook.
    pub fn new(backend: &'a B, sites: &'a dyn Sites<B>) -> Self {
        Self { backend, sites }
    }

    /// A pass without.
    pub fn plain(backend: &'a B) -> Self {
        Self::new(backend, &Identity)
    }

    /// Calls the hook.
    pub fn site(&self, path: &str, site: Site<'_, B::Value>, value: B::Value) -> Result<B::Value> {
        self.sites.site(self.backend, path, site, value)
    }
}

impl<B: Backend> Deref for Pass<'_, B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.backend
    }
}
