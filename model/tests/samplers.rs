//! Every sampler against diffusers 0.42.1, and the properties that its callers rely on.

mod common;

use common::Fixture;
use pleach_model::samplers::{LinearCombination, Sampler, SamplerError, SamplerKind, Trajectory};
use pleach_model::schedule::{Schedule, SchedulerConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

fn schedule(config: &Value) -> Schedule {
    Schedule::from_config(&SchedulerConfig::from_json(&config.to_string()).unwrap()).unwrap()
}

/// Stable Diffusion's schedule, fit for every sampler.
fn stable_diffusion(prediction_type: &str) -> Value {
    json!({
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "steps_offset": 1,
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "prediction_type": prediction_type,
    })
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

fn no_noise() -> Result<Vec<f32>, SamplerError> {
    panic!("a deterministic sampler asked for noise")
}

/// The sample after every call of the fixtures' denoiser.
fn run(
    sampler: &Sampler,
    start: &[f32],
    mix: &[f32],
    noise: &mut dyn FnMut() -> Result<Vec<f32>, SamplerError>,
) -> Vec<Vec<f32>> {
    let mut trajectory = sampler.trajectory();
    let mut x: Vec<f32> = start.iter().map(|value| (f64::from(*value) * sampler.init_noise_sigma()) as f32).collect();
    let steps = sampler.timesteps().iter().enumerate().map(|(call, timestep)| {
        let output = denoise(mix, &x, sampler.input_scale(call), *timestep);
        x = trajectory.step(&x, output, noise).unwrap();
        x.clone()
    });
    steps.collect()
}

/// `latents` holds one sample after the other.
fn assert_close(name: &str, samples: &[Vec<f32>], latents: &[f32]) {
    assert_eq!(latents.len(), samples.len() * samples[0].len(), "{name}");
    for (call, (sample, expected)) in samples.iter().zip(latents.chunks(samples[0].len())).enumerate() {
        let scale = expected.iter().fold(0f32, |max, value| max.max(value.abs()));
        let error = sample.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(error <= 1e-5 * scale, "{name}, call {call}: {error:e} of {scale}");
    }
}

#[test]
fn trajectories_equal_diffusers() {
    let fixture = Fixture::open("schedulers.safetensors");
    let (start, mix) = (fixture.f32("initial"), fixture.f32("mix"));
    let names = fixture.names(".latents");
    assert_eq!(names.len(), 2 * 5 * 4);
    for name in names {
        let [prediction_type, kind, steps] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let schedule = schedule(&stable_diffusion(prediction_type));
        let sampler = Sampler::new(kind.parse().unwrap(), &schedule, steps.parse().unwrap()).unwrap();
        assert_eq!(sampler.timesteps(), fixture.f64(&format!("{name}.timesteps")), "{name}");
        let samples = run(&sampler, &start, &mix, &mut no_noise);
        assert_close(&name, &samples, &fixture.f32(&format!("{name}.latents")));
    }
}

#[test]
fn variants_equal_diffusers() {
    let (fixture, base) = (Fixture::open("sampler_variants.safetensors"), Fixture::open("schedulers.safetensors"));
    let (start, mix, noise) = (base.f32("initial"), base.f32("mix"), fixture.f32("noise"));
    let cases: Value = serde_json::from_str(&fixture.metadata("cases")).unwrap();
    let names = fixture.names(".latents");
    assert_eq!(names.len(), cases.as_object().unwrap().len());
    for name in names {
        let case = &cases[&name];
        let config = SchedulerConfig::from_json(&case["config"].to_string()).unwrap();
        let kind = SamplerKind::from_config(&config).unwrap();
        assert_eq!(case["kind"], kind.name(), "{name}");
        let (schedule, steps) = (schedule(&case["config"]), case["steps"].as_u64().unwrap() as usize);
        let sampler = match case["eta"].as_f64() {
            Some(eta) => Sampler::with_eta(kind, &schedule, steps, eta),
            None => Sampler::new(kind, &schedule, steps),
        };
        let sampler = sampler.unwrap();
        assert_eq!(sampler.timesteps(), fixture.f64(&format!("{name}.timesteps")), "{name}");
        let mut draws = noise.chunks(start.len()).map(<[f32]>::to_vec);
        let samples = run(&sampler, &start, &mix, &mut || Ok(draws.next().unwrap()));
        assert_close(&name, &samples, &fixture.f32(&format!("{name}.latents")));
    }
}

#[test]
fn golden_values() {
    // m(x, t) = 0.1 x + t / 1000 from x = 1: x after calls 1, 2, 3 and the last
    let table: [(&str, &str, usize, [f64; 4]); 12] = [
        ("epsilon", "pndm", 5, [1.06764532, 1.17740101, 1.45624006, 1.8137937]),
        ("epsilon", "pndm", 25, [0.98368061, 0.98886267, 0.98481383, 1.75121162]),
        ("epsilon", "ddim", 5, [1.06764512, 1.21908336, 1.356374, 1.38235344]),
        ("epsilon", "ddim", 25, [0.98368059, 0.9737693, 0.97054333, 1.56675198]),
        ("epsilon", "dpmpp_2m", 5, [0.80591878, 0.78065466, 0.86641563, 0.96866128]),
        ("epsilon", "dpmpp_2m", 25, [0.97296927, 0.95617231, 0.94614126, 1.53016958]),
        ("v_prediction", "pndm", 5, [0.78046747, 0.80456789, 0.60226898, 0.33409713]),
        ("v_prediction", "pndm", 25, [0.97723519, 0.97768424, 0.95265588, 0.35581577]),
        ("v_prediction", "ddim", 5, [0.7804674, 0.54783231, 0.36342876, 0.21253796]),
        ("v_prediction", "ddim", 25, [0.97723519, 0.9516847, 0.92346349, 0.32788071]),
        ("v_prediction", "dpmpp_2m", 5, [0.85425879, 0.66837622, 0.49340458, 0.21960433]),
        ("v_prediction", "dpmpp_2m", 25, [0.9799449, 0.95769024, 0.93279694, 0.35593927]),
    ];
    for (prediction_type, kind, steps, expected) in table {
        let schedule = schedule(&stable_diffusion(prediction_type));
        let sampler = Sampler::new(kind.parse().unwrap(), &schedule, steps).unwrap();
        let (mut trajectory, mut x, mut seen) = (sampler.trajectory(), vec![1f32], Vec::new());
        for timestep in sampler.timesteps() {
            let output = vec![0.1 * x[0] + (timestep / 1000.0) as f32];
            x = trajectory.step(&x, output, &mut no_noise).unwrap();
            seen.push(f64::from(x[0]));
        }
        for (value, expected) in [seen[0], seen[1], seen[2], seen[seen.len() - 1]].into_iter().zip(expected) {
            assert!((value - expected).abs() <= 1e-5 * expected.abs(), "{kind} {steps}: {value} for {expected}");
        }
    }
}

#[test]
fn timesteps_of_the_reference() {
    let of = |kind: SamplerKind, steps| {
        Sampler::new(kind, &schedule(&stable_diffusion("epsilon")), steps).unwrap().timesteps().to_vec()
    };
    let pndm = of(SamplerKind::Pndm, 25);
    assert_eq!((pndm.len(), &pndm[..5], pndm[25]), (26, &[961.0, 921.0, 921.0, 881.0, 841.0][..], 1.0));
    assert_eq!(of(SamplerKind::Pndm, 50)[..4], [981.0, 961.0, 961.0, 941.0]);
    let dpm = of(SamplerKind::Dpmpp2m, 25);
    assert_eq!((dpm[0], dpm[12], dpm[13], dpm[24]), (999.0, 519.0, 480.0, 40.0));
    let dpm = of(SamplerKind::Dpmpp2m, 20);
    assert_eq!((dpm[9], dpm[10], dpm[19]), (549.0, 500.0, 50.0));
    // 62 numbers of steps make diffusers append timestep -1 here.
    let mut trailing = stable_diffusion("epsilon");
    trailing["timestep_spacing"] = json!("trailing");
    let ddim = Sampler::new(SamplerKind::Ddim, &schedule(&trailing), 61).unwrap();
    assert_eq!((ddim.timesteps().len(), ddim.timesteps()[60]), (61, 15.0));
    // 1000 - 3 * 1000 / 48 is 937.5; NumPy comes to a little less.
    let ddim = Sampler::new(SamplerKind::Ddim, &schedule(&trailing), 48).unwrap();
    assert_eq!(ddim.timesteps()[..5], [999.0, 978.0, 957.0, 936.0, 916.0]);
}

#[test]
fn euler_ancestral_by_its_formula() {
    for prediction_type in ["epsilon", "v_prediction"] {
        let schedule = schedule(&stable_diffusion(prediction_type));
        let sampler = Sampler::new(SamplerKind::EulerA, &schedule, 2).unwrap();
        assert_eq!(sampler.timesteps(), [999.0, 0.0]);
        let ratio = |t: usize| ((1.0 - schedule.alphas_cumprod()[t]) / schedule.alphas_cumprod()[t]).sqrt();
        let (from, to) = (ratio(999), ratio(0));
        let (x, output, noise) = (3.0, -0.7, 1.3);
        let up = (to.powi(2) * (from.powi(2) - to.powi(2)) / from.powi(2)).sqrt();
        let down = (to.powi(2) - up.powi(2)).sqrt();
        let clean = match prediction_type {
            "epsilon" => x - from * output,
            _ => x / (from.powi(2) + 1.0) - output * from / (from.powi(2) + 1.0).sqrt(),
        };
        let expected = x + (x - clean) / from * (down - from) + noise * up;
        let mut trajectory = sampler.trajectory();
        let stepped = trajectory.step(&vec![x as f32], vec![output as f32], &mut || Ok(vec![noise as f32])).unwrap();
        assert!((f64::from(stepped[0]) - expected).abs() < 1e-6 * expected.abs(), "{} for {expected}", stepped[0]);
        // The last step ends at sigma 0: it adds no noise and leaves the predicted sample.
        assert!(trajectory.step(&stepped, vec![0.0], &mut no_noise).is_ok());
    }
}

#[test]
fn euler_ancestral_without_noise_is_euler() {
    let fixture = Fixture::open("schedulers.safetensors");
    let (start, mix) = (fixture.f32("initial"), fixture.f32("mix"));
    for prediction_type in ["epsilon", "v_prediction"] {
        let schedule = schedule(&stable_diffusion(prediction_type));
        let euler = Sampler::new(SamplerKind::Euler, &schedule, 25).unwrap();
        let ancestral = Sampler::with_eta(SamplerKind::EulerA, &schedule, 25, 0.0).unwrap();
        assert_eq!(run(&euler, &start, &mix, &mut no_noise), run(&ancestral, &start, &mix, &mut no_noise));
    }
}

#[test]
fn every_number_of_steps_works_or_is_refused() {
    for prediction_type in ["epsilon", "v_prediction"] {
        for spacing in ["leading", "linspace", "trailing"] {
            let mut config = stable_diffusion(prediction_type);
            config["timestep_spacing"] = json!(spacing);
            let schedule = schedule(&config);
            for kind in SamplerKind::ALL {
                for steps in (1..=60).chain([99, 333, 499, 500, 501, 999, 1000]) {
                    match Sampler::new(kind, &schedule, steps) {
                        Ok(sampler) => {
                            let calls = steps + usize::from(kind == SamplerKind::Pndm && steps > 1);
                            assert_eq!(sampler.timesteps().len(), calls, "{kind} {steps} {spacing}");
                            let mut trajectory = sampler.trajectory();
                            let mut x = vec![1f32];
                            for _ in 0..calls {
                                x = trajectory.step(&x, vec![0.5], &mut || Ok(vec![0.1])).unwrap();
                            }
                            assert!(x[0].is_finite(), "{kind} {steps} {spacing}");
                        }
                        Err(error) => assert!(steps >= 999, "{kind} {steps} {spacing}: {error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let refused = |config: &Value, kind, steps| Sampler::new(kind, &schedule(config), steps).unwrap_err().to_string();
    let usual = stable_diffusion("epsilon");
    let range = "a schedule of 1000 timesteps can be sampled in 1 to 1000";
    assert_eq!(refused(&usual, SamplerKind::Euler, 0), format!("0 steps: {range}"));
    assert_eq!(refused(&usual, SamplerKind::Ddim, 1001), format!("1001 steps: {range}"));
    assert_eq!(refused(&usual, SamplerKind::Ddim, 1000), "timestep 1000 is not one of the schedule's 0..=999");
    assert_eq!(
        refused(&usual, SamplerKind::Dpmpp2m, 1000),
        "dpmpp_2m cannot do 1000 steps: its coefficients at timestep 500 are not finite; try fewer steps"
    );

    for (kind, key, value, message) in [
        (
            SamplerKind::Pndm,
            "skip_prk_steps",
            json!(false),
            "skip_prk_steps: false is not supported by pndm (supported: true)",
        ),
        (
            SamplerKind::Pndm,
            "skip_prk_steps",
            Value::Null,
            "skip_prk_steps: false is not supported by pndm (supported: true)",
        ),
        (
            SamplerKind::Pndm,
            "rescale_betas_zero_snr",
            json!(true),
            "rescale_betas_zero_snr: true is not supported by pndm (supported: false)",
        ),
        (
            SamplerKind::Pndm,
            "prediction_type",
            json!("sample"),
            "prediction_type: sample is not supported by pndm (supported: epsilon, v_prediction)",
        ),
        (
            SamplerKind::EulerA,
            "prediction_type",
            json!("sample"),
            "prediction_type: sample is not supported by euler_a (supported: epsilon, v_prediction)",
        ),
        (
            SamplerKind::Ddim,
            "clip_sample",
            json!(true),
            "clip_sample: true is not supported by ddim (supported: false)",
        ),
        (
            SamplerKind::Ddim,
            "thresholding",
            json!(true),
            "thresholding: true is not supported by ddim (supported: false)",
        ),
        (
            SamplerKind::Ddim,
            "timestep_spacing",
            json!("random"),
            "timestep_spacing: random is not supported by any sampler (supported: leading, linspace, trailing)",
        ),
        (SamplerKind::Dpmpp2m, "solver_order", json!(3), "solver_order: 3 is not supported by dpmpp_2m (supported: 2)"),
        (
            SamplerKind::Dpmpp2m,
            "algorithm_type",
            json!("sde-dpmsolver++"),
            "algorithm_type: \"sde-dpmsolver++\" is not supported by dpmpp_2m (supported: \"dpmsolver++\", \"deis\")",
        ),
        (
            SamplerKind::Dpmpp2m,
            "lambda_min_clipped",
            json!(-5.1),
            "lambda_min_clipped: -5.1 is not supported by dpmpp_2m (supported: \"-Infinity\")",
        ),
        (
            SamplerKind::Dpmpp2m,
            "variance_type",
            json!("learned"),
            "variance_type: \"learned\" is not supported by dpmpp_2m (supported: null)",
        ),
        (
            SamplerKind::Dpmpp2mKarras,
            "beta_schedule",
            json!("squaredcos_cap_v2"),
            "beta_schedule: squaredcos_cap_v2 is not supported by dpmpp_2m_karras (supported: linear, scaled_linear)",
        ),
        (
            SamplerKind::Euler,
            "timestep_type",
            json!("continuous"),
            "timestep_type: \"continuous\" is not supported by euler (supported: \"discrete\")",
        ),
    ] {
        let mut config = usual.clone();
        config[key] = value;
        assert_eq!(refused(&config, kind, 20), format!("scheduler config: {message}"));
    }

    let schedule = schedule(&usual);
    let eta = |kind, eta| Sampler::with_eta(kind, &schedule, 4, eta).unwrap_err().to_string();
    assert_eq!(eta(SamplerKind::Ddim, 1.5), "eta 1.5: ddim takes 0 to 1");
    assert_eq!(eta(SamplerKind::Ddim, f64::NAN), "eta NaN: ddim takes 0 to 1");
    assert_eq!(eta(SamplerKind::Pndm, 0.5), "eta 0.5: pndm takes only 0");

    let mut trajectory = Sampler::new(SamplerKind::Euler, &schedule, 1).unwrap().trajectory();
    let error = trajectory.step(&vec![1.0], vec![1.0, 2.0], &mut no_noise).unwrap_err();
    assert_eq!(error.to_string(), "cannot combine 2 values with 1");
    trajectory.step(&vec![1.0], vec![1.0], &mut no_noise).unwrap();
    let error = trajectory.step(&vec![1.0], vec![1.0], &mut no_noise).unwrap_err();
    assert_eq!(error.to_string(), "the trajectory has ended after 1 calls of the network");
}

#[test]
fn kinds_have_names_and_classes() {
    for kind in SamplerKind::ALL {
        assert_eq!(kind.to_string().parse::<SamplerKind>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!(
        "lms".parse::<SamplerKind>().unwrap_err().to_string(),
        "unknown sampler `lms` (known: pndm, ddim, dpmpp_2m, dpmpp_2m_karras, euler, euler_a)"
    );
    let of = |config: Value| SamplerKind::from_config(&SchedulerConfig::from_json(&config.to_string()).unwrap());
    let classes = "PNDMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler";
    assert_eq!(
        of(json!({"_class_name": "LMSDiscreteScheduler"})).unwrap_err().to_string(),
        format!(
            "scheduler config: _class_name: LMSDiscreteScheduler is not supported by any sampler (supported: {classes})"
        )
    );
    assert_eq!(
        of(json!({})).unwrap_err().to_string(),
        format!("scheduler config: _class_name: (missing) is not supported by any sampler (supported: {classes})")
    );
    assert_eq!(
        of(json!({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true})).unwrap_err().to_string(),
        "scheduler config: use_karras_sigmas: true is not supported by euler (supported: false)"
    );
}

#[test]
fn the_repositories_of_the_fixtures_name_their_sampler() {
    for pipeline in ["sd1/pipeline", "sd2/pipeline", "sd2v/pipeline", "optimum_sd2"] {
        let path =
            format!("{}/../tests/fixtures/{pipeline}/scheduler/scheduler_config.json", env!("CARGO_MANIFEST_DIR"));
        let config = SchedulerConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(SamplerKind::from_config(&config).unwrap(), SamplerKind::Pndm);
        let schedule = Schedule::from_config(&config).unwrap();
        for kind in SamplerKind::ALL {
            assert!(Sampler::new(kind, &schedule, 25).is_ok(), "{pipeline} {kind}");
        }
    }
}

proptest! {
    /// A sample is the same bits in a batch of any size and at any place of it.
    #[test]
    fn a_batch_is_its_parts(
        kind in prop::sample::select(SamplerKind::ALL.to_vec()),
        prediction_type in prop::sample::select(vec!["epsilon", "v_prediction"]),
        steps in 1usize..9,
        batch in 1usize..5,
        len in 1usize..600,
        seed in any::<u64>(),
    ) {
        let sampler = Sampler::new(kind, &schedule(&stable_diffusion(prediction_type)), steps).unwrap();
        let values = |image: usize, call: usize, what: usize| -> Vec<f32> {
            let mut generator = pleach_model::noise::Generator::new(seed ^ (image * 1_000_003 + call * 101 + what) as u64);
            generator.randn(len)
        };
        let batched = |call: usize, what: usize| (0..batch).flat_map(|image| values(image, call, what)).collect::<Vec<_>>();
        let mut whole: Trajectory<Vec<f32>> = sampler.trajectory();
        let mut parts: Vec<Trajectory<Vec<f32>>> = (0..batch).map(|_| sampler.trajectory()).collect();
        let mut x = batched(0, 0);
        for call in 0..sampler.timesteps().len() {
            let mut images = Vec::new();
            for (image, part) in parts.iter_mut().enumerate() {
                let before = x[image * len..(image + 1) * len].to_vec();
                images.extend(part.step(&before, values(image, call, 1), &mut || Ok(values(image, call, 2))).unwrap());
            }
            x = whole.step(&x, batched(call, 1), &mut || Ok(batched(call, 2))).unwrap();
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&x), bits(&images));
        }
    }

    #[test]
    fn combinations_are_rounded_once(terms in prop::collection::vec((-9.0f64..9.0, -9.0f32..9.0), 1..6), len in 1usize..1000) {
        let tensors: Vec<Vec<f32>> = terms.iter().map(|(_, value)| vec![*value; len]).collect();
        let sum: Vec<(f64, &Vec<f32>)> = terms.iter().map(|(factor, _)| *factor).zip(&tensors).collect();
        let expected = terms.iter().fold(0.0, |sum, (factor, value)| sum + factor * f64::from(*value)) as f32;
        prop_assert_eq!(Vec::combine(&sum).unwrap(), vec![expected; len]);
    }
}
