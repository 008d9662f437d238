//! What a graph is written for. Everything that differs between targets stands in this table.

use pleach_model::manifest::Flavour;

/// How attention is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionForm {
    /// `MatMul`, `Softmax`, `MatMul` of at most four dimensions.
    Plain,
    /// `com.microsoft.MultiHeadAttention`, which never holds all scores at once on CPU; its kernel there is f32 only.
    MultiHeadAttention,
}

/// A target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who is to run the graph.
    pub flavour: Flavour,
    /// Version of the standard operators. 21 has `Gelu` and `Split` with `num_outputs`, and every provider accepts it.
    pub opset: i64,
    /// Version of the file format. ONNX Runtime 1.30 refuses 14 and above.
    pub ir: i64,
    /// The form of attention.
    pub attention: AttentionForm,
}

impl Target {
    /// See [`Flavour::Portable`].
    pub const PORTABLE: Self = Self { flavour: Flavour::Portable, opset: 21, ir: 10, attention: AttentionForm::Plain };

    /// See [`Flavour::Cpu`].
    pub const CPU: Self =
        Self { flavour: Flavour::Cpu, attention: AttentionForm::MultiHeadAttention, ..Self::PORTABLE };

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self.flavour {
            Flavour::Portable => "portable",
            Flavour::Cpu => "cpu",
            Flavour::Cuda => "cuda",
        }
    }

    /// What its files have between stem and ending: `model.cpu.onnx`.
    pub fn suffix(&self) -> &'static str {
        match self.flavour {
            Flavour::Portable => "",
            Flavour::Cpu => ".cpu",
            Flavour::Cuda => ".cuda",
        }
    }
}
