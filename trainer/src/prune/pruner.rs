//! Pruners that learn nothing: rules by which one network is cut to a share of its multiply-accumulates.

use crate::{
    random::Random,
    run::{Error, Result},
};
use pleach_model::{architecture::Architecture, counter, resources::Resources, unet::UNetConfig, vector::VectorLayout};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A rule by which a network is cut.
pub trait Pruner {
    /// What is left where about `share` of the multiply-accumulates may stay: as near as units come to it.
    ///
    /// # Errors
    /// [`Error::Target`] where more is left even after everything that the rule removes.
    fn prune(&self, share: f64) -> Result<Architecture>;
}

/// Removes units one after the other, the least important first, until what is left comes nearest to the share. Each site keeps one unit,
/// and no module goes as a whole.
#[derive(Clone, Debug)]
pub struct Ranking<'a> {
    layout: &'a VectorLayout,
    resources: &'a Resources,
    /// Width entries in the order in which they go.
    order: Vec<usize>,
}

/// Numbers in ascending order of their scores; equals stay as they are.
fn ascending(numbers: Range<usize>, score: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = numbers.collect();
    order.sort_by(|a, b| score(*a).total_cmp(&score(*b)));
    order
}

impl<'a> Ranking<'a> {
    /// The units of all sites against each other, by these scores of the width entries: how group magnitude ranks.
    pub fn global(layout: &'a VectorLayout, resources: &'a Resources, scores: &[f64]) -> Self {
        Self { layout, resources, order: ascending(0..layout.width(), |entry| scores[entry]) }
    }

    /// The same share of the units of each site, those with the lowest scores: how SPDM prunes.
    pub fn in_each_site(layout: &'a VectorLayout, resources: &'a Resources, scores: &[f64]) -> Self {
        // The place of a unit in its own site, as a share.
        let mut place = vec![0.0; layout.width()];
        for width in &layout.widths {
            for (rank, entry) in ascending(width.entries.clone(), |entry| scores[entry]).into_iter().enumerate() {
                place[entry] = (rank as f64 + 0.5) / width.entries.len() as f64;
            }
        }
        Self::global(layout, resources, &place)
    }

    /// The same share of the units of each site, the last ones.
    pub fn uniform(layout: &'a VectorLayout, resources: &'a Resources) -> Self {
        let scores: Vec<f64> = (0..layout.width()).map(|entry| -(entry as f64)).collect();
        Self::in_each_site(layout, resources, &scores)
    }

    /// The same share of the units of each site, chosen at random.
    pub fn random(layout: &'a VectorLayout, resources: &'a Resources, seed: u64) -> Self {
        let order = Random::new(&[seed]).permutation(layout.width());
        let scores: Vec<f64> = order.into_iter().map(|place| place as f64).collect();
        Self::in_each_site(layout, resources, &scores)
    }

    /// The same, but no feed-forward group goes: as APTP's comparison has it.
    #[must_use]
    pub fn without_feed_forwards(mut self) -> Self {
        let kept = |entry: &usize| {
            let of = self.layout.widths.iter().find(|width| width.entries.contains(entry));
            of.is_some_and(|width| width.kind != pleach_model::architecture::SiteKind::FeedForwardGroups)
        };
        self.order.retain(kept);
        self
    }
}

impl Pruner for Ranking<'_> {
    fn prune(&self, share: f64) -> Result<Architecture> {
        let Self { layout, resources, order } = self;
        let goal = resources.target(share) * resources.prunable();
        let mut left = resources.prunable();
        let mut open = vec![true; layout.len()];
        let mut units: Vec<usize> = layout.widths.iter().map(|width| width.entries.len()).collect();
        for &entry in order {
            let site = layout.widths.partition_point(|width| width.entries.end <= entry);
            if units[site] == 1 {
                continue;
            }
            let next = left - resources.units[entry];
            if next <= goal {
                if goal - next < left - goal {
                    open[entry] = false;
                }
                return Ok(layout.architecture(&open)?);
            }
            (open[entry], left) = (false, next);
            units[site] -= 1;
        }
        if left > goal {
            let least = (resources.fixed + left) / resources.total();
            return Err(Error::Target { target: share, least });
        }
        Ok(layout.architecture(&open)?)
    }
}

/// BK-SDM (Kim et al. 2024): blocks of a fixed choice go as a whole. What is left is the same whatever the share.
#[derive(Clone, Debug)]
pub struct BkSdm<'a> {
    /// The network.
    pub config: &'a UNetConfig,
    /// How much goes.
    pub size: BkSdmSize,
}

/// How much of a network BK-SDM removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BkSdmSize {
    /// Of each down block the first layer stays, of each up block the first and the last.
    Base,
    /// And no middle block.
    Small,
    /// And no coarsest level.
    Tiny,
}

