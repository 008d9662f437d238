//! `config.json` of a `UNet2DConditionModel`.

use crate::{config::Fields, error::Result};
use serde_json::{Value, json};

const NETWORK: &str = "UNet2DConditionModel";

/// Sizes of a UNet of Stable Diffusion 1.x, 2.x or one of their distillations. Lists go from the finest level to the coarsest.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Latent height and width that the checkpoint was trained at.
    pub sample_size: Option<usize>,
    /// Channels of the latents coming in.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Whether each down block has transformers.
    pub down_attention: Vec<bool>,
    /// Whether each up block has transformers, coarsest first.
    pub up_attention: Vec<bool>,
    /// Whether there is a middle block.
    pub mid_block: bool,
    /// ResNets of each down block; up blocks have one more.
    pub layers_per_block: Vec<usize>,
    /// Attention heads of each level (diffusers' `attention_head_dim` means this number).
    pub heads: Vec<usize>,
    /// Transformer blocks of each transformer.
    pub transformer_layers: Vec<usize>,
    /// Features of the text embedding.
    pub cross_attention_dim: usize,
    /// Transformers project with linear layers (SD 2.x) and not with 1x1 convolutions (SD 1.x).
    pub linear_projection: bool,
    /// Attention scores in f32.
    pub upcast_attention: bool,
    /// Groups of every normalisation.
    pub norm_num_groups: usize,
    /// Epsilon of the ResNets' normalisations.
    pub norm_eps: f64,
    /// Cosines before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the time embedding's exponent.
    pub freq_shift: f64,
}

impl UNetConfig {
    /// Reads a diffusers configuration.
    ///
    /// # Errors
    /// Names the first field that is missing, malformed, or asks for something that is not supported.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields::new(NETWORK, value)?;
        let null = Value::Null;
        fields.only(&[
            ("_class_name", json!(NETWORK)),
            ("act_fn", json!("silu")),
            ("addition_embed_type", null.clone()),
            ("attention_type", json!("default")),
            ("center_input_sample", json!(false)),
            ("class_embed_type", null.clone()),
            ("conv_in_kernel", json!(3)),
            ("conv_out_kernel", json!(3)),
            ("cross_attention_norm", null.clone()),
            ("downsample_padding", json!(1)),
            ("dual_cross_attention", json!(false)),
            ("encoder_hid_dim", null.clone()),
            ("encoder_hid_dim_type", null.clone()),
            ("mid_block_only_cross_attention", json!(false)),
            ("mid_block_scale_factor", json!(1)),
            ("num_class_embeds", null.clone()),
            ("only_cross_attention", json!(false)),
            ("resnet_out_scale_factor", json!(1.0)),
            ("resnet_skip_time_act", json!(false)),
            ("resnet_time_scale_shift", json!("default")),
            ("reverse_transformer_layers_per_block", null.clone()),
            ("time_cond_proj_dim", null.clone()),
            ("time_embedding_act_fn", null.clone()),
            ("time_embedding_dim", null.clone()),
            ("time_embedding_type", json!("positional")),
            ("timestep_post_act", null),
        ])?;
        let block_out_channels = fields.counts("block_out_channels")?;
        let levels = block_out_channels.len();
        let attention = |field, plain, cross| {
            let kinds = fields.words(field, &[(plain, false), (cross, true)])?;
            if kinds.len() == levels {
                Ok(kinds)
            } else {
                Err(fields.error(field, format!("has {} entries for {levels} levels", kinds.len())))
            }
        };
        // diffusers: the number of heads is `num_attention_heads` or, by an old misnomer, `attention_head_dim`.
        let heads =
            if fields.get("num_attention_heads").is_some() { "num_attention_heads" } else { "attention_head_dim" };
        let config = Self {
            sample_size: fields.get("sample_size").map(|_| fields.count("sample_size", None)).transpose()?,
            in_channels: fields.count("in_channels", Some(4))?,
            out_channels: fields.count("out_channels", Some(4))?,
            down_attention: attention("down_block_types", "DownBlock2D", "CrossAttnDownBlock2D")?,
            up_attention: attention("up_block_types", "UpBlock2D", "CrossAttnUpBlock2D")?,
            mid_block: mid_block(&fields, value)?,
            layers_per_block: fields.per_level("layers_per_block", Some(2), levels)?,
            heads: fields.per_level(heads, Some(8), levels)?,
            transformer_layers: fields.per_level("transformer_layers_per_block", Some(1), levels)?,
            cross_attention_dim: fields.count("cross_attention_dim", Some(1280))?,
            linear_projection: fields.flag("use_linear_projection", Some(false))?,
            upcast_attention: fields.flag("upcast_attention", Some(false))?,
            norm_num_groups: fields.count("norm_num_groups", Some(32))?,
            norm_eps: fields.number("norm_eps", Some(1e-5))?,
            flip_sin_to_cos: fields.flag("flip_sin_to_cos", Some(true))?,
            freq_shift: fields.number("freq_shift", Some(0.0))?,
            block_out_channels,
        };
        for (channels, heads) in config.block_out_channels.iter().zip(&config.heads) {
            let groups = config.norm_num_groups;
            if channels % groups != 0 || channels % heads != 0 {
                let reason = format!("{channels} channels do not fall into {groups} groups and {heads} heads");
                return Err(fields.error("block_out_channels", reason));
            }
        }
        Ok(config)
    }

    /// The same as a diffusers configuration.
    pub fn to_json(&self) -> Value {
        let kinds = |attention: &[bool], plain: &str, cross: &str| -> Value {
            attention.iter().map(|cross_attention| if *cross_attention { cross } else { plain }).collect()
        };
        json!({
            "_class_name": NETWORK,
            "act_fn": "silu",
            "attention_head_dim": self.heads,
            "block_out_channels": self.block_out_channels,
            "center_input_sample": false,
            "cross_attention_dim": self.cross_attention_dim,
            "down_block_types": kinds(&self.down_attention, "DownBlock2D", "CrossAttnDownBlock2D"),
            "downsample_padding": 1,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": self.freq_shift,
            "in_channels": self.in_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_type": self.mid_block.then_some("UNetMidBlock2DCrossAttn"),
            "norm_eps": self.norm_eps,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "sample_size": self.sample_size,
            "transformer_layers_per_block": self.transformer_layers,
            "up_block_types": kinds(&self.up_attention, "UpBlock2D", "CrossAttnUpBlock2D"),
            "upcast_attention": self.upcast_attention,
            "use_linear_projection": self.linear_projection,
        })
    }

    /// The UNet of `stabilityai/stable-diffusion-2-1-base`: 865,910,724 parameters.
    pub fn sd21_base() -> Self {
        Self {
            sample_size: Some(64),
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_attention: vec![true, true, true, false],
            up_attention: vec![false, true, true, true],
            mid_block: true,
            layers_per_block: vec![2; 4],
            heads: vec![5, 10, 20, 20],
            transformer_layers: vec![1; 4],
            cross_attention_dim: 1024,
            linear_projection: true,
            upcast_attention: false,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
        }
    }
}

/// An absent `mid_block_type` means the usual one; `null` means that there is none.
fn mid_block(fields: &Fields, value: &Value) -> Result<bool> {
    match value.get("mid_block_type") {
        Some(Value::Null) => Ok(false),
        None => Ok(true),
        Some(kind) => fields.one_of("mid_block_type", kind, &[("UNetMidBlock2DCrossAttn", true)]),
    }
}
