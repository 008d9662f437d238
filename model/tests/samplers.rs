//! Every sampler against diffusers 0.42.1.

mod common;

use common::Fixture;
use pleach_model::samplers::{Sampler, SamplerKind};
use pleach_model::schedule::{Schedule, SchedulerConfig};
use serde_json::json;

/// Stable Diffusion's schedule, as the fixtures' samplers were made.
fn schedule(kind: SamplerKind, prediction_type: &str) -> Schedule {
    let mut config = json!({
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "steps_offset": 1,
        "prediction_type": prediction_type,
    });
    if matches!(kind, SamplerKind::Pndm | SamplerKind::Ddim) {
        config["set_alpha_to_one"] = json!(false);
        config["skip_prk_steps"] = json!(true);
    }
    Schedule::from_config(&SchedulerConfig::from_json(&config.to_string()).unwrap()).unwrap()
}

/// The fixtures' denoiser: `tanh(mix x) (0.5 + t / 1000)` over four channels of 16 values.
fn denoise(mix: &[f32], x: &[f32], scale: f64, timestep: f64) -> Vec<f32> {
    let value = |channel: usize, pixel: usize| -> f32 {
        let sum: f64 =
            (0..4).map(|other| f64::from(mix[4 * channel + other]) * f64::from(x[16 * other + pixel]) * scale).sum();
        (sum.tanh() * (0.5 + timestep / 1000.0)) as f32
    };
    (0..x.len()).map(|index| value(index / 16, index % 16)).collect()
}

fn no_noise() -> Result<Vec<f32>, pleach_model::samplers::SamplerError> {
    panic!("a deterministic sampler asked for noise")
}

#[test]
fn trajectories_equal_diffusers() {
    let fixture = Fixture::open("schedulers.safetensors");
    let ((_, initial), (_, mix)) = (fixture.f32("initial"), fixture.f32("mix"));
    let mut compared = 0;
    let mut worst: f64 = 0.0;
    for name in fixture.names().into_iter().filter(|name| name.ends_with(".latents")) {
        let [prediction_type, kind, steps, _] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let kind = kind.parse().unwrap();
        let sampler = Sampler::new(kind, &schedule(kind, prediction_type), steps.parse().unwrap()).unwrap();

        let (_, timesteps) = fixture.f32(&format!("{prediction_type}.{kind}.{steps}.timesteps"));
        assert_eq!(sampler.timesteps(), timesteps.iter().map(|t| f64::from(*t)).collect::<Vec<_>>(), "{name}");

        let mut trajectory = sampler.trajectory();
        let mut x: Vec<f32> = initial.iter().map(|value| value * sampler.init_noise_sigma() as f32).collect();
        let (_, latents) = fixture.f32(&name);
        assert_eq!(latents.len(), x.len() * timesteps.len(), "{name}");
        for (call, expected) in latents.chunks(x.len()).enumerate() {
            let timestep = sampler.timesteps()[call];
            let output = denoise(&mix, &x, sampler.input_scale(call), timestep);
            x = trajectory.step(&x, output, &mut no_noise).unwrap();
            let scale = expected.iter().fold(0f32, |max, value| max.max(value.abs()));
            let error = x.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
            worst = worst.max(f64::from(error / scale));
            assert!(error <= 1e-5 * scale, "{name}, call {call}: {error:e} of {scale}");
        }
        compared += 1;
    }
    println!("worst {worst:e}");
    assert_eq!(compared, 2 * 5 * 4);
}
