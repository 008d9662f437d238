use super::*;
use crate::torch::{Torch, Value};
use pleach_model::{
    backend::{Backend, Constant},
    tensor::Dtype,
};
use tch::Device;

fn variable(name: &str, values: &[f32]) -> Variable {
    let torch = Torch::new(Device::Cpu, Dtype::F32).unwrap();
    let value = torch.constant(Constant::F32(values.to_vec()), &[values.len()]).unwrap();
    let tensor = value.tensor().set_requires_grad(true);
    (name.to_owned(), Value::try_from(tensor).unwrap())
}

fn values(variable: &Variable) -> Vec<f32> {
    variable.1.to_f32().unwrap()
}

/// Gradients of `sum(factors * variable)`: the factors themselves.
fn backward(variable: &Variable, factors: &[f32]) {
    (variable.1.tensor() * Tensor::from_slice(factors)).sum(tch::Kind::Float).backward();
}

#[test]
fn rates_rise_and_fall() {
    let rates = |decay, updates: &[u64]| {
        let settings = RateSettings { peak: 8.0, warmup: 4, decay };
        updates.iter().map(|&update| settings.at(update, 12)).collect::<Vec<_>>()
    };
    assert_eq!(rates(Decay::Constant, &[0, 1, 3, 4, 11]), [2.0, 4.0, 8.0, 8.0, 8.0]);
    let cosine = rates(Decay::Cosine, &[3, 4, 8, 12, 40]);
    for (found, expected) in cosine.iter().zip([8.0, 8.0, 4.0, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-12, "{cosine:?}");
    }
}

#[test]
fn the_scaler_halves_and_doubles() {
    let mut scaler = Scaler::default();
    scaler.record(false);
    assert_eq!(scaler.factor(), 32768.0);
    for _ in 0..1999 {
        scaler.record(true);
    }
    assert_eq!(scaler.factor(), 32768.0);
    scaler.record(true);
    assert_eq!(scaler.factor(), 65536.0);
    for _ in 0..17 {
        assert!(!scaler.is_exhausted());
        scaler.record(false);
    }
    assert!(scaler.is_exhausted());
}

#[test]
fn gradients_are_clipped_together_and_used_up() {
    let variables = [variable("a", &[0.0, 0.0]), variable("b", &[0.0])];
    // SGD in AdamW's clothes: without moments the step is the gradient over its own size, plus epsilon.
    let settings = OptimiserSettings {
        rate: RateSettings { peak: 1.0, ..RateSettings::default() },
        betas: [0.0, 0.0],
        eps: 1.0,
        clip: Some(6.5),
        ..OptimiserSettings::default()
    };
    let mut optimiser = Optimiser::new(&variables, settings).unwrap();
    backward(&variables[0], &[3.0, 4.0]);
    backward(&variables[1], &[12.0]);
    let update = optimiser.update(&variables, 10, None).unwrap();
    assert_eq!((update.norm, update.rate, update.done), (13.0, 1.0, true));
    let step = |g: f64| (-g / (g + 1.0)) as f32;
    for (found, expected) in
        [values(&variables[0]), values(&variables[1])].concat().iter().zip([1.5, 2.0, 6.0].map(step))
    {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
    assert!(!variables[0].1.tensor().grad().defined());
}

#[test]
fn an_update_that_is_not_finite_changes_nothing() {
    let variables = [variable("a", &[1.0, 2.0])];
    let mut optimiser = Optimiser::new(&variables, OptimiserSettings::default()).unwrap();
    backward(&variables[0], &[f32::INFINITY, 1.0]);
    let update = optimiser.update(&variables, 10, None).unwrap();
    assert!(!update.done && optimiser.updates() == 0);
    assert_eq!(values(&variables[0]), [1.0, 2.0]);
    // The infinite gradient is gone.
    backward(&variables[0], &[1.0, 1.0]);
    assert!(optimiser.update(&variables, 10, None).unwrap().done);
}

#[test]
fn a_scaled_loss_gives_the_same_update() {
    let [plain, scaled] = [1.0, 65536.0].map(|factor: f32| {
        let variables = [variable("a", &[1.0, -2.0])];
        let mut optimiser = Optimiser::new(&variables, OptimiserSettings::default()).unwrap();
        backward(&variables[0], &[0.5 * factor, 0.25 * factor]);
        let scaler = (factor > 1.0).then(Scaler::default);
        let update = optimiser.update(&variables, 10, scaler.as_ref()).unwrap();
        (values(&variables[0]), update.norm)
    });
    assert_eq!(plain, scaled);
}

#[test]
fn variables_without_gradients_stay() {
    let variables = [variable("a", &[1.0]), variable("b", &[1.0])];
    let mut optimiser = Optimiser::new(&variables, OptimiserSettings::default()).unwrap();
    assert_eq!(
        optimiser.update(&variables, 10, None).unwrap_err().to_string(),
        "libtorch: no variable has a gradient: the loss does not depend on any"
    );
    backward(&variables[1], &[1.0]);
    optimiser.update(&variables, 10, None).unwrap();
    assert_eq!(values(&variables[0]), [1.0]);
    assert!(values(&variables[1])[0] < 1.0);
    assert_eq!(
        Optimiser::new(&[], OptimiserSettings::default()).unwrap_err().to_string(),
        "libtorch: there is nothing to learn: no variables"
    );
}

#[test]
fn the_average_follows_and_changes_places() {
    let variables = [variable("a", &[0.0])];
    let mut ema = Ema::new(&variables, 0.9).unwrap();
    overwrite("a", variables[0].1.tensor(), &Tensor::from_slice(&[1.0_f32])).unwrap();
    // The decay is at most 2 / 11, then 3 / 12.
    ema.update(&variables).unwrap();
    ema.update(&variables).unwrap();
    let expected = 1.0 - (2.0 / 11.0) * (3.0 / 12.0);
    let average = |ema: &Ema| ema.shadows()[0].double_value(&[0]);
    assert!((average(&ema) - expected).abs() < 1e-6);
    ema.swap(&variables).unwrap();
    assert!((f64::from(values(&variables[0])[0]) - expected).abs() < 1e-6);
    assert_eq!(average(&ema), 1.0);
    ema.swap(&variables).unwrap();
    assert_eq!(values(&variables[0]), [1.0]);
    assert!((average(&ema) - expected).abs() < 1e-6);
}
