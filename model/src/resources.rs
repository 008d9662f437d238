//! What is left of a network's multiply-accumulates, as a function of its architecture vector.
//!
//! Every site costs the same for each of its units, and a skipped module costs nothing, so the count is a sum over the entries of the
//! vector: the form in which it can be a loss (APTP's resource loss) and be compared with a target.

use crate::{
    architecture::{Architecture, SiteKind},
    counter::{self, At, Cost, Macs, Rule},
    error::{Error, Result},
    op::{Op, Unary},
    unet::UNetConfig,
    vector::VectorLayout,
};
use std::collections::HashSet;

/// Multiply-accumulates of one pass, by entry of the architecture vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// For each width entry, what its unit costs.
    pub units: Vec<f64>,
    /// For each width entry, the depth entry (from 0) that skips the module that its unit is in.
    pub inside: Vec<Option<usize>>,
    /// For each depth entry, what its module costs beside the units in it.
    pub modules: Vec<f64>,
    /// What no entry reaches.
    pub fixed: f64,
}

impl Resources {
    /// Counts by one rule at one size.
    ///
    /// [`Rule::Aptp`] gives what APTP's released training sums up: its count without the SiLU of the ResNets.
    ///
    /// # Errors
    /// A configuration that no network can be built of.
    pub fn of(config: &UNetConfig, layout: &VectorLayout, at: At, rule: Rule) -> Result<Self> {
        let full = counter::unet(config, &Architecture::full(), at)?.costs;
        let single = layout.widths.iter().fold(Architecture::full(), |a, width| a.keep(&width.site, vec![0]));
        let single = counter::unet(config, &single, at)?.costs;
        let resnets: HashSet<&str> = layout
            .widths
            .iter()
            .filter(|width| width.kind == SiteKind::ResnetGroups)
            .map(|width| width.site.as_str())
            .collect();
        let counts = |cost: &&Cost| {
            let silu = rule == Rule::Aptp && cost.op == Op::Unary(Unary::Silu).name();
            !(silu && resnets.contains(&*cost.path))
        };
        let sum = |costs: &mut dyn Iterator<Item = &Cost>| costs.map(|cost| cost.macs).sum::<Macs>().by(rule) as f64;
        let inside_of = |module: &str| sum(&mut full.iter().filter(counts).filter(|cost| cost.is_inside(module)));
        let mut modules: Vec<f64> = layout.depths.iter().map(|module| inside_of(module)).collect();
        let mut fixed = inside_of("") - modules.iter().sum::<f64>();
        let (mut units, mut inside) = (Vec::with_capacity(layout.width()), Vec::with_capacity(layout.width()));
        for width in &layout.widths {
            // What shrinks with the site, as a whole: APTP counts biases of a layer whose input shrinks in proportion too.
            let shrinks = full.iter().zip(&single).filter(|(full, single)| full.macs.by(rule) != single.macs.by(rule));
            let shrinking = shrinks.map(|(full, _)| full).filter(counts).filter(|cost| cost.is_inside(&width.site));
            let (all, of) = (sum(&mut { shrinking }), width.entries.len());
            units.extend(std::iter::repeat_n(all / of as f64, of));
            inside.extend(std::iter::repeat_n(width.depth, of));
            *width.depth.and_then(|depth| modules.get_mut(depth)).unwrap_or(&mut fixed) -= all;
        }
        Ok(Self { units, inside, modules, fixed })
    }

    /// Of the whole network.
    pub fn total(&self) -> f64 {
        self.fixed + self.prunable()
    }

    /// Of everything that an entry reaches.
    pub fn prunable(&self) -> f64 {
        self.units.iter().chain(&self.modules).sum()
    }

    /// Of everything that an entry reaches, where the gates are these: widths, then depths.
    ///
    /// # Errors
    /// A vector of another length.
    pub fn left(&self, gates: &[f64]) -> Result<f64> {
        let expected = self.units.len() + self.modules.len();
        if gates.len() != expected {
            let reason = format!("a vector of {} entries, the network has {expected}", gates.len());
            return Err(Error::Architecture { site: "the architecture vector".into(), reason });
        }
        let (widths, depths) = gates.split_at(self.units.len());
        let gate = |inside: &Option<usize>| inside.map_or(1.0, |depth| depths[depth]);
        let units = self.units.iter().zip(widths).zip(&self.inside).map(|((cost, open), i)| cost * open * gate(i));
        Ok(units.chain(self.modules.iter().zip(depths).map(|(cost, open)| cost * open)).sum())
    }

