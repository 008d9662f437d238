//! The networks of a pipeline as graphs: what each takes and gives, under the names of Optimum's ONNX pipelines.

use crate::{
    error::Result,
    graph::{self, Graph},
    lower::Target,
};
use pleach_model::{
    architecture::Architecture,
    backend::Backend,
    checkpoint::{Bound, Checkpoint, Spelling},
    clip::{ClipText, ClipTextConfig},
    counter::{self, At, Report},
    error,
    manifest::Precision,
    params::Params,
    router::{Choice, Router, RouterConfig},
    sentence::{SentenceConfig, SentenceEncoder, SentenceKind},
    shape::{Dim, Fact},
    sites::Pass,
    tensor::{Dtype, TensorSpec},
    towers::{self, ImageTower, ImageTowerConfig, TextTower, TextTowerConfig},
    unet::{UNet, UNetConfig},
    vae::{Decoder, Encoder, VaeConfig},
    vector::VectorLayout,
    vision::{self, Vision, VisionConfig},
};

/// A network that becomes one graph.
#[derive(Clone, Debug)]
pub enum Network {
    /// Token ids to a text embedding.
    TextEncoder(ClipTextConfig),
    /// Latents, a timestep and a text embedding to a prediction.
    Unet {
        /// Sizes of the whole network.
        config: UNetConfig,
        /// What is left of it.
        architecture: Architecture,
        /// Length of the text embedding.
        tokens: usize,
    },
    /// Latents, divided by the scaling factor, to a picture.
    VaeDecoder(VaeConfig),
    /// A picture to mean and log-variance of its latents.
    VaeEncoder(VaeConfig),
    /// Token ids of prompts and their mask to the experts that draw them.
    Router {
        /// Sizes of the sentence encoder.
        sentence: SentenceConfig,
        /// Sizes and rules of the router.
        router: RouterConfig,
        /// The network that its experts were cut out of.
        layout: VectorLayout,
        /// Numbers of the experts that it chooses between.
        experts: Vec<usize>,
    },
    /// A picture to features and the scores of heads. It belongs to no pipeline: it judges what pipelines draw.
    Classifier(VisionConfig),
    /// A picture to the features that it shares with texts. Like the text tower it belongs to no pipeline: it measures what pipelines draw.
    ImageTower(ImageTowerConfig),
    /// Token ids to the features that a text shares with pictures.
    TextTower(TextTowerConfig),
}

/// What a classifier's graph calls its penultimate layer.
const FEATURES: &str = "features";

/// An input of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: &'static str,
    /// Its type and shape. Symbols are `batch`, `height` and `width` (of the input itself).
    pub fact: Fact,
}

impl Network {
    /// Path of one of its files in what is exported: below the component's folder of a bundle; a classifier stands alone.
    pub fn file(&self, name: &str) -> String {
        match self {
            Self::Classifier(_) => name.to_owned(),
            _ => format!("{}/{name}", self.component()),
        }
    }

