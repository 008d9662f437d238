//! Every operation on numbers worked out by hand.

use super::*;
use crate::{
    checkpoint::{Checkpoint, NewTensor, Spelling, write_safetensors},
    op::{Attention, Binary, Conv2d, Extent, Unary},
    params::Params,
    tensor::TensorSpec,
};
use std::f32::consts::LN_2;

type Tensor = (Vec<usize>, Vec<f32>);

fn given(shape: &[usize], data: &[f32]) -> Value {
    Reference::default().constant(Constant::F32(data.to_vec()), shape).unwrap()
}

fn ids(shape: &[usize], data: &[i64]) -> Value {
    Reference::default().constant(Constant::I64(data.to_vec()), shape).unwrap()
}

fn run(op: Op, inputs: &[&Value]) -> Tensor {
    let value = Reference::default().apply(&op, inputs).unwrap();
    (value.shape().to_vec(), value.floats().unwrap().to_vec())
}

#[track_caller]
fn near((shape, found): Tensor, expected_shape: &[usize], expected: &[f32]) {
    assert_eq!((shape.as_slice(), found.len()), (expected_shape, expected.len()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-6 * b.abs(), "{found:?} is not {expected:?}");
    }
}

#[test]
fn linear_multiplies_by_the_transposed_weight() {
    let x = given(&[1, 2, 2], &[1., 2., 3., 4.]);
    let weight = given(&[3, 2], &[1., 0., 0., 1., 1., 1.]);
    near(run(Op::Linear, &[&x, &weight]), &[1, 2, 3], &[1., 2., 3., 3., 4., 7.]);
    let bias = given(&[3], &[10., 20., 30.]);
    near(run(Op::Linear, &[&x, &weight, &bias]), &[1, 2, 3], &[11., 22., 33., 13., 24., 37.]);
}

#[test]
fn sums_are_carried_in_f64() {
    let x = given(&[1, 3], &[1e8, 1., -1e8]);
    near(run(Op::Linear, &[&x, &given(&[1, 3], &[1.; 3])]), &[1, 1], &[1.]);
}

#[test]
fn conv2d_pads_each_side_on_its_own() {
    let x = given(&[1, 1, 3, 3], &[1., 2., 3., 4., 5., 6., 7., 8., 9.]);
    let weight = given(&[2, 1, 2, 2], &[1., 2., 3., 4., 0., 0., 0., 1.]);
    let bias = given(&[2], &[0., 100.]);
    let below = Op::Conv2d(Conv2d { stride: 2, padding: [0, 0, 1, 1] });
    near(run(below, &[&x, &weight, &bias]), &[1, 2, 2, 2], &[37., 21., 23., 9., 105., 100., 100., 100.]);
    let above = Op::Conv2d(Conv2d { stride: 2, padding: [1, 1, 0, 0] });
    near(run(above, &[&x, &weight]), &[1, 2, 2, 2], &[4., 18., 36., 77., 1., 3., 7., 9.]);
}

#[test]
fn conv2d_sums_over_channels_for_each_picture() {
    let x = given(&[2, 2, 2, 2], &[1., 2., 3., 4., 10., 20., 30., 40., 0., 1., 0., 0., 2., 0., 0., 0.]);
    let weight = given(&[1, 2, 3, 3], &[1.; 18]);
    near(run(Op::Conv2d(Conv2d::same(3)), &[&x, &weight]), &[2, 1, 2, 2], &[110., 110., 110., 110., 3., 3., 3., 3.]);
}

#[test]
fn conv2d_of_a_large_picture_is_done_in_blocks() {
    let (channels, side) = (64, 96);
    let data: Vec<f32> = (0..channels * side * side).map(|i| (i % 1013) as f32).collect();
    let mut centre = vec![0.; channels * 9];
    centre[5 * 9 + 4] = 2.;
    let weight = given(&[1, channels, 3, 3], &centre);
    let expected: Vec<f32> = data[5 * side * side..6 * side * side].iter().map(|x| 2. * x).collect();
    let x = given(&[1, channels, side, side], &data);
    near(run(Op::Conv2d(Conv2d::same(3)), &[&x, &weight]), &[1, 1, side, side], &expected);
}