impl Pruner for BkSdm<'_> {
    fn prune(&self, _: f64) -> Result<Architecture> {
        let Self { config, size } = *self;
        let levels = config.block_out_channels.len();
        let tiny = size == BkSdmSize::Tiny;
        let mut left = Architecture::full();
        let mut remove = |block: String, layers: Range<usize>, attention: bool| {
            for layer in layers {
                left = std::mem::take(&mut left).remove(format!("{block}.resnets.{layer}"));
                if attention {
                    left = std::mem::take(&mut left).remove(format!("{block}.attentions.{layer}"));
                }
            }
        };
        for (level, layers) in config.layers_per_block.iter().enumerate().take(levels - usize::from(tiny)) {
            let up = levels - 1 - level;
            remove(format!("down_blocks.{level}"), 1..*layers, config.down_attention[level]);
            remove(format!("up_blocks.{up}"), 1..*layers, config.up_attention[up]);
        }
        if size != BkSdmSize::Base && config.mid_block {
            left = left.remove("mid_block");
        }
        if tiny {
            left = left.remove(format!("down_blocks.{}", levels - 1)).remove("up_blocks.0");
        }
        if left == Architecture::full() {
            let reason = "has one layer in each block: there is nothing that BK-SDM's base removes".into();
            return Err(pleach_model::error::Error::Architecture { site: "the network".into(), reason }.into());
        }
        // Building it checks it.
        counter::unet(config, &left, counter::At { height: 8, width: 8, tokens: 1 })?;
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::counter::{At, Rule};

    fn small() -> UNetConfig {
        UNetConfig {
            block_out_channels: vec![32, 64, 96],
            down_attention: vec![true, true, false],
            up_attention: vec![false, true, true],
            layers_per_block: vec![2; 3],
            heads: vec![2, 4, 6],
            transformer_layers: vec![1; 3],
            cross_attention_dim: 16,
            ..UNetConfig::sd21_base()
        }
    }

    const AT: At = At { height: 16, width: 16, tokens: 8 };

    fn share(config: &UNetConfig, architecture: &Architecture) -> f64 {
        let count = |a| counter::unet(config, a, AT).unwrap().macs().exact as f64;
        count(architecture) / count(&Architecture::full())
    }

    #[test]
    fn rankings_meet_their_target() {
        let config = small();
        let layout = VectorLayout::of(&config).unwrap();
        let resources = Resources::of(&config, &layout, AT, Rule::Exact).unwrap();
        let mut random = Random::new(&[4]);
        let scores: Vec<f64> = (0..layout.width()).map(|_| random.below(1000) as f64).collect();
        let dearest = resources.units.iter().copied().fold(0.0, f64::max) / resources.total();
        for ranking in [
            Ranking::global(&layout, &resources, &scores),
            Ranking::in_each_site(&layout, &resources, &scores),
            Ranking::uniform(&layout, &resources),
            Ranking::random(&layout, &resources, 1),
            Ranking::random(&layout, &resources, 1).without_feed_forwards(),
        ] {
            for target in [0.9, 0.75, 0.6] {
                let found = share(&config, &ranking.prune(target).unwrap());
                assert!((found - target).abs() <= 0.5 * dearest + 1e-9, "{found} is not {target}");
            }
            assert_eq!(ranking.prune(1.0).unwrap(), Architecture::full());
            let message = ranking.prune(0.01).unwrap_err().to_string();
            assert!(message.contains("0.01"), "{message}");
        }
    }

    #[test]
    fn the_least_important_go() {
        let config = small();
        let layout = VectorLayout::of(&config).unwrap();
        let resources = Resources::of(&config, &layout, AT, Rule::Exact).unwrap();
        // Odd units matter more, and everything in the second site more than anything elsewhere.
        let second = layout.widths[1].entries.clone();
        let scores: Vec<f64> = (0..layout.width())
            .map(|entry| (entry % 2) as f64 + if second.contains(&entry) { 2.0 } else { 0.0 })
            .collect();
        let global = Ranking::global(&layout, &resources, &scores).prune(0.8).unwrap();
        assert_eq!(global.kept(&layout.widths[1].site), None);
        let each = Ranking::in_each_site(&layout, &resources, &scores).prune(0.7).unwrap();
        for width in &layout.widths {
            let kept = each.kept(&width.site).map_or(width.entries.len(), <[usize]>::len) as f64;
            let even = (0..width.entries.len()).filter(|unit| (width.entries.start + unit) % 2 == 0).count() as f64;
            let odd = width.entries.len() as f64 - even;
            let odd_kept = each
                .kept(&width.site)
                .map_or(odd, |kept| kept.iter().filter(|unit| (width.entries.start + **unit) % 2 == 1).count() as f64);
            assert_eq!(odd_kept, odd.min(kept), "{}", width.site);
        }
        let uniform = Ranking::uniform(&layout, &resources).prune(0.6).unwrap();
        let kept = uniform.kept("down_blocks.0.resnets.0").unwrap();
        assert_eq!(kept, (0..kept.len()).collect::<Vec<_>>());
        let [one, same, other] = [1, 1, 2].map(|seed| Ranking::random(&layout, &resources, seed).prune(0.6).unwrap());
        assert!(one == same && one != other);
    }

    /// Sums over the modules that stay; the paper has 0.59, 0.49 and 0.33 billion.
    #[test]
    fn bk_sdm_of_stable_diffusion() {
        let config = UNetConfig::sd21_base();
        for (size, parameters) in
            [(BkSdmSize::Base, 583_480_964), (BkSdmSize::Small, 485_787_524), (BkSdmSize::Tiny, 326_825_604)]
        {
            let left = BkSdm { config: &config, size }.prune(1.0).unwrap();
            let found = counter::unet(&config, &left, At::SD512).unwrap().parameters();
            assert_eq!(found, parameters, "{size:?}");
        }
    }

    #[test]
    fn networks_that_bk_sdm_cannot_cut() {
        let single = UNetConfig { layers_per_block: vec![1; 3], ..small() };
        let cut = |config, size| BkSdm { config, size }.prune(1.0);
        let message = cut(&single, BkSdmSize::Base).unwrap_err().to_string();
        assert!(message.contains("one layer in each block"), "{message}");
        assert!(cut(&single, BkSdmSize::Small).unwrap().is_removed("mid_block"));
        let message = cut(&small(), BkSdmSize::Tiny).unwrap_err().to_string();
        assert!(message.contains("down_blocks.2: cannot be removed"), "{message}");
    }
}