    /// What it is in a pipeline.
    pub fn component(&self) -> &'static str {
        match self {
            Self::TextEncoder(_) => "text_encoder",
            Self::Unet { .. } => "unet",
            Self::VaeDecoder(_) => "vae_decoder",
            Self::VaeEncoder(_) => "vae_encoder",
            Self::Router { .. } => "router",
            Self::Classifier(_) => "classifier",
            Self::ImageTower(_) => "image",
            Self::TextTower(_) => "text",
        }
    }

    /// The class that diffusers or transformers has for it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::TextEncoder(_) => "CLIPTextModel",
            Self::Unet { .. } => "UNet2DConditionModel",
            Self::VaeDecoder(_) | Self::VaeEncoder(_) => "AutoencoderKL",
            Self::Router { .. } => "PromptRouter",
            Self::Classifier(_) | Self::ImageTower(_) => vision::CLASS,
            Self::TextTower(_) => "CLIPTextModelWithProjection",
        }
    }

    /// What its graphs are written for where its weights are in `precision`. The attention of text encoder and router is too small for another
    /// form of it to pay, as is a text tower's; a classifier and an image tower have none. CUDA's own form is for half precision. Of the UNets those with linear projections, which
    /// are Stable Diffusion 2.x's, need attention in f32.
    pub fn targets(&self, precision: Precision) -> &'static [Target] {
        match (self, precision) {
            (Self::TextEncoder(_) | Self::Router { .. } | Self::Classifier(_), _)
            | (Self::ImageTower(_) | Self::TextTower(_), _) => &[Target::PORTABLE],
            (Self::Unet { config, .. }, Precision::F16) if !config.linear_projection => {
                &[Target::PORTABLE, Target::CPU, Target::NARROW_CUDA]
            }
            (Self::Unet { .. } | Self::VaeDecoder(_) | Self::VaeEncoder(_), Precision::F16) => {
                &[Target::PORTABLE, Target::CPU, Target::CUDA]
            }
            (Self::Unet { .. } | Self::VaeDecoder(_) | Self::VaeEncoder(_), _) => &[Target::PORTABLE, Target::CPU],
        }
    }

    /// What its weights are in where this precision is asked for: a router's in f32 always, it decides.
    pub fn precision(&self, asked: Precision) -> Precision {
        if matches!(self, Self::Router { .. }) { Precision::F32 } else { asked }
    }

    /// The tensors of each checkpoint that it is read from, and how their names were spelt over the years. The autoencoder's holds both
    /// halves; a router has two, its sentence encoder's and its own, and a text tower, the text encoder's and that of the projection.
    pub fn checkpoints(&self) -> Result<Vec<(Vec<TensorSpec>, Spelling)>> {
        let whole = || Ok::<_, crate::error::Error>(self.count(At::SD512)?.tensors);
        Ok(match self {
            Self::TextEncoder(_) => vec![(whole()?, Spelling::ClipText)],
            Self::Unet { .. } => vec![(whole()?, Spelling::Unet)],
            Self::VaeDecoder(config) | Self::VaeEncoder(config) => {
                vec![(counter::vae_tensors(config)?, Spelling::AutoencoderKl)]
            }
            Self::Router { sentence, router, layout, .. } => {
                let spelling = match sentence.kind {
                    SentenceKind::Bert { .. } => Spelling::Bert,
                    SentenceKind::Mpnet { .. } => Spelling::Mpnet,
                };
                let encoder = counter::sentence(sentence, sentence.max_tokens())?.tensors;
                vec![(encoder, spelling), (counter::router(router, layout)?.tensors, Spelling::Router)]
            }
            Self::Classifier(_) | Self::ImageTower(_) => vec![(whole()?, Spelling::Vision)],
            Self::TextTower(_) => {
                let (own, encoder) = whole()?.into_iter().partition(|spec| spec.name.starts_with(towers::PROJECTION));
                vec![(encoder, Spelling::ClipText), (own, Spelling::Projection)]
            }
        })
    }

    /// Its tensors, out of the checkpoints that [`checkpoints`](Self::checkpoints) lists.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::error::Error::Mismatch) with all that is wrong in any of them.
    pub fn bind<'c>(&self, checkpoints: &'c [Checkpoint]) -> Result<Bound<'c>> {
        let (mut bound, mut mismatches): (Option<Bound>, _) = (None, Vec::new());
        for (checkpoint, (tensors, spelling)) in checkpoints.iter().zip(self.checkpoints()?) {
            match checkpoint.bind(&tensors, spelling) {
                Ok(more) => {
                    bound = Some(match bound {
                        Some(before) => before.and(more),
                        None => more,
                    });
                }
                Err(mismatch) => mismatches.push(mismatch),
            }
        }
        bound.filter(|_| mismatches.is_empty()).ok_or(crate::error::Error::Mismatch(mismatches))
    }

    /// Parameters, and what one pass costs for a picture of these latents; for a classifier a picture of this size, for a router a prompt
    /// of so many tokens. Towers have a size of their own.
    pub fn count(&self, at: At) -> Result<Report> {
        Ok(match self {
            Self::TextEncoder(config) => counter::clip_text(config, config.max_position_embeddings)?,
            Self::Unet { config, architecture, .. } => counter::unet(config, architecture, at)?,
            Self::VaeDecoder(config) => counter::vae_decoder(config, at)?,
            Self::VaeEncoder(config) => counter::vae_encoder(config, at)?,
            Self::Router { sentence, router, layout, .. } => {
                counter::prompt_router(sentence, router, layout, at.tokens.min(sentence.max_tokens()))?
            }
            Self::Classifier(config) => counter::vision(config, [at.height, at.width])?,
            Self::ImageTower(config) => counter::image_tower(config)?,
            Self::TextTower(config) => counter::text_tower(config, config.text.max_position_embeddings)?,
        })
    }

    /// What the graph takes. Numbers are f32 in every precision: an application need not know it.
    pub fn inputs(&self) -> Vec<Port> {
        let batch = || Dim::symbol("batch");
        let port = |name, dtype, shape: Vec<Dim>| Port { name, fact: Fact::new(dtype, shape) };
        let picture = |name, channels: usize| {
            port(name, Dtype::F32, vec![batch(), channels.into(), Dim::symbol("height"), Dim::symbol("width")])
        };
        let text = |config: &ClipTextConfig| {
            vec![port("input_ids", Dtype::I64, vec![batch(), config.max_position_embeddings.into()])]
        };
        match self {
            Self::TextEncoder(config) => text(config),
            Self::TextTower(config) => text(&config.text),
            Self::ImageTower(config) => {
                let side = || config.side.into();
                vec![port("pixel_values", Dtype::F32, vec![batch(), config.channels().into(), side(), side()])]
            }
            Self::Unet { config, tokens, .. } => vec![
                picture("sample", config.in_channels),
                port("timestep", Dtype::F32, vec![1.into()]),
                port(
                    "encoder_hidden_states",
                    Dtype::F32,
                    vec![batch(), (*tokens).into(), config.cross_attention_dim.into()],
                ),
            ],
            Self::VaeDecoder(config) => vec![picture("latent_sample", config.latent_channels)],
            Self::VaeEncoder(config) => vec![picture("sample", config.in_channels)],
            Self::Router { .. } => ["input_ids", "attention_mask"]
                .map(|name| port(name, Dtype::I64, vec![batch(), Dim::symbol("tokens")]))
                .into(),
            Self::Classifier(config) => vec![picture("sample", config.in_channels)],
        }
    }

    /// The same for one picture with latents of this height and width; a router takes prompts of any length.
    pub fn inputs_at(&self, latents: Option<[usize; 2]>) -> Vec<Port> {
        let Some([height, width]) = latents else { return self.inputs() };
        let factor = match self {
            Self::VaeEncoder(config) => config.factor(),
            _ => 1,
        };
        let size = |name: &str| match name {
            "batch" if !matches!(self, Self::Router { .. }) => Some(1),
            "height" => Some(factor * height),
            "width" => Some(factor * width),
            _ => None,
        };
        let freeze = |dim: &Dim| dim.evaluate(&size).map_or_else(|| dim.clone(), Dim::Known);
        let port = |port: Port| {
            let shape: Vec<Dim> = port.fact.shape.iter().map(freeze).collect();
            Port { fact: Fact::new(port.fact.dtype, shape), ..port }
        };
        self.inputs().into_iter().map(port).collect()
    }

    /// Names of what the graph gives, in order.
    pub fn outputs(&self) -> Vec<String> {
        let one = |name: &str| vec![name.to_owned()];
        match self {
            Self::TextEncoder(_) => one("last_hidden_state"),
            Self::Unet { .. } => one("out_sample"),
            Self::VaeDecoder(_) => one("sample"),
            Self::VaeEncoder(_) => one("latent_parameters"),
            Self::Router { .. } => ["expert", "scores", "margin"].map(str::to_owned).into(),
            Self::Classifier(config) => {
                one(FEATURES).into_iter().chain(config.heads.iter().map(|head| head.name.clone())).collect()
            }
            Self::ImageTower(_) => one("image_embeds"),
            Self::TextTower(_) => one("text_embeds"),
        }
    }

    /// Builds the network and runs it, computing in `dtype` between inputs and output.
    pub fn forward<B: Backend>(
        &self,
        pass: &Pass<B>,
        params: &Params<B>,
        dtype: Dtype,
        inputs: &[B::Value],
    ) -> error::Result<Vec<B::Value>> {
        let results = match (self, inputs) {
            (Self::TextEncoder(config), [ids]) => vec![ClipText::new(config, params)?.forward(pass, ids)?],
            (Self::Unet { config, architecture, .. }, [sample, timestep, context]) => {
                let (sample, context) = (pass.cast(sample, dtype)?, pass.cast(context, dtype)?);
                // The timestep stays in f32: half precision cannot tell late ones apart once they are multiplied.
                vec![UNet::new(config, architecture, params)?.forward(pass, &sample, timestep, &context)?]
            }
            (Self::VaeDecoder(config), [latents]) => {
                vec![Decoder::new(config, params)?.forward(pass, &pass.cast(latents, dtype)?)?]
            }
            (Self::VaeEncoder(config), [picture]) => {
                vec![Encoder::new(config, params)?.forward(pass, &pass.cast(picture, dtype)?)?]
            }
            (Self::Router { sentence, router, layout, experts }, [ids, mask]) => {
                let embedding = SentenceEncoder::new(sentence, params)?.forward(pass, ids, mask)?;
                let router = Router::new(router, layout, params)?.between(params.backend(), experts)?;
                let Choice { expert, scores, margin } = router.choose(params.backend(), &embedding)?;
                return Ok(vec![expert, scores, margin]);
            }
            (Self::Classifier(config), [picture]) => {
                let seen = Vision::new(config, params)?.forward(pass, &pass.cast(picture, dtype)?)?;
                [seen.features].into_iter().chain(seen.heads).collect()
            }
            (Self::ImageTower(config), [picture]) => {
                vec![ImageTower::new(config, params)?.forward(pass, &pass.cast(picture, dtype)?)?]
            }
            (Self::TextTower(config), [ids]) => vec![TextTower::new(config, params)?.forward(pass, ids)?],
            _ => {
                let facts: Vec<Fact> = inputs.iter().map(|value| pass.fact(value)).collect();
                let reason = format!("takes {} inputs", self.inputs().len());
                return Err(error::Error::op("", self.component(), &facts, reason));
            }
        };
        results.iter().map(|result| pass.cast(result, Dtype::F32)).collect()
    }

    /// Records the network with parameters of type `dtype`, for any size.
    pub fn record(&self, dtype: Dtype) -> Result<Graph> {
        self.record_at(dtype, None)
    }

    /// The same for one picture with latents of this height and width alone, where they are given.
    pub fn record_at(&self, dtype: Dtype, latents: Option<[usize; 2]>) -> Result<Graph> {
        graph::record(dtype, |b, params| {
            let declare = |port: Port| b.with(|recorder| recorder.input(port.name, port.fact));
            let inputs: Vec<_> = self.inputs_at(latents).into_iter().map(declare).collect();
            let results = self.forward(&Pass::plain(b), params, dtype, &inputs)?;
            Ok(self.outputs().into_iter().zip(results).collect())
        })
    }
}
