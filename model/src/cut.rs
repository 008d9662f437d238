//! Which parts of the full network's parameters an architecture keeps (APTP's experts are cut out of their teacher like this).

use crate::{
    architecture::{Architecture, PrunableSite, SiteKind},
    counter,
    error::{Error, Result},
    unet::UNetConfig,
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

/// What is kept of a parameter: ranges along one axis, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The axis.
    pub axis: usize,
    /// Indices of the full parameter.
    pub ranges: Vec<Range<usize>>,
}

/// Where the units of a site lie in a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coupled<'a> {
    /// The site.
    pub site: &'a str,
    /// The axis of the units.
    pub axis: usize,
    /// How many times all of them follow one another on it.
    pub times: usize,
    /// How many there are.
    pub units: usize,
}

/// The parameters that belong to the units of a UNet's sites: what must go together.
#[derive(Clone, Debug)]
pub struct Coupling {
    sites: HashMap<String, (SiteKind, usize)>,
}

impl Coupling {
    /// That of the full network of `config`.
    ///
    /// # Errors
    /// A configuration that no network can be built of.
    pub fn new(config: &UNetConfig) -> Result<Self> {
        let units = counter::unet_sites(config)?.into_iter().filter(|site| site.kind != SiteKind::Module);
        Ok(Self { sites: units.map(|site| (site.path, (site.kind, site.units))).collect() })
    }

    /// Where the units lie in the parameter `name`; none where it belongs to none of them.
    pub fn of(&self, name: &str) -> Option<Coupled<'_>> {
        let mut split = name.rmatch_indices('.').map(|(i, _)| (&name[..i], &name[i + 1..]));
        let ((site, (kind, units)), layer) =
            split.find_map(|(path, layer)| Some((self.sites.get_key_value(path)?, layer)))?;
        let starts = |layers: &[&str]| layers.iter().any(|start| layer.starts_with(start));
        let (axis, times) = match (kind, layer) {
            (SiteKind::ResnetGroups, "conv2.weight")
            | (SiteKind::Heads, "to_out.0.weight")
            | (SiteKind::FeedForwardGroups, "net.2.weight") => (1, 1),
            (SiteKind::ResnetGroups, _) if starts(&["conv1.", "time_emb_proj.", "norm2."]) => (0, 1),
            (SiteKind::Heads, _) if starts(&["to_q.", "to_k.", "to_v."]) => (0, 1),
            // Value half, then gate half.
            (SiteKind::FeedForwardGroups, _) if starts(&["net.0.proj."]) => (0, 2),
            _ => return None,
        };
        Some(Coupled { site, axis, times, units: *units })
    }
}

/// The cuts of one architecture of a UNet.
#[derive(Clone, Debug)]
pub struct Cuts {
    coupling: Coupling,
    architecture: Architecture,
}

impl Cuts {
    /// The cuts that make `architecture` out of the full network of `config`.
    ///
    /// # Errors
    /// [`Error::Architecture`] where it is none of this network.
    pub fn new(config: &UNetConfig, architecture: &Architecture) -> Result<Self> {
        // Building it checks it.
        counter::unet(config, architecture, counter::At { height: 8, width: 8, tokens: 1 })?;
        Ok(Self { coupling: Coupling::new(config)?, architecture: architecture.clone() })
    }

    /// What is kept of the parameter `name`, which has this shape in the full network; none where all of it is.
    pub fn of(&self, name: &str, full: &[usize]) -> Option<Cut> {
        let Coupled { site, axis, times, units } = self.coupling.of(name)?;
        let kept = self.architecture.kept(site)?;
        let length = full.get(axis)? / (units * times);
        let range = |unit: usize| unit * length..(unit + 1) * length;
        let ranges = (0..times).flat_map(|time| kept.iter().map(move |unit| range(time * units + unit))).collect();
        Some(Cut { axis, ranges })
    }
}

