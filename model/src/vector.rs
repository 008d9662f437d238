//! The architecture vector of APTP (Ganjdanesh et al. 2024): one number for each unit that can be pruned and each module that can be
//! skipped, in the order of the published files. Widths come first, then depth.
//!
//! Blocks stand in the order down, middle, up; in a block ResNets come before transformers; in a transformer self-attention, cross-attention
//! and feed-forward follow each other. Of each down and up block the last ResNet and the last transformer can be skipped, where its
//! input can stand in for its output.

use crate::{
    architecture::{Architecture, PrunableSite, SiteKind},
    counter,
    error::{Error, Result},
    unet::UNetConfig,
};
use std::{collections::HashSet, ops::Range};

/// Which entry of the vector stands for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorLayout {
    /// The sites whose units can be pruned.
    pub widths: Vec<Width>,
    /// The modules that can be skipped, in the order of their entries.
    pub depths: Vec<String>,
    /// Entries of `depths` from the one that is skipped last to the one that is skipped first: from the ends of the network to its middle.
    pub depth_order: Vec<usize>,
}

/// A site in the vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Width {
    /// Its path.
    pub site: String,
    /// What its units are.
    pub kind: SiteKind,
    /// Its entries.
    pub entries: Range<usize>,
    /// The entry of [`VectorLayout::depths`] that skips the module it is in.
    pub depth: Option<usize>,
}

/// A block, in the order of the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    Down(usize),
    Middle,
    Up(usize),
}

/// Where a site is: block, ResNets before transformers, number of the module, number of the transformer's block, place in it.
type Place = (Block, bool, usize, usize, usize);

impl VectorLayout {
    /// The layout for a UNet.
    ///
    /// # Errors
    /// A configuration that no network can be built of.
    pub fn of(config: &UNetConfig) -> Result<Self> {
        let sites = counter::unet_sites(config)?;
        let removable: HashSet<&str> =
            sites.iter().filter(|site| site.kind == SiteKind::Module).map(|site| site.path.as_str()).collect();
        let place = |site: &PrunableSite| {
            place(&site.path).ok_or_else(|| {
                let reason = "is no part of a ResNet or a transformer".into();
                Error::Architecture { site: site.path.clone(), reason }
            })
        };
        let units = sites.iter().filter(|site| site.kind != SiteKind::Module);
        let mut placed: Vec<(Place, &PrunableSite)> =
            units.map(|site| Ok((place(site)?, site))).collect::<Result<_>>()?;
        placed.sort_by_key(|(place, _)| *place);

        // The last ResNet and the last transformer of each block but the middle one, where it is removable.
        let mut depths: Vec<(Block, String)> = Vec::new();
        let mut modules: Vec<(Block, bool, &str)> =
            placed.iter().map(|((b, t, ..), site)| (*b, *t, module(&site.path))).collect();
        modules.dedup();
        for (i, (block, transformer, path)) in modules.iter().enumerate() {
            let last = modules.get(i + 1).is_none_or(|(b, t, _)| (b, t) != (block, transformer));
            if last && *block != Block::Middle && removable.contains(path) {
                depths.push((*block, (*path).to_owned()));
            }
        }

        let mut start = 0;
        let widths = placed.iter().map(|(_, site)| {
            let entries = start..start + site.units;
            start = entries.end;
            let depth = depths.iter().position(|(_, path)| path == module(&site.path));
            Width { site: site.path.clone(), kind: site.kind, entries, depth }
        });
        let widths = widths.collect();
        let of = |block: Block| (0..depths.len()).filter(|&i| depths[i].0 == block).collect::<Vec<_>>();
        let levels = config.block_out_channels.len();
        let depth_order = (0..levels).flat_map(|level| {
            let up = of(Block::Up(levels - 1 - level)).into_iter().rev().collect::<Vec<_>>();
            [up, of(Block::Down(level))].concat()
        });
        let depth_order = depth_order.collect();
        Ok(Self { widths, depths: depths.into_iter().map(|(_, path)| path).collect(), depth_order })
    }

    /// Entries for widths.
    pub fn width(&self) -> usize {
        self.widths.last().map_or(0, |width| width.entries.end)
    }

    /// All entries.
    pub fn len(&self) -> usize {
        self.width() + self.depths.len()
    }

    /// Whether nothing can be pruned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left where these entries are open. A site with no open unit keeps its first.
    ///
    /// # Errors
    /// A vector of another length.
    pub fn architecture(&self, open: &[bool]) -> Result<Architecture> {
        if open.len() != self.len() {
            let reason = format!("a vector of {} entries, the network has {}", open.len(), self.len());
            return Err(Error::Architecture { site: "the architecture vector".into(), reason });
        }
        let (widths, depths) = open.split_at(self.width());
        let mut architecture = Architecture::full();
        for Width { site, entries, .. } in &self.widths {
            let mut kept: Vec<usize> = (0..entries.len()).filter(|unit| widths[entries.start + unit]).collect();
            if kept.is_empty() {
                kept.push(0);
            }
            if kept.len() < entries.len() {
                architecture = architecture.keep(site, kept);
            }
        }
        let closed = self.depths.iter().zip(depths).filter(|(_, open)| !**open);
        Ok(closed.fold(architecture, |architecture, (module, _)| architecture.remove(module)))
    }
}

/// The ResNet or transformer that a site is, or is in: `down_blocks.0.attentions.1` of `down_blocks.0.attentions.1.transformer_blocks.0.ff`.
pub fn module(path: &str) -> &str {
    path.split_once(".transformer_blocks").map_or(path, |(module, _)| module)
}

