//! Attention by libtorch's fused kernels.

use pleach_model::op::Attention;
use tch::{Kind, TchError, Tensor};

/// [`Op::Attention`](pleach_model::op::Op::Attention) of `q [B, N, heads d]`, `k`, `v [B, M, heads d]`.
pub(super) fn compute(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    attention: &Attention,
) -> Result<Tensor, TchError> {
    let dtype = q.f_kind()?;
    let wide = |x: &Tensor| if attention.upcast { x.f_to_kind(Kind::Float) } else { Ok(x.shallow_clone()) };
    let (queries, keys) = (q.size(), k.size());
    let bias = bias.map(|bias| scores(&wide(bias)?, attention.causal, &queries, &keys)).transpose()?;
    let heads = |x: &Tensor| {
        let [batch, length, features] = <[i64; 3]>::from(x.size3()?);
        let heads = attention.heads as i64;
        wide(x)?.f_reshape([batch, length, heads, features / heads])?.f_transpose(1, 2)
    };
    // The kernels take a mask or make one, not both.
    let causal = attention.causal && bias.is_none();
    let mixed = Tensor::f_scaled_dot_product_attention(
        &heads(q)?,
        &heads(k)?,
        &heads(v)?,
        bias.as_ref(),
        0.0,
        causal,
        attention.scale,
        false,
    )?;
    mixed.f_transpose(1, 2)?.f_reshape(queries)?.f_to_kind(dtype)
}

/// The bias with as many dimensions as the scores, and with what lies ahead of each position ruled out.
fn scores(bias: &Tensor, causal: bool, queries: &[i64], keys: &[i64]) -> Result<Tensor, TchError> {
    let mut shape = vec![1; 4_usize.saturating_sub(bias.dim())];
    shape.extend(bias.size());
    let bias = bias.f_reshape(shape)?;
    if !causal {
        return Ok(bias);
    }
    let (Some(&n), Some(&m)) = (queries.get(1), keys.get(1)) else {
        return Err(TchError::Shape("queries and keys must have three dimensions".into()));
    };
    let ahead = Tensor::f_full([n, m], f64::NEG_INFINITY, (bias.f_kind()?, bias.device()))?.f_triu(1)?;
    bias.f_add(&ahead)
}