#[test]
fn group_norm_takes_runs_of_channels() {
    // Runs 1 3 5 7 and 2 2 2 2: means 4 and 2, variances 5 and 0.
    let x = given(&[1, 4, 1, 2], &[1., 3., 5., 7., 2., 2., 2., 2.]);
    let (weight, bias) = (given(&[4], &[3., 3., 1., 1.]), given(&[4], &[0., 10., 5., 6.]));
    let op = Op::GroupNorm { groups: 2, eps: 4.0 };
    near(run(op, &[&x, &weight, &bias]), &[1, 4, 1, 2], &[-3., -1., 11., 13., 5., 5., 6., 6.]);
}

#[test]
fn layer_norm_takes_rows() {
    let x = given(&[2, 2], &[1., 3., 30., 10.]);
    let (weight, bias) = (given(&[2], &[2., 4.]), given(&[2], &[0., 1.]));
    let root = 103_f32.sqrt();
    let expected = [-1., 3., 20. / root, 1. - 40. / root];
    near(run(Op::LayerNorm { eps: 3.0 }, &[&x, &weight, &bias]), &[2, 2], &expected);
}

fn attention(heads: usize, scale: f64, causal: bool) -> Op {
    Op::Attention(Attention { heads, scale, causal, upcast: false })
}

#[test]
fn attention_weighs_values_per_head() {
    // Head 0: scores 0 and 2 ln 3 / 2, so weights 1/4 and 3/4. Head 1: equal scores.
    let q = given(&[1, 1, 2], &[2., 0.]);
    let k = given(&[1, 2, 2], &[0., 5., 3_f32.ln(), -7.]);
    let v = given(&[1, 2, 2], &[4., 1., 8., 3.]);
    near(run(attention(2, 0.5, false), &[&q, &k, &v]), &[1, 1, 2], &[7., 2.]);
    // A bias of ln 3 on the second key of both heads.
    let bias = given(&[1, 1, 1, 2], &[0., 3_f32.ln()]);
    near(run(attention(2, 0.5, false), &[&q, &k, &v, &bias]), &[1, 1, 2], &[7.6, 2.5]);
}

#[test]
fn causal_attention_sees_what_came_before() {
    let n = contract::QUERIES + 6;
    let zeros = given(&[2, n, 1], &vec![0.; 2 * n]);
    let v: Vec<f32> = (0..2 * n).map(|i| i as f32).collect();
    // Position i of each sequence: the mean of the first i + 1 values.
    let expected: Vec<f32> = (0..2 * n).map(|i| (i / n * n) as f32 + (i % n) as f32 / 2.).collect();
    near(run(attention(1, 1.0, true), &[&zeros, &zeros, &given(&[2, n, 1], &v)]), &[2, n, 1], &expected);
}

#[test]
fn functions_of_one_element() {
    let x = given(&[3], &[1., -1., -5.]);
    let of = |function| run(Op::Unary(function), &[&x]);
    near(of(Unary::Silu), &[3], &[0.731_058_6, -0.268_941_43, -0.033_464_253]);
    near(of(Unary::Gelu), &[3], &[0.841_344_7, -0.158_655_26, -1.433_257_9e-6]);
    near(of(Unary::QuickGelu), &[3], &[0.845_795_75, -0.154_204_23, -0.001_007_016_3]);
    near(of(Unary::Sin), &[3], &[0.841_471, -0.841_471, 0.958_924_3]);
    near(of(Unary::Cos), &[3], &[0.540_302_3, 0.540_302_3, 0.283_662_2]);
    near(of(Unary::Sigmoid), &[3], &[0.731_058_6, 0.268_941_43, 0.006_692_851]);
    near(of(Unary::Exp), &[3], &[2.718_281_7, 0.367_879_44, 0.006_737_947]);
    let y = given(&[3], &[0.5, 0.499_999_97, 4.]);
    let of = |function| run(Op::Unary(function), &[&y]);
    near(of(Unary::Log), &[3], &[-LN_2, -0.693_147_24, 2.0 * LN_2]);
    near(of(Unary::Sqrt), &[3], &[0.707_106_77, 0.707_106_76, 2.]);
    near(of(Unary::Step), &[3], &[1., 0., 1.]);
    near(of(Unary::Harden), &[3], &[1., 0., 1.]);
    near(run(Op::Affine { scale: 2.0, shift: -1.0 }, &[&x]), &[3], &[1., -3., -11.]);
    near(run(Op::AtLeast(-2.0), &[&x]), &[3], &[1., -1., -2.]);
    assert!(run(Op::AtLeast(0.0), &[&given(&[1], &[f32::NAN])]).1[0].is_nan());
}

