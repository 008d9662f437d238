//! What a graph is written for. Everything that differs between targets stands in this table.

use pleach_model::manifest::Flavour;

/// How attention is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionForm {
    /// `MatMul`, `Softmax`, `MatMul` of at most four dimensions.
    Plain,
    /// `com.microsoft.MultiHeadAttention` in f32, which never holds all scores at once; its kernel on CPU has no other type.
    MultiHeadAttention,
    /// The same in the operands' own type, but for what asks for f32.
    NarrowMultiHeadAttention,
}

/// How group normalisation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormForm {
    /// `InstanceNormalization` over groups.
    Instances,
    /// `com.microsoft.GroupNorm` over pictures with channels last, with the SiLU after it. Only CUDA and its like have a kernel.
    Groups,
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
    /// The form of group normalisation.
    pub norm: NormForm,
}

impl Target {
    /// See [`Flavour::Portable`].
    pub const PORTABLE: Self = Self {
        flavour: Flavour::Portable,
        opset: 21,
        ir: 10,
        attention: AttentionForm::Plain,
        norm: NormForm::Instances,
    };

    /// See [`Flavour::Cpu`].
    pub const CPU: Self =
        Self { flavour: Flavour::Cpu, attention: AttentionForm::MultiHeadAttention, ..Self::PORTABLE };

    /// See [`Flavour::Cuda`]: attention in f32, which Stable Diffusion 2.x needs.
    ///
    /// Convolutions stay `Conv`: `com.microsoft.NhwcConv` wants its weights channels last, and they lie in the file as every other graph reads
    /// them. What stands around each norm to turn pictures, CUDA's option `prefer_nhwc` cancels.
    pub const CUDA: Self = Self { flavour: Flavour::Cuda, norm: NormForm::Groups, ..Self::CPU };

    /// The same with attention in half precision.
    pub const NARROW_CUDA: Self = Self { attention: AttentionForm::NarrowMultiHeadAttention, ..Self::CUDA };

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
