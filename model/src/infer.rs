//! What each operation makes of its operands' types and shapes. One rule per operation; symbols stay symbols.

use crate::{
    op::{Conv2d, Extent, Op},
    shape::{Dim, Fact, Shape},
    tensor::Dtype,
};

type Rule<T = Shape> = std::result::Result<T, String>;

/// Type and shape of the result of `op`, or the reason why the operands do not fit.
pub fn infer(op: &Op, inputs: &[&Fact]) -> Rule<Fact> {
    let (least, most) = arity(op);
    if inputs.len() < least || inputs.len() > most {
        return Err(format!("takes {least} to {most} operands, not {}", inputs.len()));
    }
    let x = inputs[0];
    let second = inputs.get(1).copied().unwrap_or(x);
    let shape = match op {
        Op::Linear => linear(x, second, inputs.get(2).copied())?,
        Op::Conv2d(conv) => conv2d(x, second, inputs.get(2).copied(), conv)?,
        Op::GroupNorm { groups, .. } => group_norm(inputs, *groups)?,
        Op::LayerNorm { .. } => layer_norm(inputs)?,
        Op::Attention(attention) => attention_shape(inputs, attention.heads, attention.causal)?,
        Op::Unary(_) | Op::Affine { .. } | Op::AtLeast(_) => {
            float(x)?;
            x.shape.clone()
        }
        Op::Binary(_) => {
            same_type(inputs)?;
            broadcast(&x.shape, &second.shape)?
        }
        Op::Sum { axis } => replace(x, *axis, |_| Ok(Dim::Known(1)))?,
        Op::Max { axis } => largest(x, *axis, 1)?,
        Op::ArgMax { axis } => {
            let mut shape = largest(x, *axis, 1)?;
            shape.remove(*axis);
            shape
        }
        Op::Largest { axis, count } => largest(x, *axis, *count)?,
        Op::Reshape(to) => reshape(x, to)?,
        Op::ReshapeLike => {
            let (from, to) = (Dim::product(&x.shape), Dim::product(&second.shape));
            if let (Dim::Known(a), Dim::Known(b)) = (&from, &to)
                && a != b
            {
                return Err(format!("{a} elements do not fill {b}"));
            }
            second.shape.clone()
        }
        Op::Permute(order) => permute(x, order)?,
        Op::Concat { axis } => concat(inputs, *axis)?,
        Op::Chunk { axis, parts, index } => replace(x, *axis, |dim| match dim.known() {
            Some(n) if *index < *parts && n % parts == 0 => Ok(Dim::Known(n / parts)),
            _ => Err(format!("dimension {axis} ({dim}) has no piece {index} of {parts}")),
        })?,
        Op::NarrowLike { axis, start, like_axis } => {
            let length = second.shape.get(*like_axis).ok_or(format!("no dimension {like_axis} to go by"))?;
            replace(x, *axis, |dim| match (dim, length) {
                (Dim::Known(have), Dim::Known(want)) if start + want > *have => {
                    Err(format!("{want} elements from {start} on are more than there are: {have}"))
                }
                _ => Ok(length.clone()),
            })?
        }
        Op::Upsample2x => upsample2x(x, inputs.get(1).copied())?,
        Op::Embedding => {
            rank(x, 2, "table")?;
            if second.dtype.is_float() {
                return Err("ids must be whole numbers".into());
            }
            second.shape.iter().chain([&x.shape[1]]).cloned().collect()
        }
        Op::Cast(_) => x.shape.clone(),
    };
    let dtype = match op {
        Op::Cast(dtype) => *dtype,
        Op::ArgMax { .. } => Dtype::I64,
        _ => x.dtype,
    };
    Ok(Fact { dtype, shape })
}

/// Least and greatest number of operands.
fn arity(op: &Op) -> (usize, usize) {
    match op {
        Op::Linear | Op::Conv2d(_) => (2, 3),
        Op::GroupNorm { .. } | Op::LayerNorm { .. } => (3, 3),
        Op::Attention(_) => (3, 4),
        Op::Binary(_) | Op::ReshapeLike | Op::NarrowLike { .. } | Op::Embedding => (2, 2),
        Op::Upsample2x => (1, 2),
        Op::Concat { .. } => (2, usize::MAX),
        _ => (1, 1),
    }
}

