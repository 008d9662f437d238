//! The options that say what computes the networks.

use crate::engine::{Provider, ProviderError, Providers};

/// What computes the networks.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Provider options")]
pub struct ProviderArgs {
    /// What computes the networks, in this order; the CPU takes what is left [default: cpu]
    ///
    /// One or several of cpu, cuda, tensorrt, openvino, qnn, xnnpack, coreml, nnapi, directml and webgpu, divided by commas or given
    /// one by one. Options follow a colon: `--provider qnn:soc_model=57,htp_arch=75 --provider cpu`; `library=FILE` names the library
    /// of a plug-in. A comma within a value is written twice.
    #[arg(long = "provider", value_name = "NAME[:KEY=VALUE,...]", value_parser = list)]
    providers: Vec<List>,

    /// Where a provider is missing or does not work, go on with the next one and at last with the CPU
    #[arg(long)]
    allow_fallback: bool,

    /// Open no network of which the CPU would have to compute a part
    #[arg(long)]
    no_cpu_fallback: bool,
}

/// What one `--provider` says. (Clap takes a bare vector for many values.)
#[derive(Clone)]
struct List(Vec<Provider>);

fn list(text: &str) -> Result<List, ProviderError> {
    Provider::list(text).map(List)
}

impl ProviderArgs {
    /// Whether a provider is named.
    pub fn given(&self) -> bool {
        !self.providers.is_empty()
    }

    /// What was asked for.
    ///
    /// # Errors
    /// A provider that is named twice or after the CPU; the CPU asked for and refused.
    pub fn providers(&self) -> Result<Providers, ProviderError> {
        let list = self.providers.iter().flat_map(|List(list)| list.clone()).collect();
        Providers::new(list)?.allowing_fallback(self.allow_fallback).refusing_cpu(self.no_cpu_fallback)
    }
}