#[test]
fn two_operands_broadcast() {
    let (a, b) = (given(&[2, 1, 2], &[1., 2., 3., 4.]), given(&[2, 1], &[10., 20.]));
    let of = |function| run(Op::Binary(function), &[&a, &b]);
    near(of(Binary::Add), &[2, 2, 2], &[11., 12., 21., 22., 13., 14., 23., 24.]);
    near(of(Binary::Mul), &[2, 2, 2], &[10., 20., 20., 40., 30., 40., 60., 80.]);
    near(of(Binary::Div), &[2, 2, 2], &[0.1, 0.2, 0.05, 0.1, 0.3, 0.4, 0.15, 0.2]);
}

#[test]
fn whole_numbers_add_multiply_sum_and_move() {
    let reference = Reference::default();
    let (a, b) = (ids(&[2, 2], &[1, 2, 3, 4]), ids(&[2], &[10, 20]));
    let of = |op, inputs: &[&Value]| {
        let value = reference.apply(&op, inputs)?;
        value.whole().map(|array| (array.shape().to_vec(), array.iter().copied().collect::<Vec<_>>()))
    };
    assert_eq!(of(Op::Binary(Binary::Add), &[&a, &b]), Ok((vec![2, 2], vec![11, 22, 13, 24])));
    assert_eq!(of(Op::Binary(Binary::Mul), &[&a, &b]), Ok((vec![2, 2], vec![10, 40, 30, 80])));
    assert_eq!(of(Op::Binary(Binary::Div), &[&a, &b]), Err("whole numbers are not divided".into()));
    assert_eq!(of(Op::Sum { axis: 0 }, &[&a]), Ok((vec![1, 2], vec![4, 6])));
    assert_eq!(of(Op::Permute(vec![1, 0]), &[&a]), Ok((vec![2, 2], vec![1, 3, 2, 4])));
    assert_eq!(of(Op::Concat { axis: 1 }, &[&a, &a]), Ok((vec![2, 4], vec![1, 2, 1, 2, 3, 4, 3, 4])));
}

