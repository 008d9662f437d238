use super::*;
use pleach_model::schedule::SchedulerConfig;

fn diffusion(prediction: &str, gamma: Option<f64>) -> Diffusion {
    let text = format!(
        r#"{{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "num_train_timesteps": 1000, "prediction_type": "{prediction}"}}"#
    );
    let schedule = Schedule::from_config(&SchedulerConfig::from_json(&text).unwrap()).unwrap();
    Diffusion::new(&schedule, gamma, Device::Cpu).unwrap()
}

fn close(found: &Tensor, expected: &[f64]) {
    let found = Vec::<f32>::try_from(found.flatten(0, -1)).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

/// `abar_500` of Stable Diffusion's schedule is 0.2763324678.
#[test]
fn noise_and_velocity() {
    let (x, noise) =
        (Tensor::from_slice(&[2.0_f32]).reshape([1, 1, 1, 1]), Tensor::from_slice(&[-1.0_f32]).reshape([1, 1, 1, 1]));
    let (alpha, sigma) = (0.276_332_467_8_f64.sqrt(), (1.0 - 0.276_332_467_8_f64).sqrt());
    let epsilon = diffusion("epsilon", None).add(&x, &noise, &[500]).unwrap();
    close(&epsilon.sample, &[2.0 * alpha - sigma]);
    close(&epsilon.target, &[-1.0]);
    close(&epsilon.timesteps, &[500.0]);
    let velocity = diffusion("v_prediction", None).add(&x, &noise, &[500]).unwrap();
    close(&velocity.target, &[-alpha - 2.0 * sigma]);
    assert!(diffusion("epsilon", None).add(&x, &noise, &[1000]).is_err());
}

/// The weights that UNLEARN-FT's formula gives: `min(SNR, 5) / SNR`, and with `SNR + 1` below for v prediction.
#[test]
fn min_snr_weights() {
    let weights = |prediction| {
        let x = Tensor::zeros([4, 1, 1, 1], (Kind::Float, Device::Cpu));
        diffusion(prediction, Some(5.0)).add(&x, &x, &[0, 1, 100, 500]).unwrap().weights
    };
    close(&weights("v_prediction"), &[0.004_250_1, 0.008_519_9, 0.528_884, 1.0]);
    let snr = |alpha: f64| alpha / (1.0 - alpha);
    close(&weights("epsilon").narrow(0, 0, 2), &[5.0 / snr(0.999_149_978_2), 5.0 / snr(0.998_296_022_4)]);
}

#[test]
fn the_loss_is_a_mean_over_each_example_then_over_examples() {
    let noised = Noised {
        sample: Tensor::zeros([2, 1, 1, 2], (Kind::Float, Device::Cpu)),
        timesteps: Tensor::zeros([2], (Kind::Float, Device::Cpu)),
        target: Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0]).reshape([2, 1, 1, 2]),
        weights: Tensor::from_slice(&[1.0_f32, 0.5]),
    };
    let prediction = Tensor::from_slice(&[1.0_f32, 1.0, 0.0, 0.0]).reshape([2, 1, 1, 2]);
    // (1 * mean(1, 0) + 0.5 * mean(4, 9)) / 2
    close(&diffusion("epsilon", None).loss(&prediction, &noised).unwrap(), &[1.875]);
}

#[test]
fn a_posterior_has_its_mean_and_deviation() {
    let mean = Tensor::full([1, 1, 64, 64], 3.0, (Kind::Float, Device::Cpu));
    let log_variance = Tensor::full([1, 1, 64, 64], 0.25_f64.ln(), (Kind::Float, Device::Cpu));
    let moments = Tensor::cat(&[mean, log_variance], 1);
    let drawn = posterior(&moments, 2.0, 1, 5).unwrap();
    assert!((drawn.mean(Kind::Float).double_value(&[]) - 6.0).abs() < 0.06);
    assert!((drawn.std(true).double_value(&[]) - 1.0).abs() < 0.03);
    assert!(drawn.equal(&posterior(&moments, 2.0, 1, 5).unwrap()));
    assert!(!drawn.equal(&posterior(&moments, 2.0, 1, 6).unwrap()));
}
