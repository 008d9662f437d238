//! Every operation at random shapes, for laws that hold between engines.

use crate::tensor::Tensor;
use pleach_model::{
    noise::Generator,
    op::{Attention, Binary, Conv2d, Extent, Op, Unary},
    tensor::Dtype,
};

/// An operand.
#[derive(Clone, Debug)]
pub enum Operand {
    /// Floating-point numbers.
    Floats(Tensor),
    /// Token ids.
    Ids(Tensor<i64>),
}

/// An operation and what it is applied to.
#[derive(Clone, Debug)]
pub struct Case {
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub operands: Vec<Operand>,
}

/// Some cases of every operation; the same for the same seed.
pub fn cases(seed: u64) -> Vec<Case> {
    let mut draw = Draw(Generator::new(seed));
    let mut cases = Vec::new();
    for layer in [linear, conv2d, group_norm, layer_norm, attention, elementwise, broadcast, layout, upsample, lookup] {
        cases.extend(layer(&mut draw));
    }
    cases
}

struct Draw(Generator);

impl Draw {
    /// A number in `least ..= most`.
    fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.0.random() as usize % (most - least + 1)
    }

    fn sizes<const N: usize>(&mut self, most: usize) -> [usize; N] {
        std::array::from_fn(|_| self.between(1, most))
    }

    fn choice<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() - 1)]
    }

    fn floats(&mut self, shape: &[usize]) -> Operand {
        Operand::Floats(Tensor::new(shape, self.0.randn(shape.iter().product())))
    }
}

fn case<const N: usize>(op: Op, operands: [Operand; N]) -> Vec<Case> {
    vec![Case { op, operands: operands.into() }]
}

fn linear(draw: &mut Draw) -> Vec<Case> {
    let [rows, input, output] = draw.sizes(40);
    let shape = draw.choice(&[[1, rows], [rows, 1], [2, rows]]);
    let (x, weight) = (draw.floats(&[shape[0], shape[1], input]), draw.floats(&[output, input]));
    let bias = draw.floats(&[output]);
    [case(Op::Linear, [x.clone(), weight.clone()]), case(Op::Linear, [x, weight, bias])].concat()
}

fn conv2d(draw: &mut Draw) -> Vec<Case> {
    let [batch, input, output] = draw.sizes(6);
    let (kernel, stride) = (draw.choice(&[1, 2, 3]), draw.between(1, 2));
    let [height, width] = [(); 2].map(|()| draw.between(kernel, 12));
    let padding = draw.choice(&[[0; 4], [1; 4], [0, 0, 1, 1], [1, 0, 2, 3]]);
    let (x, weight) = (draw.floats(&[batch, input, height, width]), draw.floats(&[output, input, kernel, kernel]));
    let op = Op::Conv2d(Conv2d { stride, padding });
    let bias = draw.floats(&[output]);
    [case(op.clone(), [x.clone(), weight.clone()]), case(op, [x, weight, bias])].concat()
}

fn group_norm(draw: &mut Draw) -> Vec<Case> {
    let [batch, groups, members, height] = draw.sizes(5);
    let (channels, width) = (groups * members, draw.between(2, 9));
    let operands = [draw.floats(&[batch, channels, height, width]), draw.floats(&[channels]), draw.floats(&[channels])];
    let eps = draw.choice(&[1e-5, 1e-6]);
    case(Op::GroupNorm { groups, eps }, operands)
}

fn layer_norm(draw: &mut Draw) -> Vec<Case> {
    let ([batch, length], width) = (draw.sizes(7), draw.between(2, 40));
    let operands = [draw.floats(&[batch, length, width]), draw.floats(&[width]), draw.floats(&[width])];
    case(Op::LayerNorm { eps: 1e-5 }, operands)
}

fn attention(draw: &mut Draw) -> Vec<Case> {
    let ([batch, heads], [queries, keys], head) = (draw.sizes(3), draw.sizes(90), draw.between(1, 12));
    let features = heads * head;
    let settings =
        Attention { heads, scale: 1.0 / (head as f64).sqrt(), causal: false, upcast: draw.choice(&[true, false]) };
    let [q, k, v] = [queries, keys, keys].map(|length| draw.floats(&[batch, length, features]));
    let plain = case(Op::Attention(settings), [q.clone(), k.clone(), v.clone()]);
    let bias = draw.choice(&[[batch, 1, 1, keys], [1, heads, queries, keys], [1, 1, queries, keys]]);
    let biased = case(Op::Attention(settings), [q.clone(), k, v, draw.floats(&bias)]);
    // Each position sees itself and those before it, so there are as many keys as queries.
    let causal = Op::Attention(Attention { causal: true, ..settings });
    let [k, v] = [(); 2].map(|()| draw.floats(&[batch, queries, features]));
    let looking_back = case(causal.clone(), [q.clone(), k.clone(), v.clone()]);
    let both = case(causal, [q, k, v, draw.floats(&[queries, queries])]);
    [plain, biased, looking_back, both].concat()
}

