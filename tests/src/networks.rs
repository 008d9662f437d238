//! A Stable Diffusion pipeline as one engine computes it.

use crate::tensor::Tensor;
use anyhow::{Context, Result};
use pleach_model::{
    architecture::Architecture,
    backend::{Backend, Constant},
    checkpoint::{Bound, Spelling},
    clip::{ClipText, ClipTextConfig},
    counter, error,
    params::{Params, Source},
    pipeline::{CheckpointPipeline, Network},
    reference::{self, Reference},
    sites::{Pass, Site, Sites},
    tensor::TensorSpec,
    unet::{UNet, UNetConfig},
    vae::{Decoder, Encoder, VaeConfig},
};
use pleach_trainer::torch::{self, Torch};
use std::cell::RefCell;

/// The networks of a pipeline, whatever computes them.
pub trait Networks {
    /// Token ids `[B, N]` to the text embedding.
    fn text(&mut self, ids: &Tensor<i64>) -> Result<Tensor>;

    /// The UNet's prediction, for timesteps `[B]` or `[1]`.
    fn unet(&mut self, sample: &Tensor, timestep: &Tensor, context: &Tensor) -> Result<Tensor>;

    /// Pictures in [-1, 1] to mean and log-variance, joined.
    fn encode(&mut self, pictures: &Tensor) -> Result<Tensor>;

    /// Latents, divided by the scaling factor, to pictures about in [-1, 1].
    fn decode(&mut self, latents: &Tensor) -> Result<Tensor>;
}

/// An interpreter of the networks that computes numbers.
pub trait Engine: Backend + Sized {
    /// The parameters of a checkpoint.
    fn weights<'a>(tensors: &'a Bound<'a>) -> Box<dyn Source<Self> + 'a>;

    /// The elements of a value.
    fn floats(value: &Self::Value) -> Result<Vec<f32>>;

    /// A value of these elements.
    fn give(&self, tensor: &Tensor) -> Result<Self::Value> {
        Ok(self.constant(Constant::F32(tensor.data.clone()), &tensor.shape)?)
    }

    /// A value of these ids.
    fn give_ids(&self, tensor: &Tensor<i64>) -> Result<Self::Value> {
        Ok(self.constant(Constant::I64(tensor.data.clone()), &tensor.shape)?)
    }

    /// A value as a plain tensor.
    fn take(&self, value: &Self::Value) -> Result<Tensor> {
        let shape = self.fact(value).known().context("a shape is not known")?;
        Ok(Tensor::new(&shape, Self::floats(value)?))
    }
}

impl Engine for Torch {
    fn weights<'a>(tensors: &'a Bound<'a>) -> Box<dyn Source<Self> + 'a> {
        Box::new(torch::Weights::new(tensors))
    }

    fn floats(value: &torch::Value) -> Result<Vec<f32>> {
        Ok(value.to_f32()?)
    }
}

impl Engine for Reference {
    fn weights<'a>(tensors: &'a Bound<'a>) -> Box<dyn Source<Self> + 'a> {
        Box::new(reference::Weights::new(tensors))
    }

    fn floats(value: &reference::Value) -> Result<Vec<f32>> {
        Ok(value.floats().context("not floating-point numbers")?.to_vec())
    }
}

/// The networks of a pipeline as an interpreter computes them.
pub struct Interpreted<B: Engine> {
    engine: B,
    text: ClipText<B>,
    unet: UNet<B>,
    encoder: Encoder<B>,
    decoder: Decoder<B>,
}

impl<B: Engine> Interpreted<B> {
    /// Opens a pipeline's checkpoints.
    pub fn open(engine: B, pipeline: &CheckpointPipeline) -> Result<Self> {
        let text = ClipTextConfig::from_json(&pipeline.text_encoder.config)?;
        let tensors = counter::clip_text(&text, text.max_position_embeddings)?.tensors;
        let text = build(&engine, &pipeline.text_encoder, &tensors, Spelling::ClipText, |p| ClipText::new(&text, p))?;
        let (unet, full) = (UNetConfig::from_json(&pipeline.unet.config)?, Architecture::full());
        let tensors = counter::unet(&unet, &full, counter::At::SD512)?.tensors;
        let unet = build(&engine, &pipeline.unet, &tensors, Spelling::Unet, |p| UNet::new(&unet, &full, p))?;
        let vae = VaeConfig::from_json(&pipeline.vae.config)?;
        let tensors = counter::vae_tensors(&vae)?;
        let (encoder, decoder) = build(&engine, &pipeline.vae, &tensors, Spelling::AutoencoderKl, |p| {
            Ok((Encoder::new(&vae, p)?, Decoder::new(&vae, p)?))
        })?;
        Ok(Self { engine, text, unet, encoder, decoder })
    }

    /// As [`Networks::unet`], and the output of each block under its path.
    pub fn unet_blocks(
        &self,
        sample: &Tensor,
        timestep: &Tensor,
        context: &Tensor,
    ) -> Result<(Tensor, Vec<(String, Tensor)>)> {
        let blocks = Blocks(RefCell::default());
        let pass = Pass::new(&self.engine, &blocks);
        let [sample, timestep, context] = [sample, timestep, context].map(|tensor| self.engine.give(tensor));
        let output = self.unet.forward(&pass, &sample?, &timestep?, &context?)?;
        let take = |(path, value): (String, B::Value)| Ok((path, self.engine.take(&value)?));
        Ok((self.engine.take(&output)?, blocks.0.into_inner().into_iter().map(take).collect::<Result<_>>()?))
    }
}

/// Builds a network over the checkpoint in its folder, which must hold exactly `tensors`.
pub fn build<B: Engine, N>(
    engine: &B,
    network: &Network,
    tensors: &[TensorSpec],
    spelling: Spelling,
    new: impl FnOnce(&Params<B>) -> error::Result<N>,
) -> Result<N> {
    let checkpoint = network.weights(None)?;
    let bound = checkpoint.bind(tensors, spelling)?;
    Ok(new(&Params::new(engine, &*B::weights(&bound)))?)
}

impl<B: Engine> Networks for Interpreted<B> {
    fn text(&mut self, ids: &Tensor<i64>) -> Result<Tensor> {
        self.engine.take(&self.text.forward(&Pass::plain(&self.engine), &self.engine.give_ids(ids)?)?)
    }

    fn unet(&mut self, sample: &Tensor, timestep: &Tensor, context: &Tensor) -> Result<Tensor> {
        Ok(self.unet_blocks(sample, timestep, context)?.0)
    }

    fn encode(&mut self, pictures: &Tensor) -> Result<Tensor> {
        self.engine.take(&self.encoder.forward(&Pass::plain(&self.engine), &self.engine.give(pictures)?)?)
    }

    fn decode(&mut self, latents: &Tensor) -> Result<Tensor> {
        self.engine.take(&self.decoder.forward(&Pass::plain(&self.engine), &self.engine.give(latents)?)?)
    }
}

/// Keeps the output of every block.
struct Blocks<V>(RefCell<Vec<(String, V)>>);

impl<B: Backend> Sites<B> for Blocks<B::Value> {
    fn site(&self, _: &B, path: &str, site: Site<'_, B::Value>, value: B::Value) -> error::Result<B::Value> {
        if matches!(site, Site::Block) {
            self.0.borrow_mut().push((path.to_owned(), value.clone()));
        }
        Ok(value)
    }
}