    /// The share of what can be pruned that may be left, so that `share` of the whole is: `1 - (1 - share) total / prunable`.
    /// At or below 0 the target is out of reach.
    pub fn target(&self, share: f64) -> f64 {
        1.0 - (1.0 - share) * self.total() / self.prunable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sd21(side: usize) -> Resources {
        let config = UNetConfig::sd21_base();
        let at = At { height: side, width: side, tokens: 77 };
        Resources::of(&config, &VectorLayout::of(&config).unwrap(), at, Rule::Aptp).unwrap()
    }

    /// The table and the targets that APTP's released counter gives for Stable Diffusion 2.1.
    #[test]
    fn published_counts_and_targets() {
        let near = |found: f64, expected: f64, unit: f64| {
            assert!((found - expected).abs() <= 0.5 * unit, "{found} is not {expected}");
        };
        for (side, [widths, prunable, total]) in
            [(32, [79.321, 81.166, 94.030]), (64, [403.891, 411.269, 462.720]), (96, [1253.469, 1270.071, 1385.833])]
        {
            let resources = sd21(side);
            near(resources.units.iter().sum::<f64>() / 1e9, widths, 1e-3);
            near(resources.prunable() / 1e9, prunable, 1e-3);
            near(resources.total() / 1e9, total, 1e-3);
        }
        for (side, targets) in [
            (32, [(0.6, 0.53660), (0.55, 0.47868), (0.8, 0.76830)]),
            (64, [(0.6, 0.54996), (0.55, 0.49370), (0.8, 0.77497)]),
        ] {
            let resources = sd21(side);
            for (share, expected) in targets {
                // One of them (0.8 at 64, 0.774979...) is cut off, not rounded.
                near(resources.target(share), expected, 2e-5);
            }
        }
    }

    #[test]
    fn what_a_vector_must_be() {
        let resources = sd21(32);
        let message = resources.left(&[1.0; 3]).unwrap_err().to_string();
        assert!(message.contains("a vector of 3 entries, the network has 1620"), "{message}");
        assert!(resources.target(0.1) < 0.0);
    }

    /// Of the size of the small world's.
    fn small() -> UNetConfig {
        UNetConfig {
            block_out_channels: vec![32, 64, 64],
            down_attention: vec![true, true, false],
            up_attention: vec![false, true, true],
            layers_per_block: vec![1; 3],
            heads: vec![1, 2, 4],
            transformer_layers: vec![1; 3],
            cross_attention_dim: 16,
            ..UNetConfig::sd21_base()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The sum over the vector is what the counter counts of the network that is left.
        #[test]
        fn the_sum_is_the_count(seed in any::<u64>(), share in 0.05_f64..1.0) {
            let config = small();
            let layout = VectorLayout::of(&config).unwrap();
            let at = At { height: 16, width: 16, tokens: 7 };
            let mut state = seed | 1;
            let mut chance = |p: f64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 11) as f64) < p * 2_f64.powi(53)
            };
            let mut open: Vec<bool> = (0..layout.len()).map(|_| chance(share)).collect();
            for width in &layout.widths {
                if !open[width.entries.clone()].contains(&true) {
                    open[width.entries.start] = true;
                }
            }
            let gates: Vec<f64> = open.iter().map(|&open| f64::from(u8::from(open))).collect();
            let counted = counter::unet(&config, &layout.architecture(&open).unwrap(), at).unwrap().macs();
            for rule in [Rule::Exact, Rule::LinearConv] {
                let resources = Resources::of(&config, &layout, at, rule).unwrap();
                let sum = resources.fixed + resources.left(&gates).unwrap();
                prop_assert!((sum - counted.by(rule) as f64).abs() < 1e-6 * sum, "{sum} is not {}", counted.by(rule));
            }
        }
    }
}