fn elementwise(draw: &mut Draw) -> Vec<Case> {
    let shape: [usize; 3] = draw.sizes(9);
    let unary = [
        Unary::Silu,
        Unary::Gelu,
        Unary::QuickGelu,
        Unary::Sin,
        Unary::Cos,
        Unary::Sigmoid,
        Unary::Exp,
        Unary::Step,
        Unary::Harden,
    ];
    let unary = unary.map(Op::Unary);
    let axis = draw.between(0, 2);
    let others = [
        Op::Affine { scale: 1.7, shift: -0.3 },
        Op::AtLeast(0.25),
        Op::Sum { axis: draw.between(0, 2) },
        Op::Max { axis: draw.between(0, 2) },
        Op::ArgMax { axis },
        Op::Largest { axis, count: draw.between(1, shape[axis]) },
        Op::Cast(Dtype::F32),
    ];
    let anywhere: Vec<Case> = unary.into_iter().chain(others).flat_map(|op| case(op, [draw.floats(&shape)])).collect();
    let positive = [Unary::Log, Unary::Sqrt].into_iter().flat_map(|function| {
        let operand = match draw.floats(&shape) {
            Operand::Floats(tensor) => {
                let data = tensor.data.iter().map(|x| x.abs() + 0.1).collect();
                Operand::Floats(Tensor { data, ..tensor })
            }
            ids => ids,
        };
        case(Op::Unary(function), [operand])
    });
    anywhere.into_iter().chain(positive.collect::<Vec<_>>()).collect()
}

fn broadcast(draw: &mut Draw) -> Vec<Case> {
    let [a, b, c] = draw.sizes(8);
    let pairs: [[&[usize]; 2]; 4] =
        [[&[a, b, c], &[a, b, c]], [&[a, b, c], &[c]], [&[a, 1, c], &[b, 1]], [&[b, 1], &[a, b, c]]];
    let functions = [Binary::Add, Binary::Mul, Binary::Div].map(Op::Binary);
    let each = |op: Op| {
        let [left, right] = draw.choice(&pairs);
        case(op, [draw.floats(left), draw.floats(right)])
    };
    functions.into_iter().flat_map(each).collect()
}

fn layout(draw: &mut Draw) -> Vec<Case> {
    let [a, b, c] = draw.sizes(8);
    let x = |draw: &mut Draw| draw.floats(&[a, 2 * b, c]);
    let reshapes = [vec![Extent::Keep(0), Extent::Rest], vec![Extent::Rest, Extent::Is(2), Extent::Keep(2)]];
    let mut cases: Vec<Case> = reshapes.into_iter().flat_map(|to| case(Op::Reshape(to), [x(draw)])).collect();
    cases.extend(case(Op::ReshapeLike, [x(draw), draw.floats(&[2 * a, c, b])]));
    cases.extend(case(Op::Permute(vec![2, 0, 1]), [x(draw)]));
    cases.extend(case(Op::Concat { axis: 1 }, [x(draw), draw.floats(&[a, 3, c]), x(draw)]));
    let index = draw.between(0, 1);
    cases.extend(case(Op::Chunk { axis: 1, parts: 2, index }, [x(draw)]));
    let start = draw.between(0, b);
    cases.extend(case(Op::NarrowLike { axis: 1, start, like_axis: 0 }, [x(draw), draw.floats(&[b, 1])]));
    cases
}

fn upsample(draw: &mut Draw) -> Vec<Case> {
    let [batch, channels] = draw.sizes(3);
    let [height, width] = [(); 2].map(|()| draw.between(2, 40));
    let x = draw.floats(&[batch, channels, height, width]);
    let [height, width] = [height, width].map(|side| 2 * side - draw.between(0, 1));
    let like = draw.floats(&[batch, 1, height, width]);
    [case(Op::Upsample2x, [x.clone()]), case(Op::Upsample2x, [x, like])].concat()
}

fn lookup(draw: &mut Draw) -> Vec<Case> {
    let [rows, width, batch, length] = draw.sizes(9);
    let ids = (0..batch * length).map(|_| draw.between(0, rows - 1) as i64).collect();
    case(Op::Embedding, [draw.floats(&[rows, width]), Operand::Ids(Tensor::new(&[batch, length], ids))])
}
