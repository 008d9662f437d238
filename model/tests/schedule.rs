//! The noise schedule against diffusers 0.42.1 and the published numbers.

mod common;

use common::Fixture;
use pleach_model::schedule::{NoiseLevel, PredictionType, Schedule, ScheduleError, SchedulerConfig};
use serde_json::{Value, json};

fn schedule(config: Value) -> Result<Schedule, ScheduleError> {
    Schedule::from_config(&SchedulerConfig::from_json(&config.to_string())?)
}

fn stable_diffusion() -> Schedule {
    schedule(json!({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012})).unwrap()
}

#[test]
fn alphas_are_those_of_diffusers() {
    let fixture = Fixture::open("sampler_variants.safetensors");
    for (name, schedule) in [
        ("sd", stable_diffusion()),
        ("linear", schedule(json!({})).unwrap()),
        ("cosine", schedule(json!({"beta_schedule": "squaredcos_cap_v2"})).unwrap()),
    ] {
        assert_eq!(schedule.alphas_cumprod(), fixture.f64(&format!("alphas_cumprod.{name}")), "{name}");
    }
}

#[test]
fn alphas_of_stable_diffusion() {
    let schedule = stable_diffusion();
    for (timestep, expected) in [
        (0, 0.9991499782),
        (1, 0.9982960224),
        (39, 0.9628949165),
        (40, 0.9618858099),
        (41, 0.9608726501),
        (500, 0.2763324678),
        (961, 0.0072817220),
        (981, 0.0057754959),
        (999, 0.0046600951),
    ] {
        let alpha = schedule.alphas_cumprod()[timestep];
        assert!((alpha - expected).abs() < 1e-10, "{timestep}: {alpha} for {expected}");
    }
}

#[test]
fn noise_is_added_as_diffusers_adds_it() {
    let fixture = Fixture::open("schedulers.safetensors");
    let (x, noise) = (fixture.f64("add_noise.x"), fixture.f64("add_noise.noise"));
    let (noisy, velocity) = (fixture.f64("add_noise.out"), fixture.f64("velocity.out"));
    let schedule = stable_diffusion();
    for (image, timestep) in fixture.i64("add_noise.t").into_iter().enumerate() {
        let level = schedule.level(timestep as usize).unwrap();
        for index in image * 64..(image + 1) * 64 {
            for (factors, expected) in [(level.add_noise(), &noisy), (level.velocity(), &velocity)] {
                let value = factors.sample * x[index] + factors.noise * noise[index];
                assert!((value - expected[index]).abs() < 1e-6, "{timestep}: {value} for {}", expected[index]);
            }
        }
    }
}

#[test]
fn min_snr_weights() {
    let schedule = stable_diffusion();
    let weight = |prediction_type, timestep| schedule.level(timestep).unwrap().min_snr_weight(prediction_type, 5.0);
    for (timestep, expected) in [(0, 0.0042501), (1, 0.0085199), (100, 0.528884), (500, 1.0), (999, 1.0)] {
        let value = weight(PredictionType::VPrediction, timestep);
        assert!((value - expected).abs() < 1e-6, "{timestep}: {value} for {expected}");
    }
    let snr = schedule.level(0).unwrap().snr();
    assert!((weight(PredictionType::Epsilon, 0) - 5.0 / snr).abs() < 1e-12);
    assert_eq!(weight(PredictionType::Epsilon, 999), 1.0);
    assert_eq!(weight(PredictionType::Sample, 0), 5.0);
    assert!((weight(PredictionType::Sample, 999) - schedule.level(999).unwrap().snr()).abs() < 1e-12);
}

#[test]
fn predictions_say_the_same() {
    let (clean, noise) = (0.7, -1.9);
    for alpha_cumprod in [0.999, 0.5, 0.004] {
        let level = NoiseLevel::from_alpha_cumprod(alpha_cumprod);
        let x = level.alpha * clean + level.sigma * noise;
        let velocity = level.alpha * noise - level.sigma * clean;
        for (prediction_type, output) in
            [(PredictionType::Epsilon, noise), (PredictionType::VPrediction, velocity), (PredictionType::Sample, clean)]
        {
            for (mix, expected) in [
                (level.predicted_sample(prediction_type), clean),
                (level.predicted_noise(prediction_type), noise),
                (level.predicted_velocity(prediction_type), velocity),
            ] {
                let value = mix.sample * x + mix.output * output;
                assert!((value - expected).abs() < 1e-12, "{prediction_type:?}: {value} for {expected}");
            }
        }
        let ratio = level.sigma / level.alpha;
        let same = NoiseLevel::from_ratio(ratio);
        assert!((same.alpha - level.alpha).abs() < 1e-14 && (same.lambda() + ratio.ln()).abs() < 1e-12);
    }
}

#[test]
fn zero_terminal_snr() {
    let rescaled = schedule(json!({
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": true
    }))
    .unwrap();
    assert_eq!(rescaled.alphas_cumprod()[999], 0.0);
    assert_eq!(rescaled.level(999).unwrap().min_snr_weight(PredictionType::Epsilon, 5.0), 1.0);
    let first = stable_diffusion().alphas_cumprod()[0];
    assert!((rescaled.alphas_cumprod()[0] - first).abs() < 1e-7);
}

#[test]
fn what_makes_no_schedule_is_refused() {
    for (config, message) in [
        (
            json!({"beta_schedule": "exp"}),
            "beta_schedule: exp is not supported by the noise schedule (supported: linear, scaled_linear, squaredcos_cap_v2)",
        ),
        (
            json!({"prediction_type": "flow_prediction"}),
            "prediction_type: flow_prediction is not supported by the noise schedule (supported: epsilon, v_prediction, sample)",
        ),
        (json!({"num_train_timesteps": 0}), "num_train_timesteps: 0 is not a number of timesteps from 1 to 100000"),
        (
            json!({"num_train_timesteps": 1u64 << 40}),
            "num_train_timesteps: 1099511627776 is not a number of timesteps from 1 to 100000",
        ),
        (json!({"beta_end": 1.5}), "beta_end: 1.5 is not between 0 and 1"),
        (json!({"trained_betas": []}), "trained_betas: 0 is not a number of timesteps from 1 to 100000"),
        (json!({"trained_betas": [0.1, -0.2]}), "trained_betas: -0.2 is not between 0 and 1"),
        (
            json!({"trained_betas": [0.1, 0.2], "num_train_timesteps": 3}),
            "trained_betas: a list of 2 is not one value for each of num_train_timesteps = 3",
        ),
        (
            json!({"trained_betas": [0.1], "rescale_betas_zero_snr": true}),
            "rescale_betas_zero_snr: true is not possible with a single timestep",
        ),
    ] {
        assert_eq!(schedule(config).unwrap_err().to_string(), format!("scheduler config: {message}"));
    }
    let error = stable_diffusion().level(1000).unwrap_err();
    assert_eq!(error.to_string(), "timestep 1000 is not one of the schedule's 0..=999");
}