fn rank(fact: &Fact, rank: usize, what: &str) -> Rule<()> {
    if fact.rank() == rank { Ok(()) } else { Err(format!("{what} must have {rank} dimensions, not {}", fact.rank())) }
}

fn float(fact: &Fact) -> Rule<()> {
    if fact.dtype.is_float() { Ok(()) } else { Err(format!("needs floating-point numbers, not {}", fact.dtype)) }
}

fn same_type(inputs: &[&Fact]) -> Rule<()> {
    match inputs.iter().find(|fact| fact.dtype != inputs[0].dtype) {
        None => Ok(()),
        Some(other) => Err(format!("operands of types {} and {}", inputs[0].dtype, other.dtype)),
    }
}

/// Refuses two dimensions that are both known and differ, and two different symbols.
fn agree(a: &Dim, b: &Dim, what: &str) -> Rule<()> {
    if a == b { Ok(()) } else { Err(format!("{what} is {a} here and {b} there")) }
}

fn last(fact: &Fact) -> Rule<&Dim> {
    fact.shape.last().ok_or_else(|| "needs at least one dimension".into())
}

fn replace(x: &Fact, axis: usize, with: impl FnOnce(&Dim) -> Rule<Dim>) -> Rule {
    let mut shape = x.shape.clone();
    let dim = shape.get_mut(axis).ok_or(format!("no dimension {axis}"))?;
    *dim = with(dim)?;
    Ok(shape)
}

/// As many as there are of the largest along a dimension.
fn largest(x: &Fact, axis: usize, count: usize) -> Rule {
    float(x)?;
    replace(x, axis, |dim| match dim.known() {
        Some(length) if length < count => {
            Err(format!("there are no {count} largest along dimension {axis}, which has {length}"))
        }
        _ => Ok(Dim::Known(count)),
    })
}

fn linear(x: &Fact, weight: &Fact, bias: Option<&Fact>) -> Rule {
    same_type(&[x, weight])?;
    rank(weight, 2, "weight")?;
    agree(last(x)?, &weight.shape[1], "the number of input features")?;
    vector(bias, &weight.shape[0])?;
    replace(x, x.rank() - 1, |_| Ok(weight.shape[0].clone()))
}

/// A bias of the given length, if there is one.
fn vector(bias: Option<&Fact>, length: &Dim) -> Rule<()> {
    let Some(bias) = bias else { return Ok(()) };
    rank(bias, 1, "bias")?;
    agree(&bias.shape[0], length, "the number of output features")
}

fn conv2d(x: &Fact, weight: &Fact, bias: Option<&Fact>, conv: &Conv2d) -> Rule {
    same_type(&[x, weight])?;
    rank(x, 4, "picture")?;
    rank(weight, 4, "weight")?;
    agree(&x.shape[1], &weight.shape[1], "the number of input channels")?;
    vector(bias, &weight.shape[0])?;
    let [top, left, bottom, right] = conv.padding;
    let side = |i: usize, pad: usize| {
        let kernel = weight.shape[i].known().ok_or("kernel of unknown size")?;
        let add = (pad + conv.stride) as i64 - kernel as i64;
        x.shape[i].strided(add, conv.stride).ok_or(format!("side {} is smaller than the kernel", x.shape[i]))
    };
    Ok(vec![x.shape[0].clone(), weight.shape[0].clone(), side(2, top + bottom)?, side(3, left + right)?])
}

fn group_norm(inputs: &[&Fact], groups: usize) -> Rule {
    let x = inputs[0];
    same_type(inputs)?;
    rank(x, 4, "picture")?;
    vector(Some(inputs[1]), &x.shape[1])?;
    vector(Some(inputs[2]), &x.shape[1])?;
    match x.shape[1].known() {
        Some(channels) if groups > 0 && channels % groups == 0 => Ok(x.shape.clone()),
        _ => Err(format!("{} channels do not fall into {groups} groups", x.shape[1])),
    }
}

fn layer_norm(inputs: &[&Fact]) -> Rule {
    same_type(inputs)?;
    vector(Some(inputs[1]), last(inputs[0])?)?;
    vector(Some(inputs[2]), last(inputs[0])?)?;
    Ok(inputs[0].shape.clone())
}

