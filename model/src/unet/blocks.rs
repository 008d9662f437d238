//! The down, middle and up blocks of the UNet.

use super::{UNetConfig, transformer::Transformer};
use crate::{
    architecture::{Cutter, SiteKind},
    backend::Backend,
    error::{Error, Result},
    layers::Conv2d,
    op,
    params::Params,
    resnet::{Resnet, ResnetConfig},
    sites::{Pass, Site},
};
use std::sync::Arc;

/// The time embedding `[B or 1, 4 C]` after SiLU, which every ResNet projects.
pub(super) struct Time<V> {
    pub(super) activated: V,
}

/// A down or an up block: layers of a ResNet and perhaps a transformer, then perhaps a sampler.
pub(super) struct Stage<B: Backend> {
    path: Arc<str>,
    layers: Vec<Layer<B>>,
    sampler: Option<Conv2d<B>>,
}

/// Either module may have been removed.
struct Layer<B: Backend> {
    resnet: Option<(Arc<str>, Resnet<B>)>,
    transformer: Option<Transformer<B>>,
}

impl<B: Backend> Stage<B> {
    /// One of so many levels.
    pub(super) fn down(
        p: &Params<B>,
        config: &UNetConfig,
        [level, levels]: [usize; 2],
        cutter: &Cutter,
    ) -> Result<Self> {
        let channels = &config.block_out_channels;
        let output = channels[level];
        let input = channels[level.saturating_sub(1)];
        let layer = |j| {
            let from = if j == 0 { input } else { output };
            Layer::new(p, config, level, j, [from, output], from == output, config.down_attention[level], cutter)
        };
        let layers = (0..config.layers_per_block[level]).map(layer).collect::<Result<_>>()?;
        let halve = op::Conv2d { stride: 2, padding: [1; 4] };
        let sampler = (level + 1 < levels)
            .then(|| Conv2d::new(&p.at("downsamplers.0.conv"), output, output, 3, halve))
            .transpose()?;
        Ok(Self { path: p.path().clone(), layers, sampler })
    }

    pub(super) fn up(p: &Params<B>, config: &UNetConfig, i: usize, cutter: &Cutter) -> Result<Self> {
        let channels = &config.block_out_channels;
        let level = channels.len() - 1 - i;
        let (output, coarser, finer) =
            (channels[level], channels[(level + 1).min(channels.len() - 1)], channels[level.saturating_sub(1)]);
        let layers = config.layers_per_block[level] + 1;
        let layer = |j| {
            let hidden = if j == 0 { coarser } else { output };
            let skip = if j + 1 == layers { finer } else { output };
            Layer::new(p, config, level, j, [hidden + skip, output], hidden == output, config.up_attention[i], cutter)
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        let sampler = (level > 0).then(|| Conv2d::same(&p.at("upsamplers.0.conv"), output, output, 3)).transpose()?;
        Ok(Self { path: p.path().clone(), layers, sampler })
    }

    /// Leaves what each layer and the sampler put out on the stack of skip connections.
    pub(super) fn forward_down(
        &self,
        pass: &Pass<B>,
        mut h: B::Value,
        time: &Time<B::Value>,
        context: &B::Value,
        skips: &mut Vec<B::Value>,
    ) -> Result<B::Value> {
        for layer in &self.layers {
            h = layer.resnet(pass, &h, h.clone(), time)?;
            h = layer.transformer(pass, h, context)?;
            skips.push(h.clone());
        }
        if let Some(sampler) = &self.sampler {
            h = sampler.forward(pass, &h)?;
            skips.push(h.clone());
        }
        pass.site(&self.path, Site::Block, h)
    }

    /// Takes one skip connection for each layer; the upsampled map gets the size of the next one that waits.
    pub(super) fn forward_up(
        &self,
        pass: &Pass<B>,
        mut h: B::Value,
        time: &Time<B::Value>,
        context: &B::Value,
        skips: &mut Vec<B::Value>,
    ) -> Result<B::Value> {
        for layer in &self.layers {
            let skip = skips.pop().ok_or_else(|| {
                let reason = "the up blocks have more layers than the down blocks left skip connections".into();
                Error::Architecture { site: self.path.to_string(), reason }
            })?;
            let joined = pass.concat(&[&h, &skip], 1)?;
            h = layer.resnet(pass, &joined, h, time)?;
            h = layer.transformer(pass, h, context)?;
        }
        if let Some(sampler) = &self.sampler {
            let _scope = pass.scope(&self.path);
            h = sampler.forward(pass, &pass.upsample2x(&h, skips.last())?)?;
        }
        pass.site(&self.path, Site::Block, h)
    }
}

impl<B: Backend> Layer<B> {
    #[allow(clippy::too_many_arguments)]
    fn new(
        stage: &Params<B>,
        config: &UNetConfig,
        level: usize,
        j: usize,
        [input, output]: [usize; 2],
        removable: bool,
        attention: bool,
        cutter: &Cutter,
    ) -> Result<Self> {
        let p = stage.at(format_args!("resnets.{j}"));
        let resnet =
            cutter.present(p.path(), removable)?.then(|| resnet(&p, config, [input, output], cutter)).transpose()?;
        let p = stage.at(format_args!("attentions.{j}"));
        let transformer = (attention && cutter.present(p.path(), true)?)
            .then(|| Transformer::new(&p, config, level, cutter))
            .transpose()?;
        Ok(Self { resnet, transformer })
    }

