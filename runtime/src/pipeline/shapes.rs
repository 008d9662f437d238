//! The shapes of what the networks are given for one picture.
//!
//! A graph may leave its sizes open; a provider that compiles graphs is then told the sizes of the request. Or it may be made for
//! one size, and takes no other.

use super::{Component, Error, Result, Size};
use crate::{
    bundle::Bundle,
    engine::{Dim, GraphFile},
};
use std::collections::BTreeMap;

/// The shapes of what the networks are given for one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shapes {
    /// `[1, channels, height, width]`.
    latents: [usize; 4],
    /// The same of one tile that is decoded.
    tile: [usize; 4],
    tokens: usize,
    /// Width of an embedding.
    width: usize,
    /// Pixels to one latent.
    factor: usize,
}

impl Shapes {
    /// For latents of this height and width, decoded in tiles of that height and width.
    pub fn new(bundle: &Bundle, [height, width]: [usize; 2], (tall, wide): (usize, usize)) -> Self {
        let (text, unet, vae) = (bundle.text_encoder(), bundle.unet(), bundle.vae());
        Self {
            latents: [1, unet.in_channels, height, width],
            tile: [1, vae.latent_channels, tall, wide],
            tokens: text.max_position_embeddings,
            width: unet.cross_attention_dim,
            factor: vae.factor(),
        }
    }

    /// For a picture of `size`, decoded at once.
    ///
    /// # Errors
    /// [`Error::Size`].
    pub fn of_size(bundle: &Bundle, size: Size) -> Result<Self> {
        size.check(bundle.size_multiple())?;
        let [height, width] = [size.height, size.width].map(|pixels| pixels as usize / bundle.vae().factor());
        Ok(Self::new(bundle, [height, width], (height, width)))
    }

    /// The inputs of a component and their shapes.
    pub fn inputs(&self, component: Component) -> Vec<(&'static str, Vec<usize>)> {
        match component {
            Component::TextEncoder | Component::Router => vec![("input_ids", vec![1, self.tokens])],
            Component::Unet => vec![
                ("sample", self.latents.to_vec()),
                ("timestep", vec![1]),
                ("encoder_hidden_states", vec![1, self.tokens, self.width]),
            ],
            Component::VaeDecoder => vec![("latent_sample", self.tile.to_vec())],
        }
    }

    /// The sizes of the dimensions that a graph has names for.
    pub fn dimensions(&self, component: Component, graph: &GraphFile) -> BTreeMap<String, usize> {
        let named = self.paired(component, graph).into_iter().filter_map(|(dim, size)| match dim {
            Dim::Named(name) => Some((name.clone(), size)),
            _ => None,
        });
        named.collect()
    }

    /// Whether a graph draws pictures of this size. What else it fixes is told where its tensors are bound.
    ///
    /// # Errors
    /// [`Error::FixedSize`].
    pub fn check(&self, component: Component, graph: &GraphFile) -> Result<()> {
        let (name, [_, _, height, width]) = match component {
            Component::Unet => ("sample", self.latents),
            Component::VaeDecoder => ("latent_sample", self.tile),
            Component::TextEncoder | Component::Router => return Ok(()),
        };
        let input = graph.facts().inputs.iter().find(|input| input.name == name);
        let Some([_, _, tall, wide]) = input.and_then(|input| input.dims.as_deref()) else { return Ok(()) };
        let made = |dim: &Dim, asked| if let Dim::Fixed(fixed) = dim { *fixed } else { asked };
        let size = |height, width| {
            let [width, height] = [width, height].map(|side| u32::try_from(side * self.factor).unwrap_or(u32::MAX));
            Size { width, height }
        };
        let (made, asked) = (size(made(tall, height), made(wide, width)), size(height, width));
        if made == asked { Ok(()) } else { Err(Error::FixedSize { graph: graph.name().to_owned(), made, asked }) }
    }

    /// The declared dimensions of a graph's inputs, each with the size that it gets. What is given as one number says nothing.
    fn paired<'g>(&self, component: Component, graph: &'g GraphFile) -> Vec<(&'g Dim, usize)> {
        let shapes = self.inputs(component);
        let declared = graph.facts().inputs.iter().filter_map(|input| {
            let (_, shape) = shapes.iter().find(|(name, _)| *name == input.name)?;
            let dims = input.dims.as_ref().filter(|dims| dims.len() == shape.len() && dims.len() > 1)?;
            Some(dims.iter().zip(shape.clone()))
        });
        declared.flatten().collect()
    }
}