#[test]
fn elements_move() {
    let x = given(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    near(run(Op::Sum { axis: 1 }, &[&x]), &[2, 1], &[6., 15.]);
    near(run(Op::Max { axis: 0 }, &[&x]), &[1, 3], &[4., 5., 6.]);
    near(run(Op::Permute(vec![1, 0]), &[&x]), &[3, 2], &[1., 4., 2., 5., 3., 6.]);
    let to = vec![Extent::Rest, Extent::Is(1), Extent::Keep(0)];
    near(run(Op::Reshape(to), &[&x]), &[3, 1, 2], &[1., 2., 3., 4., 5., 6.]);
    near(run(Op::ReshapeLike, &[&x, &ids(&[3, 2], &[0; 6])]), &[3, 2], &[1., 2., 3., 4., 5., 6.]);
    let column = given(&[2, 1], &[7., 8.]);
    near(run(Op::Concat { axis: 1 }, &[&x, &column]), &[2, 4], &[1., 2., 3., 7., 4., 5., 6., 8.]);
    near(run(Op::Chunk { axis: 1, parts: 3, index: 2 }, &[&x]), &[2, 1], &[3., 6.]);
    let narrow = Op::NarrowLike { axis: 1, start: 1, like_axis: 0 };
    near(run(narrow, &[&x, &ids(&[2], &[0; 2])]), &[2, 2], &[2., 3., 5., 6.]);
}

#[test]
fn upsampling_repeats_and_crops() {
    let x = given(&[1, 1, 1, 2], &[1., 2.]);
    near(run(Op::Upsample2x, &[&x]), &[1, 1, 2, 4], &[1., 1., 2., 2., 1., 1., 2., 2.]);
    let like = given(&[1, 5, 1, 3], &[0.; 15]);
    near(run(Op::Upsample2x, &[&x, &like]), &[1, 1, 1, 3], &[1., 1., 2.]);
}

#[test]
fn embedding_takes_rows_of_the_table() {
    let table = given(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
    near(run(Op::Embedding, &[&table, &ids(&[1, 2], &[2, 0])]), &[1, 2, 2], &[5., 6., 1., 2.]);
    for id in [3, -1] {
        let failed = Reference::default().apply(&Op::Embedding, &[&table, &ids(&[1], &[id])]);
        assert_eq!(failed.unwrap_err(), format!("id {id} is not one of the table's 3 rows"));
    }
}

#[test]
fn half_types_are_rounded_after_each_operation() {
    let reference = Reference::default();
    let half = |data: &[f32]| reference.apply(&Op::Cast(Dtype::F16), &[&given(&[data.len()], data)]).unwrap();
    let x = half(&[0.1, 2048.]);
    assert_eq!((reference.fact(&x).dtype, x.floats().unwrap()), (Dtype::F16, [0.099_975_586, 2048.].as_slice()));
    // 2049 lies halfway between 2048 and 2050: to even.
    let sum = reference.apply(&Op::Binary(Binary::Add), &[&x, &half(&[0., 1.])]).unwrap();
    assert_eq!(sum.floats().unwrap(), [0.099_975_586, 2048.]);
    // The factor is rounded to f16 too.
    let scaled = reference.apply(&Op::Affine { scale: 0.1, shift: 0.0 }, &[&half(&[1.0])]).unwrap();
    assert_eq!(scaled.floats().unwrap(), [0.099_975_586]);
    let brain = reference.apply(&Op::Cast(Dtype::Bf16), &[&given(&[1], &[1.004])]).unwrap();
    assert_eq!(brain.floats().unwrap(), [1.0078125]);
}

#[test]
fn errors_name_the_place_and_the_operands() {
    let reference = Reference::default();
    let _scope = reference.scope(&"mid_block.resnets.0.conv1".into());
    let x = given(&[1, 2], &[0.; 2]);
    assert_eq!(
        reference.linear(&x, &given(&[4, 3], &[0.; 12]), None).unwrap_err().to_string(),
        "mid_block.resnets.0.conv1: linear of f32[1, 2], f32[4, 3]: the number of input features is 2 here and 3 there"
    );
    assert_eq!(
        reference.constant(Constant::F32(vec![0.; 3]), &[2, 2]).unwrap_err().to_string(),
        "mid_block.resnets.0.conv1: constant of f32[2, 2]: 3 elements do not fill the shape [2, 2]"
    );
}

#[test]
fn parameters_come_out_of_a_checkpoint_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes: Vec<u8> = [0.1, 2.0].into_iter().flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect();
    let spec = TensorSpec { name: "norm.weight".into(), shape: vec![2] };
    let tensor = NewTensor::new(&spec.name, Dtype::F16, &spec.shape, &bytes);
    write_safetensors(&path, vec![tensor], &Default::default()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let bound = checkpoint.bind(std::slice::from_ref(&spec), Spelling::Unet).unwrap();
    let (reference, weights) = (Reference::default(), Weights::new(&bound));
    let params = Params::new(&reference, &weights).at("norm");
    let weight = params.get("weight", &[2]).unwrap();
    assert_eq!((reference.fact(&weight).dtype, weight.floats().unwrap()), (Dtype::F32, [0.099_975_586, 2.].as_slice()));
    let error = |name: &str, shape: &[usize]| params.get(name, shape).unwrap_err().to_string();
    assert_eq!(error("weight", &[3]), "parameter norm.weight: expected [3], found [2]");
    assert_eq!(error("bias", &[2]), format!("parameter norm.bias: {} holds no tensor norm.bias", path.display()));
}