    /// The ResNet on `x`, or `skip` where it was removed.
    fn resnet(&self, pass: &Pass<B>, x: &B::Value, skip: B::Value, time: &Time<B::Value>) -> Result<B::Value> {
        let Some((path, resnet)) = &self.resnet else { return Ok(skip) };
        let h = pass.segment(&mut || resnet.forward(pass, x, Some(&time.activated)))?;
        // Where the number of channels changes nothing can stand in for the module, so it is no site.
        if pass.fact(&skip).shape[1] == pass.fact(&h).shape[1] {
            pass.site(path, Site::Module { skip: &skip }, h)
        } else {
            Ok(h)
        }
    }

    fn transformer(&self, pass: &Pass<B>, x: B::Value, context: &B::Value) -> Result<B::Value> {
        match &self.transformer {
            Some(transformer) => apply(pass, transformer, &x, context),
            None => Ok(x),
        }
    }
}

fn apply<B: Backend>(
    pass: &Pass<B>,
    transformer: &Transformer<B>,
    x: &B::Value,
    context: &B::Value,
) -> Result<B::Value> {
    let h = pass.segment(&mut || transformer.forward(pass, x, context))?;
    pass.site(&transformer.path, Site::Module { skip: x }, h)
}

fn resnet<B: Backend>(
    p: &Params<B>,
    config: &UNetConfig,
    [input, output]: [usize; 2],
    cutter: &Cutter,
) -> Result<(Arc<str>, Resnet<B>)> {
    let groups = config.norm_num_groups;
    let kept = cutter.units(p.path(), SiteKind::ResnetGroups, groups)?;
    let time = Some(4 * config.block_out_channels[0]);
    let sizes = ResnetConfig { input, output, time, groups, kept, eps: config.norm_eps };
    Ok((p.path().clone(), Resnet::new(p, &sizes)?))
}

/// A ResNet, then transformer and ResNet, all at the coarsest level.
pub(super) struct MidBlock<B: Backend> {
    path: Arc<str>,
    first: Resnet<B>,
    transformer: Option<Transformer<B>>,
    second: Resnet<B>,
}

impl<B: Backend> MidBlock<B> {
    /// None where the configuration or the architecture has no middle block.
    pub(super) fn new(p: &Params<B>, config: &UNetConfig, cutter: &Cutter) -> Result<Option<Self>> {
        if !config.mid_block || !cutter.present(p.path(), true)? {
            return Ok(None);
        }
        let level = config.block_out_channels.len() - 1;
        let channels = [config.block_out_channels[level]; 2];
        let first = resnet(&p.at("resnets.0"), config, channels, cutter)?.1;
        let attention = p.at("attentions.0");
        let transformer = cutter
            .present(attention.path(), true)?
            .then(|| Transformer::new(&attention, config, level, cutter))
            .transpose()?;
        let second = resnet(&p.at("resnets.1"), config, channels, cutter)?.1;
        Ok(Some(Self { path: p.path().clone(), first, transformer, second }))
    }

    pub(super) fn forward(
        &self,
        pass: &Pass<B>,
        x: B::Value,
        time: &Time<B::Value>,
        context: &B::Value,
    ) -> Result<B::Value> {
        let mut h = pass.segment(&mut || self.first.forward(pass, &x, Some(&time.activated)))?;
        if let Some(transformer) = &self.transformer {
            h = apply(pass, transformer, &h, context)?;
        }
        h = pass.segment(&mut || self.second.forward(pass, &h, Some(&time.activated)))?;
        h = pass.site(&self.path, Site::Module { skip: &x }, h)?;
        pass.site(&self.path, Site::Block, h)
    }
}