impl Architecture {
    /// The same share of units at every site, the first ones, at least one.
    pub fn uniform(sites: &[PrunableSite], share: f64) -> Self {
        let widths = sites.iter().filter(|site| site.kind != SiteKind::Module);
        widths.fold(Self::full(), |architecture, site| {
            let kept = ((site.units as f64 * share).round() as usize).clamp(1, site.units);
            if kept == site.units { architecture } else { architecture.keep(&site.path, (0..kept).collect()) }
        })
    }

    /// What is left of the full network of `config` where its parameters have these shapes; none for one that is not there. A module
    /// without any is removed. How many units a site has can be seen, but not which: the first ones are named.
    ///
    /// # Errors
    /// [`Error::Architecture`] for shapes that no part of this network has.
    pub fn inferred(config: &UNetConfig, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Result<Self> {
        let at = counter::At { height: 8, width: 8, tokens: 1 };
        let full = counter::unet(config, &Self::full(), at)?.tensors;
        let mut left = Self::full();
        for module in counter::unet_sites(config)?.into_iter().filter(|site| site.kind == SiteKind::Module) {
            let inside = format!("{}.", module.path);
            let mut parameters = full.iter().filter(|spec| spec.name.starts_with(&inside));
            if !parameters.any(|spec| shape(&spec.name).is_some()) {
                left = left.remove(module.path);
            }
        }
        let coupling = Coupling::new(config)?;
        let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for spec in &full {
            // What is missing where something should be is seen when the parameters are bound.
            let (Some(coupled), Some(stored)) = (coupling.of(&spec.name), shape(&spec.name)) else { continue };
            let Coupled { site, axis, times, units } = coupled;
            let wrong = |reason| Err(Error::Architecture { site: site.to_owned(), reason });
            let length = spec.shape.get(axis).copied().unwrap_or(0) / units;
            let have = stored.get(axis).copied().unwrap_or(0);
            let count = have / length.max(1);
            if count == 0 || count > units || count * length != have || !length.is_multiple_of(times) {
                return wrong(format!("{} has the shape {stored:?}, which is no part of {:?}", spec.name, spec.shape));
            }
            match found.insert(site, (count, units)) {
                Some((other, _)) if other != count => {
                    return wrong(format!("{} has {count} units, its other parameters have {other}", spec.name));
                }
                _ => {}
            }
        }
        for (site, (count, units)) in found {
            if count < units {
                left = left.keep(site, (0..count).collect());
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> UNetConfig {
        UNetConfig::sd21_base()
    }

    /// Whatever is cut has the shape that the cut network asks for, and what is not cut has the full one.
    #[test]
    fn cut_shapes_are_those_of_the_cut_network() {
        let at = counter::At { height: 8, width: 8, tokens: 1 };
        let full = counter::unet(&config(), &Architecture::full(), at).unwrap().tensors;
        let full: HashMap<_, _> = full.into_iter().map(|spec| (spec.name, spec.shape)).collect();
        let sites = counter::unet_sites(&config()).unwrap();
        for share in [0.3, 0.5, 0.9] {
            let architecture = Architecture::uniform(&sites, share).remove("down_blocks.0.resnets.1");
            let cuts = Cuts::new(&config(), &architecture).unwrap();
            for spec in counter::unet(&config(), &architecture, at).unwrap().tensors {
                let mut shape = full[&spec.name].clone();
                if let Some(cut) = cuts.of(&spec.name, &shape) {
                    shape[cut.axis] = cut.ranges.iter().map(ExactSizeIterator::len).sum();
                }
                assert_eq!(shape, spec.shape, "{}", spec.name);
            }
        }
    }

    #[test]
    fn units_are_where_the_network_has_them() {
        let (resnet, attention) = ("down_blocks.0.resnets.0", "down_blocks.0.attentions.0.transformer_blocks.0");
        let architecture = Architecture::full()
            .keep(resnet, vec![0, 31])
            .keep(format!("{attention}.attn2"), vec![1, 4])
            .keep(format!("{attention}.ff"), vec![2]);
        let cuts = Cuts::new(&config(), &architecture).unwrap();
        let of = |path: &str, layer: &str, shape: &[usize]| cuts.of(&format!("{path}.{layer}"), shape);
        let cut = |axis, ranges: &[Range<usize>]| Some(Cut { axis, ranges: ranges.to_vec() });
        assert_eq!(of(resnet, "conv1.weight", &[320, 320, 3, 3]), cut(0, &[0..10, 310..320]));
        assert_eq!(of(resnet, "norm2.bias", &[320]), cut(0, &[0..10, 310..320]));
        assert_eq!(of(resnet, "conv2.weight", &[320, 320, 3, 3]), cut(1, &[0..10, 310..320]));
        assert_eq!(of(resnet, "conv2.bias", &[320]), None);
        assert_eq!(of(resnet, "norm1.weight", &[320]), None);
        assert_eq!(of(attention, "attn2.to_k.weight", &[320, 1024]), cut(0, &[64..128, 256..320]));
        assert_eq!(of(attention, "attn2.to_out.0.weight", &[320, 320]), cut(1, &[64..128, 256..320]));
        assert_eq!(of(attention, "attn2.to_out.0.bias", &[320]), None);
        assert_eq!(of(attention, "attn1.to_k.weight", &[320, 320]), None);
        // 32 groups of 40 features in each half
        assert_eq!(of(attention, "ff.net.0.proj.weight", &[2560, 320]), cut(0, &[80..120, 1360..1400]));
        let only = std::slice::from_ref(&(80..120));
        assert_eq!(of(attention, "ff.net.2.weight", &[320, 1280]), cut(1, only));
        assert_eq!(of(attention, "ff.net.2.bias", &[320]), None);
    }

    #[test]
    fn what_is_said_about_the_inside_of_a_removed_module_is_not_looked_at() {
        let level = Architecture::full().remove("down_blocks.3").remove("up_blocks.0");
        let also = level.clone().remove("down_blocks.3.resnets.0").keep("up_blocks.0.resnets.1", vec![0]);
        let of = |architecture| {
            let at = counter::At { height: 8, width: 8, tokens: 1 };
            counter::unet(&config(), &architecture, at).unwrap().tensors
        };
        assert_eq!(of(also), of(level));
    }

    #[test]
    fn shapes_tell_what_is_left() {
        let at = counter::At { height: 8, width: 8, tokens: 1 };
        let sites = counter::unet_sites(&config()).unwrap();
        let shapes = |architecture: &Architecture| -> HashMap<String, Vec<usize>> {
            let tensors = counter::unet(&config(), architecture, at).unwrap().tensors;
            tensors.into_iter().map(|spec| (spec.name, spec.shape)).collect()
        };
        let inferred = |shapes: &HashMap<String, Vec<usize>>| {
            Architecture::inferred(&config(), |name| shapes.get(name).cloned()).map_err(|error| error.to_string())
        };
        assert_eq!(inferred(&shapes(&Architecture::full())).unwrap(), Architecture::full());
        for share in [0.3, 0.5, 0.9] {
            let architecture = Architecture::uniform(&sites, share).remove("down_blocks.0.resnets.1");
            let found = inferred(&shapes(&architecture)).unwrap();
            // The same but for what is said about the removed module's inside.
            assert_eq!(shapes(&found), shapes(&architecture));
            assert!(found.is_removed("down_blocks.0.resnets.1"));
        }
        let mut wrong = shapes(&Architecture::full());
        wrong.insert("mid_block.resnets.0.conv1.weight".into(), vec![60, 1280, 3, 3]);
        assert!(inferred(&wrong).unwrap_err().contains("mid_block.resnets.0.conv1.weight has the shape"));
        wrong.insert("mid_block.resnets.0.conv1.weight".into(), vec![80, 1280, 3, 3]);
        assert!(inferred(&wrong).unwrap_err().contains("its other parameters have"), "{:?}", inferred(&wrong));
    }

    #[test]
    fn architectures_of_other_networks_are_refused() {
        let message = Cuts::new(&config(), &Architecture::full().keep("down_blocks.9.resnets.0", vec![0])).unwrap_err();
        assert!(message.to_string().contains("the network has no such site"), "{message}");
    }
}