fn place(path: &str) -> Option<Place> {
    let mut parts = path.split('.');
    let number = |parts: &mut std::str::Split<'_, char>| parts.next()?.parse::<usize>().ok();
    let block = match parts.next()? {
        "down_blocks" => Block::Down(number(&mut parts)?),
        "mid_block" => Block::Middle,
        "up_blocks" => Block::Up(number(&mut parts)?),
        _ => return None,
    };
    let transformer = match parts.next()? {
        "resnets" => false,
        "attentions" => true,
        _ => return None,
    };
    let index = number(&mut parts)?;
    if !transformer {
        return Some((block, false, index, 0, 0));
    }
    parts.next().filter(|part| *part == "transformer_blocks")?;
    let inner = number(&mut parts)?;
    let layer = ["attn1", "attn2", "ff"].into_iter().position(|name| Some(name) == parts.clone().next())?;
    Some((block, true, index, inner, layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sd21() -> VectorLayout {
        VectorLayout::of(&UNetConfig::sd21_base()).unwrap()
    }

    /// The published layout of Stable Diffusion 2.1: 1606 widths and 14 depths.
    #[test]
    fn stable_diffusion_has_the_published_layout() {
        let layout = sd21();
        assert_eq!((layout.width(), layout.depths.len(), layout.len(), layout.widths.len()), (1606, 14, 1620, 70));
        let range = |module: &str| {
            let inside = layout.widths.iter().filter(|width| super::module(&width.site) == module);
            let ranges: Vec<Range<usize>> = inside.clone().map(|width| width.entries.clone()).collect();
            (ranges[0].start..ranges[ranges.len() - 1].end, inside.map(|width| width.depth).next().flatten())
        };
        for (module, entries, depth) in [
            ("down_blocks.0.resnets.0", 0..32, None),
            ("down_blocks.0.resnets.1", 32..64, Some(0)),
            ("down_blocks.0.attentions.0", 64..106, None),
            ("down_blocks.0.attentions.1", 106..148, Some(1)),
            ("down_blocks.1.attentions.1", 264..316, Some(3)),
            ("down_blocks.2.resnets.0", 316..348, None),
            ("down_blocks.2.attentions.1", 452..524, Some(5)),
            ("down_blocks.3.resnets.1", 556..588, Some(6)),
            ("mid_block.resnets.0", 588..620, None),
            ("mid_block.resnets.1", 620..652, None),
            ("mid_block.attentions.0", 652..724, None),
            ("up_blocks.0.resnets.2", 788..820, Some(7)),
            ("up_blocks.1.resnets.2", 884..916, Some(8)),
            ("up_blocks.1.attentions.2", 1060..1132, Some(9)),
            ("up_blocks.2.resnets.2", 1196..1228, Some(10)),
            ("up_blocks.2.attentions.2", 1332..1384, Some(11)),
            ("up_blocks.3.resnets.2", 1448..1480, Some(12)),
            ("up_blocks.3.attentions.0", 1480..1522, None),
            ("up_blocks.3.attentions.2", 1564..1606, Some(13)),
        ] {
            assert_eq!(range(module), (entries, depth), "{module}");
        }
        assert_eq!(layout.depth_order, [13, 12, 0, 1, 11, 10, 2, 3, 9, 8, 4, 5, 7, 6]);
        let heads: Vec<usize> = layout.widths[2..5].iter().map(|width| width.entries.len()).collect();
        assert_eq!(heads, [5, 5, 32]);
    }

    /// With one layer in each block only modules that keep the number of channels can be skipped.
    #[test]
    fn only_what_can_be_skipped_has_a_depth() {
        let config = UNetConfig {
            block_out_channels: vec![64, 96, 128],
            down_attention: vec![true, true, false],
            up_attention: vec![false, true, true],
            layers_per_block: vec![1; 3],
            heads: vec![2, 3, 4],
            transformer_layers: vec![1; 3],
            ..UNetConfig::sd21_base()
        };
        let layout = VectorLayout::of(&config).unwrap();
        let depths: Vec<&str> = layout.depths.iter().map(String::as_str).collect();
        let expected = [
            "down_blocks.0.resnets.0",
            "down_blocks.0.attentions.0",
            "down_blocks.1.attentions.0",
            "up_blocks.0.resnets.1",
            "up_blocks.1.resnets.1",
            "up_blocks.1.attentions.1",
            "up_blocks.2.resnets.1",
            "up_blocks.2.attentions.1",
        ];
        assert_eq!(depths, expected);
        assert_eq!(layout.depth_order, [7, 6, 0, 1, 5, 4, 2, 3]);
    }

    #[test]
    fn vectors_become_architectures() {
        let layout = sd21();
        assert_eq!(layout.architecture(&vec![true; 1620]).unwrap(), Architecture::full());
        let mut open = vec![true; 1620];
        open[1] = false;
        open[64..69].fill(false);
        open[1606 + 5] = false;
        let architecture = layout.architecture(&open).unwrap();
        let kept: Vec<usize> = [0].into_iter().chain(2..32).collect();
        assert_eq!(architecture.kept("down_blocks.0.resnets.0"), Some(kept.as_slice()));
        // Nothing was open there: the first unit stays.
        assert_eq!(architecture.kept("down_blocks.0.attentions.0.transformer_blocks.0.attn1"), Some([0].as_slice()));
        assert_eq!(architecture.kept("down_blocks.0.attentions.0.transformer_blocks.0.attn2"), None);
        assert!(architecture.is_removed("down_blocks.2.attentions.1"));
        let message = layout.architecture(&[true; 7]).unwrap_err().to_string();
        assert!(message.contains("a vector of 7 entries, the network has 1620"), "{message}");
    }
}
