//! What is libtorch's own here: devices, types, gradients. That operations mean what they should is tested against the
//! reference interpreter, across crates.

use super::*;
use pleach_model::{
    attention::{Attention, AttentionConfig},
    checkpoint::{Checkpoint, NewTensor, Spelling, write_safetensors},
    params::{Params, Source},
    resnet::{Resnet, ResnetConfig},
    samplers::LinearCombination,
    sites::Pass,
    tensor::TensorSpec,
};
use std::{cell::RefCell, collections::HashMap};

fn torch() -> Torch {
    Torch::new(Device::Cpu, Dtype::F32).unwrap()
}

fn given(shape: &[usize], data: Vec<f32>) -> Value {
    torch().constant(Constant::F32(data), shape).unwrap()
}

/// Numbers without a pattern that matters, between -1 and 1.
fn numbers(seed: usize, n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i + 7 * i + 31 * seed) as f32 * 0.7).sin()).collect()
}

#[test]
fn devices_and_types_are_checked() {
    let error = |device, dtype| Torch::new(device, dtype).unwrap_err().to_string();
    let cuda = Cuda::device_count();
    assert_eq!(
        error(Device::Cuda(99), Dtype::F32),
        format!("device Cuda(99) is not there: libtorch can use the CPU and {cuda} CUDA devices")
    );
    assert_eq!(error(Device::Cpu, Dtype::I64), "parameters cannot be of type i64");
    let doubles = Tensor::from_slice(&[1.0_f64]);
    assert_eq!(
        Value::try_from(doubles).unwrap_err().to_string(),
        "a tensor has elements of type Double; f32, f16, bf16, i64 and i32 can be used"
    );
}

#[test]
fn errors_of_libtorch_are_one_line_and_name_the_place() {
    let (torch, table) = (torch(), given(&[2, 1], vec![1., 2.]));
    let ids = torch.constant(Constant::I64(vec![2]), &[1]).unwrap();
    let _scope = torch.scope(&"text_model.embeddings".into());
    assert_eq!(
        torch.embedding(&table, &ids).unwrap_err().to_string(),
        "text_model.embeddings: embedding of f32[2, 1], i64[1]: index out of range in self"
    );
}

/// Halves have the values and gradients of their places, in whatever order they are asked for.
#[test]
fn halves_of_several_values() {
    let torch = torch();
    let [a, b] = [1, 2].map(|seed| {
        let tensor = Tensor::from_slice(&numbers(seed, 8)).reshape([2, 4]).set_requires_grad(true);
        Value::try_from(tensor).unwrap()
    });
    let part = |value: &Value, index| torch.run(Op::Chunk { axis: 1, parts: 2, index }, &[value]).unwrap();
    let [second_of_a, first_of_a, first_of_b, second_of_b] = [part(&a, 1), part(&a, 0), part(&b, 0), part(&b, 1)];
    let pairs = [(&first_of_a, 1.0), (&second_of_a, 2.0), (&first_of_b, 3.0), (&second_of_b, 4.0)];
    let sums = pairs.map(|(part, weight)| part.tensor().sum(tch::Kind::Float) * weight);
    sums.into_iter().reduce(|a, b| a + b).unwrap().backward();
    for (value, first, second, weights) in
        [(&a, first_of_a, second_of_a, [1.0, 2.0]), (&b, first_of_b, second_of_b, [3.0, 4.0])]
    {
        let whole = torch.concat(&[&first, &second], 1).unwrap();
        assert_eq!(whole.to_f32().unwrap(), value.to_f32().unwrap());
        let [low, high] = weights;
        let gradient = Vec::<f32>::try_from(value.tensor().grad().reshape([-1])).unwrap();
        assert_eq!(gradient, [low, low, high, high].repeat(2));
    }
}

#[test]
fn tensors_are_combined_in_f64() {
    let values = [vec![1.0e8, 1.0], vec![1.0, 2.0]].map(|data| given(&[2], data));
    let combined = Value::combine(&[(1.0, &values[0]), (1.0, &values[1]), (-1.0, &values[0])]).unwrap();
    assert_eq!(combined.to_f32().unwrap(), [1.0, 2.0]);
    assert_eq!(combined.fact(), Fact::new(Dtype::F32, [2]));
}

fn stored(numbers: &[f32], dtype: Dtype) -> (tempfile::TempDir, Checkpoint, TensorSpec) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes: Vec<u8> = match dtype {
        Dtype::F16 => numbers.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let spec = TensorSpec { name: "conv_in.weight".into(), shape: vec![numbers.len(), 1] };
    let tensor = NewTensor::new(&spec.name, dtype, &spec.shape, &bytes);
    write_safetensors(&path, vec![tensor], &Default::default()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    (folder, checkpoint, spec)
}

#[test]
fn parameters_take_the_type_of_the_interpreter() {
    let (_folder, checkpoint, spec) = stored(&[0.1, -2.0], Dtype::F16);
    let bound = checkpoint.bind(std::slice::from_ref(&spec), Spelling::Unet).unwrap();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let torch = Torch::new(Device::Cpu, dtype).unwrap();
        let value = Weights::new(&bound).parameter(&torch, &spec).unwrap();
        assert_eq!(value.fact(), Fact::new(dtype, [2, 1]));
        let first = if dtype == Dtype::Bf16 { 0.100_097_656 } else { 0.099_975_586 };
        assert_eq!(value.to_f32().unwrap(), [first, -2.0]);
        assert!(!value.tensor().requires_grad());
    }
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let (_folder, checkpoint, spec) = stored(&[1e6], Dtype::F32);
    let bound = checkpoint.bind(std::slice::from_ref(&spec), Spelling::Unet).unwrap();
    let error = |torch: Torch, shape: Vec<usize>| {
        let spec = TensorSpec { shape, ..spec.clone() };
        Weights::new(&bound).parameter(&torch, &spec).unwrap_err().to_string()
    };
    assert_eq!(error(torch(), vec![2, 2]), "parameter conv_in.weight: expected [2, 2], found [1, 1]");
    assert_eq!(
        error(Torch::new(Device::Cpu, Dtype::F16).unwrap(), vec![1, 1]),
        "parameter conv_in.weight: the tensor conv_in.weight holds 1e6, which f16 cannot represent: keep it in f32"
    );
}