fn attention_shape(inputs: &[&Fact], heads: usize, causal: bool) -> Rule {
    let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
    same_type(inputs)?;
    for (fact, name) in [(q, "query"), (k, "key"), (v, "value")] {
        rank(fact, 3, name)?;
        agree(&fact.shape[0], &q.shape[0], "the batch")?;
        agree(&fact.shape[2], &q.shape[2], "the number of features")?;
    }
    agree(&k.shape[1], &v.shape[1], "the number of keys")?;
    if causal {
        agree(&q.shape[1], &k.shape[1], "the sequence length")?;
    }
    match q.shape[2].known() {
        Some(features) if heads > 0 && features % heads == 0 => {}
        _ => return Err(format!("{} features do not fall into {heads} heads", q.shape[2])),
    }
    if let Some(bias) = inputs.get(3) {
        let scores = [q.shape[0].clone(), heads.into(), q.shape[1].clone(), k.shape[1].clone()];
        if broadcast(&bias.shape, &scores)? != scores {
            return Err(format!("bias {bias} is larger than the scores"));
        }
    }
    Ok(q.shape.clone())
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Rule {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map_or(Dim::Known(1), |j| shape[j].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Dim::Known(1), dim) | (dim, Dim::Known(1)) => Ok(dim),
            (p, q) => agree(&p, &q, &format!("dimension {i}")).map(|()| p),
        })
        .collect()
}

fn reshape(x: &Fact, to: &[Extent]) -> Rule {
    let keep = |i: usize| x.shape.get(i).cloned().ok_or(format!("no dimension {i} to keep"));
    let given: Vec<Option<Dim>> = to
        .iter()
        .map(|extent| match extent {
            Extent::Keep(i) => keep(*i).map(Some),
            Extent::Is(n) => Ok(Some(Dim::Known(*n))),
            Extent::Rest => Ok(None),
        })
        .collect::<Rule<_>>()?;
    let total = Dim::product(&x.shape);
    let named = Dim::product(given.iter().flatten());
    let rest = total.divided(&named).ok_or(format!("{total} elements do not fill {named}"))?;
    match given.iter().filter(|dim| dim.is_none()).count() {
        0 if rest != Dim::Known(1) => Err(format!("{total} elements do not fill {named}")),
        0 | 1 => Ok(given.into_iter().map(|dim| dim.unwrap_or_else(|| rest.clone())).collect()),
        _ => Err("more than one extent is left open".into()),
    }
}

fn permute(x: &Fact, order: &[usize]) -> Rule {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if sorted.iter().copied().ne(0..x.rank()) {
        return Err(format!("{order:?} is no order of {} dimensions", x.rank()));
    }
    Ok(order.iter().map(|&i| x.shape[i].clone()).collect())
}

fn concat(inputs: &[&Fact], axis: usize) -> Rule {
    same_type(inputs)?;
    let mut length = 0;
    for fact in inputs {
        rank(fact, inputs[0].rank(), "every part")?;
        for (i, dim) in fact.shape.iter().enumerate() {
            if i != axis {
                agree(dim, &inputs[0].shape[i], &format!("dimension {i}"))?;
            }
        }
        length += fact.shape.get(axis).and_then(Dim::known).ok_or("parts of unknown length")?;
    }
    replace(inputs[0], axis, |_| Ok(length.into()))
}

fn upsample2x(x: &Fact, like: Option<&Fact>) -> Rule {
    rank(x, 4, "picture")?;
    let twice = |i: usize| Dim::product([&Dim::Known(2), &x.shape[i]]);
    let mut shape = vec![x.shape[0].clone(), x.shape[1].clone(), twice(2), twice(3)];
    if let Some(like) = like {
        rank(like, 4, "model of the size")?;
        for i in [2, 3] {
            if let (Dim::Known(have), Dim::Known(want)) = (&shape[i], &like.shape[i])
                && (want > have || want + 1 < *have)
            {
                return Err(format!("{have} cannot be cropped to {want}"));
            }
            shape[i] = like.shape[i].clone();
        }
    }
    Ok(shape)
}
