//! The operations that networks are written in. Three engines must agree on each, so each sentence is exact.

use crate::tensor::Dtype;

/// One operation. Operands are listed in order; `[..]` are shapes, `B` batch, `C` channels, `N`, `M` sequence lengths.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `x [.., in]`, `weight [out, in]`, optional `bias [out]` to `x weight^T + bias [.., out]`.
    Linear,
    /// Cross-correlation of `x [B, in, H, W]` with `weight [out, in, kh, kw]`, optional `bias [out]`, zero padding, no dilation, one group.
    Conv2d(Conv2d),
    /// `x [B, C, H, W]`, `weight [C]`, `bias [C]`: over each of `groups` runs of `C / groups` channels and all positions,
    /// subtract the mean, divide by `sqrt(biased variance + eps)`; then scale and shift per channel.
    GroupNorm {
        /// Number of groups; divides `C`.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// `x [.., C]`, `weight [C]`, `bias [C]`: as [`Op::GroupNorm`] over the last dimension of each row.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// `softmax(scale q k^T + bias) v` per head: `q [B, N, heads d]`, `k [B, M, heads d]`, `v [B, M, heads d]`,
    /// optional additive `bias` that broadcasts to `[B, heads, N, M]`, to `[B, N, heads d]`. Head `h` owns columns `h d .. (h + 1) d`.
    Attention(Attention),
    /// Applied to each element.
    Unary(Unary),
    /// Elementwise over two operands that broadcast as in NumPy.
    Binary(Binary),
    /// `x scale + shift` for each element, the two numbers rounded to the type of `x`.
    Affine {
        /// Factor.
        scale: f64,
        /// Summand.
        shift: f64,
    },
    /// The larger of each element and a number.
    AtLeast(f64),
    /// Sum over one dimension, which stays with length 1.
    Sum {
        /// The dimension.
        axis: usize,
    },
    /// The largest element over one dimension, which stays with length 1; not a number where one of them is none.
    Max {
        /// The dimension.
        axis: usize,
    },
    /// Number of the largest element along one dimension, which goes, as i64; the first of equals.
    ArgMax {
        /// The dimension.
        axis: usize,
    },
    /// The `count` largest elements along one dimension, in descending order.
    Largest {
        /// The dimension, of at least `count` elements.
        axis: usize,
        /// How many.
        count: usize,
    },
    /// The same elements in row-major order under another shape; exactly one extent may be [`Extent::Rest`].
    Reshape(Vec<Extent>),
    /// `x`, `like`: `x` under the shape of `like`.
    ReshapeLike,
    /// Dimension `i` of the result is dimension `order[i]` of `x`.
    Permute(Vec<usize>),
    /// Two or more operands joined along one dimension.
    Concat {
        /// The dimension.
        axis: usize,
    },
    /// One of `parts` equal pieces along one dimension.
    Chunk {
        /// The dimension; `parts` divides its length.
        axis: usize,
        /// How many pieces.
        parts: usize,
        /// Which piece.
        index: usize,
    },
    /// `x`, `like`: along `axis` of `x`, the elements `start ..` for as many as `like` has along its dimension `like_axis`.
    NarrowLike {
        /// Dimension of `x` to narrow.
        axis: usize,
        /// First element kept.
        start: usize,
        /// Dimension of `like` that gives the length.
        like_axis: usize,
    },
    /// `x [B, C, H, W]` to `[B, C, 2 H, 2 W]`, each element repeated in a 2 by 2 square; with a second operand `like`,
    /// cropped at the bottom and right to its height and width (`2 H - 1` at least), which equals
    /// PyTorch's `interpolate(size=..., mode="nearest")` for these sizes.
    Upsample2x,
    /// `table [V, C]`, `ids [..]` (i64 or i32) to `[.., C]`.
    Embedding,
    /// To another element type; floats round to nearest even.
    Cast(Dtype),
}

/// Settings of [`Op::Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros added at the top, left, bottom and right.
    pub padding: [usize; 4],
}

impl Conv2d {
    /// Stride 1 and the padding that keeps the size for an odd kernel.
    pub fn same(kernel: usize) -> Self {
        Self { stride: 1, padding: [kernel / 2; 4] }
    }
}

/// Settings of [`Op::Attention`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// Factor of the scores, `1 / sqrt(d)` of the unpruned network.
    pub scale: f64,
    /// Position `n` sees positions `0 ..= n` only.
    pub causal: bool,
    /// Scores and softmax in f32 whatever the operands' type (diffusers' `upcast_attention`).
    pub upcast: bool,
}

/// Functions of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Phi(x)` with the exact normal distribution function (erf).
    Gelu,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// 1 where `x` is at least one half, 0 elsewhere; its gradient is 0.
    Step,
    /// As [`Unary::Step`], with the gradient of `x` itself (straight through).
    Harden,
}

/// Functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Quotient.
    Div,
}

/// How one dimension of a reshape's result is described, so that no network reads a concrete size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As dimension `i` of the operand.
    Keep(usize),
    /// A fixed number.
    Is(usize),
    /// Whatever is left.
    Rest,
}

impl Op {
    /// Name for errors and graph nodes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Conv2d(_) => "conv2d",
            Self::GroupNorm { .. } => "group_norm",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Attention(_) => "attention",
            Self::Unary(Unary::Silu) => "silu",
            Self::Unary(Unary::Gelu) => "gelu",
            Self::Unary(Unary::QuickGelu) => "quick_gelu",
            Self::Unary(Unary::Sin) => "sin",
            Self::Unary(Unary::Cos) => "cos",
            Self::Unary(Unary::Sigmoid) => "sigmoid",
            Self::Unary(Unary::Exp) => "exp",
            Self::Unary(Unary::Log) => "log",
            Self::Unary(Unary::Sqrt) => "sqrt",
            Self::Unary(Unary::Step) => "step",
            Self::Unary(Unary::Harden) => "harden",
            Self::Binary(Binary::Add) => "add",
            Self::Binary(Binary::Mul) => "mul",
            Self::Binary(Binary::Div) => "div",
            Self::Affine { .. } => "affine",
            Self::AtLeast(_) => "at_least",
            Self::Sum { .. } => "sum",
            Self::Max { .. } => "max",
            Self::ArgMax { .. } => "arg_max",
            Self::Largest { .. } => "largest",
            Self::Reshape(_) => "reshape",
            Self::ReshapeLike => "reshape_like",
            Self::Permute(_) => "permute",
            Self::Concat { .. } => "concat",
            Self::Chunk { .. } => "chunk",
            Self::NarrowLike { .. } => "narrow_like",
            Self::Upsample2x => "upsample2x",
            Self::Embedding => "embedding",
            Self::Cast(_) => "cast",
        }
    }
}