/// Parameters by name, made up when first asked for; one of them can be moved along a direction.
#[derive(Default)]
struct Made {
    values: RefCell<HashMap<String, Vec<f32>>>,
    moved: Option<(String, f32)>,
}

impl Made {
    fn direction(name: &str, n: usize) -> Vec<f32> {
        numbers(name.len() + 100, n)
    }
}

impl Source<Torch> for &Made {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let mut values = self.values.borrow_mut();
        let seed = values.len();
        let values = values.entry(spec.name.clone()).or_insert_with(|| numbers(seed, spec.numel()));
        let mut data = values.clone();
        if let Some((name, by)) = &self.moved
            && *name == spec.name
        {
            let direction = Made::direction(name, data.len());
            data.iter_mut().zip(direction).for_each(|(x, d)| *x += by * d);
        }
        torch.constant(Constant::F32(data), &spec.shape)
    }
}

/// Compares the gradient of each parameter, along a direction, with how the loss changes there.
fn check_gradients(parameters: usize, loss: impl Fn(&dyn Source<Torch>) -> Tensor) {
    let mut made = Made::default();
    let variables = Variables::new(&made);
    loss(&variables).f_backward().unwrap();
    let list = variables.into_list();
    assert_eq!(list.len(), parameters);
    for (name, variable) in list {
        let gradient = Value::try_from(variable.tensor().grad()).unwrap().to_f32().unwrap();
        let direction = Made::direction(&name, gradient.len());
        let slope: f32 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let mut at = |by: f32| {
            made.moved = Some((name.clone(), by));
            loss(&&made).f_double_value(&[]).unwrap() as f32
        };
        let step = 1e-2;
        let difference = (at(step) - at(-step)) / (2.0 * step);
        assert!((slope - difference).abs() < 1e-3 * (1.0 + difference.abs()), "{name}: {slope} is not {difference}");
    }
}

/// A number that depends on every element of a value in a way of its own.
fn weighed(torch: &Torch, value: &Value) -> Tensor {
    let shape = value.fact().known().unwrap();
    let weighing = given(&shape, numbers(3, shape.iter().product()));
    torch.mul(value, &weighing).unwrap().tensor().f_sum(tch::Kind::Double).unwrap()
}

#[test]
fn gradients_of_a_resnet_agree_with_finite_differences() {
    let config = ResnetConfig { input: 4, output: 8, time: Some(6), groups: 4, kept: 2, eps: 1e-5 };
    let torch = torch();
    let (x, time) = (given(&[2, 4, 5, 3], numbers(1, 120)), given(&[2, 6], numbers(2, 12)));
    check_gradients(12, |source| {
        let block = Resnet::new(&Params::new(&torch, source), &config).unwrap();
        weighed(&torch, &block.forward(&Pass::plain(&torch), &x, Some(&time)).unwrap())
    });
}

#[test]
fn gradients_of_attention_agree_with_finite_differences() {
    let names = ["to_q", "to_k", "to_v", "to_out.0"];
    let (features, context, heads) = (8, 8, 4);
    let torch = torch();
    let (x, mask) = (given(&[2, 5, 8], numbers(1, 80)), given(&[1, 1, 5, 5], numbers(2, 25)));
    for (causal, upcast, bias) in [(false, false, None), (true, false, None), (true, true, Some(&mask))] {
        let config = AttentionConfig { names, features, context, heads, kept: 2, bias: false, upcast, causal };
        check_gradients(5, |source| {
            let block = Attention::new(&Params::new(&torch, source), &config).unwrap();
            weighed(&torch, &block.forward(&Pass::plain(&torch), &x, &x, bias).unwrap())
        });
    }
}

/// Multiplies with libtorch itself, past the interpreter.
struct Meddling;

impl pleach_model::sites::Sites<Torch> for Meddling {
    fn site(
        &self,
        _: &Torch,
        _: &str,
        _: pleach_model::sites::Site<'_, Value>,
        value: Value,
    ) -> model::error::Result<Value> {
        Ok(Value::try_from(value.tensor() * 0.5).unwrap())
    }
}

#[test]
fn a_hook_inside_what_is_computed_again_is_refused() {
    let torch = torch().recomputing(true);
    let variables = Variables::new(Initial { seed: 1 });
    let sizes = ResnetConfig { input: 4, output: 4, time: None, groups: 2, kept: 2, eps: 1e-5 };
    let resnet = Resnet::new(&Params::new(&torch, &variables), &sizes).unwrap();
    let x = given(&[1, 4, 3, 3], numbers(1, 36));
    let run = |sites: &dyn pleach_model::sites::Sites<Torch>| {
        let pass = Pass::new(&torch, sites);
        torch.segment(&mut || resnet.forward(&pass, &x, None))
    };
    let error = run(&Meddling).unwrap_err().to_string();
    assert!(error.contains("a hook changed a value in a part of the network that is computed again"), "{error}");
    // The error leaves nothing behind, and without the hook gradients arrive.
    let result = run(&pleach_model::sites::Identity).unwrap();
    result.tensor().square().sum(tch::Kind::Float).backward();
    for (name, value) in variables.into_list() {
        assert!(value.tensor().grad().defined(), "{name}");
    }
}
