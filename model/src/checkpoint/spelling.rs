//! The spellings under which parameters were stored over the years, one table for each network.

/// Whose names a checkpoint holds.
///
/// The names of today are diffusers' for the UNet and the autoencoder, transformers' with the prefix `text_model.` for the text
/// encoder, and transformers' without a prefix for the two sentence encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// diffusers' `UNet2DConditionModel`.
    Unet,
    /// diffusers' `AutoencoderKL`.
    AutoencoderKl,
    /// transformers' `CLIPTextModel`.
    ClipText,
    /// transformers' `BertModel`, alone or inside a sentence-transformers model.
    Bert,
    /// transformers' `MPNetModel`, alone or inside a sentence-transformers model.
    Mpnet,
    /// Our own [`Vision`](crate::vision::Vision).
    Vision,
    /// The projection of texts, beside an image tower ([`TextTower`](crate::towers::TextTower)).
    Projection,
    /// APTP's predictor and codes in one file ([`Router`](crate::router::Router)).
    Router,
}

/// How one network's names and shapes of old become those of today.
struct Table {
    /// Beginnings: the first that fits is replaced.
    prefixes: &'static [(&'static str, &'static str)],
    /// Modules or parameters anywhere in the path: each is replaced.
    modules: &'static [(&'static str, &'static str)],
    /// Endings of weights stored as linear layers (`[out, in]`) or as 1x1 convolutions (`[out, in, 1, 1]`): the numbers are the same.
    pointwise: &'static [&'static str],
    /// Beginnings of what other users of the file need and this network does not.
    unused: &'static [&'static str],
}

/// Token positions `0, 1, 2, ...`, which transformers used to store.
const POSITION_IDS: &str = "embeddings.position_ids";

const UNET: Table =
    Table { prefixes: &[], modules: &[], pointwise: &["proj_in.weight", "proj_out.weight"], unused: &[] };

const AUTOENCODER_KL: Table = Table {
    prefixes: &[],
    modules: &[("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")],
    pointwise: &["to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"],
    unused: &[],
};

const CLIP_TEXT: Table = Table {
    // transformers 5 stores CLIPTextModel without the prefix.
    prefixes: &[
        ("embeddings.", "text_model.embeddings."),
        ("encoder.", "text_model.encoder."),
        ("final_layer_norm.", "text_model.final_layer_norm."),
    ],
    modules: &[],
    pointwise: &[],
    unused: &["text_model.embeddings.position_ids", "text_projection."],
};

const LAYER_NORM: &[(&str, &str)] = &[("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];

const BERT: Table = Table {
    prefixes: &[("bert.", ""), ("0.auto_model.", "")],
    modules: LAYER_NORM,
    pointwise: &[],
    unused: &[POSITION_IDS, "pooler.", "cls."],
};

const MPNET: Table = Table {
    prefixes: &[("mpnet.", ""), ("0.auto_model.", "")],
    modules: LAYER_NORM,
    pointwise: &[],
    unused: &[POSITION_IDS, "pooler.", "lm_head."],
};

/// An image tower lies beside the projection of texts and the factor of similarities, which is for training alone.
const VISION: Table =
    Table { prefixes: &[], modules: &[], pointwise: &[], unused: &["text_projection.", "logit_scale."] };

const PROJECTION: Table = Table {
    prefixes: &[],
    modules: &[],
    pointwise: &[],
    unused: &["conv_in.", "blocks.", "norm_out.", "hidden.", "heads.", "logit_scale."],
};

/// The codes' logits are for going on with training.
const ROUTER: Table = Table { prefixes: &[], modules: &[], pointwise: &[], unused: &["embedding.weight"] };

impl Spelling {
    fn table(self) -> &'static Table {
        match self {
            Self::Unet => &UNET,
            Self::AutoencoderKl => &AUTOENCODER_KL,
            Self::ClipText => &CLIP_TEXT,
            Self::Bert => &BERT,
            Self::Mpnet => &MPNET,
            Self::Vision => &VISION,
            Self::Projection => &PROJECTION,
            Self::Router => &ROUTER,
        }
    }

    /// Today's name of a stored tensor.
    pub fn canonical(self, stored: &str) -> String {
        let table = self.table();
        let mut name = stored.to_owned();
        for (old, new) in table.prefixes {
            if let Some(rest) = stored.strip_prefix(old) {
                name = format!("{new}{rest}");
                break;
            }
        }
        for (old, new) in table.modules {
            name = format!(".{name}.").replace(&format!(".{old}."), &format!(".{new}.")).trim_matches('.').to_owned();
        }
        name
    }

    /// Whether a tensor (by today's name) may be stored although this network does not use it.
    pub(super) fn is_unused(self, canonical: &str) -> bool {
        self.table().unused.iter().any(|unused| canonical.starts_with(unused))
    }

    /// Whether a tensor of shape `stored` holds what the network expects in shape `expected`, number by number.
    pub(super) fn fits(self, canonical: &str, stored: &[usize], expected: &[usize]) -> bool {
        fn flat(shape: &[usize]) -> &[usize] {
            shape.strip_suffix(&[1, 1]).filter(|flat| flat.len() == 2).unwrap_or(shape)
        }
        let is_pointwise = || self.table().pointwise.iter().any(|ending| canonical.ends_with(ending));
        stored == expected || is_pointwise() && flat(stored) == flat(expected)
    }
}
