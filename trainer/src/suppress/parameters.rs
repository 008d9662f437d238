//! Which of a UNet's parameters a method may change: by their names, as ESD does it (Gandikota et al. 2023).

use crate::learn::Variable;
use serde::{Deserialize, Serialize};

/// Parameters by the modules that they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameters {
    /// All.
    #[default]
    All,
    /// Those of cross-attention: ESD-x.
    Xattn,
    /// Cross-attention's keys and values alone: what a prompt is read by.
    XattnStrict,
    /// Every linear layer and convolution that is not in cross-attention, the time embedding's among them; no norms: ESD-u.
    Noxattn,
    /// Those of self-attention.
    Selfattn,
    /// Those of both attentions.
    Attention,
}

impl Parameters {
    /// Whether a parameter is one of them.
    pub fn has(self, name: &str) -> bool {
        let within = |module: &str| name.split('.').any(|part| part == module);
        let norm = || name.split('.').any(|part| part.contains("norm"));
        match self {
            Self::All => true,
            Self::Xattn => within("attn2"),
            Self::XattnStrict => within("attn2") && (within("to_k") || within("to_v")),
            Self::Noxattn => !within("attn2") && !norm(),
            Self::Selfattn => within("attn1"),
            Self::Attention => within("attn1") || within("attn2"),
        }
    }

    /// Those of a network.
    pub fn of(self, variables: &[Variable]) -> Vec<Variable> {
        variables.iter().filter(|(name, _)| self.has(name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_may_change() {
        let block = "down_blocks.0.attentions.0.transformer_blocks.0";
        let names = [
            format!("{block}.attn1.to_q.weight"),
            format!("{block}.attn2.to_q.weight"),
            format!("{block}.attn2.to_k.weight"),
            format!("{block}.attn2.to_out.0.bias"),
            format!("{block}.norm2.weight"),
            "down_blocks.0.attentions.0.proj_in.weight".into(),
            "down_blocks.0.resnets.0.norm1.bias".into(),
            "down_blocks.0.resnets.0.conv1.weight".into(),
            "time_embedding.linear_1.weight".into(),
            "conv_norm_out.weight".into(),
            "conv_out.bias".into(),
        ];
        let has = |parameters: Parameters| -> Vec<usize> {
            (0..names.len()).filter(|&i| parameters.has(&names[i])).collect()
        };
        assert_eq!(has(Parameters::All), (0..names.len()).collect::<Vec<_>>());
        assert_eq!(has(Parameters::Xattn), [1, 2, 3]);
        assert_eq!(has(Parameters::XattnStrict), [2]);
        assert_eq!(has(Parameters::Noxattn), [0, 5, 7, 8, 10]);
        assert_eq!(has(Parameters::Selfattn), [0]);
        assert_eq!(has(Parameters::Attention), [0, 1, 2, 3]);
    }
}
