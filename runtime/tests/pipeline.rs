//! Pictures drawn with the pipeline that Optimum exported, against those that Optimum drew.

use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, EngineOptions, HostCache},
    image::Image,
    pipeline::{Error, Event, Observer, Options, Picture, Pipeline, Request, Size},
};
use safetensors::SafeTensors;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn pipeline(max_memory: Option<u64>) -> Pipeline {
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let options = Options { max_memory, cache: HostCache::off(), ..Options::default() };
    Pipeline::open(Bundle::open(&fixture("optimum_sd2")).unwrap(), &engine, options).unwrap()
}

/// What the reference picture was asked for, and the picture in 0 to 255.
fn reference() -> (Request, Vec<f32>) {
    let bytes = fs::read(fixture("optimum_sd2/reference.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: &HashMap<String, String> = header.metadata().as_ref().unwrap();
    let image = SafeTensors::deserialize(&bytes).unwrap().tensor("image").unwrap().data().to_vec();
    let image = image.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()) * 255.0).collect();
    let number = |key: &str| metadata[key].parse().unwrap();
    assert!(metadata["seed"].starts_with("42,"));
    let request = Request {
        pictures: vec![Picture { prompt: metadata["prompt"].clone(), seed: 42 }],
        negative: metadata["negative_prompt"].clone(),
        steps: metadata["num_inference_steps"].parse().unwrap(),
        guidance: metadata["guidance_scale"].parse().unwrap(),
        size: Some(Size { width: number("width"), height: number("height") }),
        ..Request::default()
    };
    (request, image)
}

/// Every prompt with every seed.
fn pictures(prompts: &[&str], seeds: &[u64]) -> Vec<Picture> {
    let pairs = prompts.iter().flat_map(|prompt| seeds.iter().map(move |&seed| (prompt, seed)));
    pairs.map(|(&prompt, seed)| Picture { prompt: prompt.into(), seed }).collect()
}

#[test]
fn optimums_pipeline_draws_optimums_picture() {
    let (request, expected) = reference();
    let images = pipeline(None).generate(&request, &mut ()).unwrap();
    let [image] = &images[..] else { panic!("{images:?}") };
    assert_eq!(image.rgb().len(), expected.len());
    let worst = image.rgb().iter().zip(&expected).map(|(&a, b)| (f32::from(a) - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2.0, "differs by {worst} of 255");
}

#[test]
fn a_picture_is_the_same_in_every_batch_and_order() {
    let (request, _) = reference();
    let mut pipeline = pipeline(None);
    let prompts = ["a red star", "a blue ring, striped", "a red star"];
    let all = Request { pictures: pictures(&prompts, &[1, 2, 3]), steps: 4, ..request };
    let expected = pipeline.generate(&all, &mut ()).unwrap();
    assert_eq!(expected.len(), 9);
    assert_ne!(expected[0], expected[1], "seeds differ");
    assert_ne!(expected[0], expected[3], "prompts differ");
    assert_eq!(expected[..3], expected[6..], "the same prompt again");
    for batch in [2, 9] {
        assert_eq!(pipeline.generate(&Request { batch, ..all.clone() }, &mut ()).unwrap(), expected);
    }
    let reversed = Request { pictures: pictures(&prompts[1..2], &[3, 1]), ..all };
    let found = pipeline.generate(&reversed, &mut ()).unwrap();
    assert_eq!(found, [expected[5].clone(), expected[3].clone()]);
}

#[test]
fn samplers_with_noise_of_their_own_are_reproducible() {
    let (request, _) = reference();
    let request = Request { sampler: Some("euler_a".parse().unwrap()), steps: 5, ..request };
    let with = |seeds: &[u64]| Request { pictures: pictures(&["a red star"], seeds), batch: 2, ..request.clone() };
    let mut pipeline = pipeline(None);
    let together = pipeline.generate(&with(&[7, 8]), &mut ()).unwrap();
    let alone = pipeline.generate(&with(&[8]), &mut ()).unwrap();
    assert_eq!(together[1], alone[0]);
}

#[test]
fn sizes() {
    let (request, _) = reference();
    let request = Request { steps: 2, ..request };
    let mut pipeline = pipeline(None);
    let mut draw = |size: Option<&str>| {
        let size = size.map(|size| size.parse().unwrap());
        pipeline.generate(&Request { size, ..request.clone() }, &mut ()).map(|mut images| images.remove(0))
    };
    let wide = draw(Some("48x16")).unwrap();
    assert_eq!((wide.width(), wide.height()), (48, 16));
    let square = draw(None).unwrap();
    assert_eq!((square.width(), square.height()), (16, 16));
    let message = |result: Result<Image, Error>| result.unwrap_err().to_string();
    assert_eq!(message(draw(Some("16x24"))), "height 24 is not divisible by 16: use 16 or 32");
}

#[test]
fn without_guidance_the_negative_prompt_counts_for_nothing() {
    let (request, _) = reference();
    let mut pipeline = pipeline(None);
    let mut draw = |guidance, negative: &str| {
        let request = Request { guidance, negative: negative.into(), steps: 3, ..request.clone() };
        pipeline.generate(&request, &mut ()).unwrap()
    };
    assert_eq!(draw(1.0, "blurry"), draw(0.5, ""));
    assert_ne!(draw(1.0, "blurry"), draw(1.5, "blurry"));
    assert_ne!(draw(7.5, "blurry"), draw(7.5, ""));
}

#[test]
fn requests_that_ask_for_nothing() {
    let (request, _) = reference();
    let mut pipeline = pipeline(None);
    let mut message = |request: &Request| pipeline.generate(request, &mut ()).unwrap_err().to_string();
    assert_eq!(message(&Request { pictures: vec![], ..request.clone() }), "there is no prompt to draw");
    assert_eq!(
        message(&Request { batch: 0, ..request.clone() }),
        "a batch of 0 pictures draws none: it must be at least 1"
    );
    assert_eq!(message(&Request { guidance: f64::NAN, ..request.clone() }), "guidance NaN is not a finite number");
    assert_eq!(
        message(&Request { steps: 0, ..request.clone() }),
        "0 steps: a schedule of 1000 timesteps can be sampled in 1 to 1000"
    );
}

/// Notes what it hears, and stops after some steps.
#[derive(Default)]
struct Listener {
    events: Vec<String>,
    steps_left: Option<usize>,
}

impl Observer for Listener {
    fn event(&mut self, event: Event<'_>) {
        if let (Event::Step { .. }, Some(left)) = (event, &mut self.steps_left) {
            *left = left.saturating_sub(1);
        }
        self.events.push(match event {
            Event::Truncated { dropped, kept, .. } => format!("Truncated {dropped} {kept}"),
            other => format!("{other:?}"),
        });
    }

    fn cancelled(&mut self) -> bool {
        self.steps_left == Some(0)
    }
}

#[test]
fn an_observer_hears_and_stops() {
    let (request, _) = reference();
    // the fixture knows no cat: two tokens to a word
    let request = Request { pictures: pictures(&[&"cat ".repeat(10_000)], &[0]), steps: 3, ..request };
    let mut listener = Listener::default();
    pipeline(None).generate(&request, &mut listener).unwrap();
    let expected = [
        "Opening { component: TextEncoder, expert: None }",
        "Truncated 19925 75",
        "Opening { component: Unet, expert: None }",
        "Step { call: 0, calls: 4, first: 0, before: 0, batch: 1, pictures: 1 }",
        "Step { call: 1, calls: 4, first: 0, before: 0, batch: 1, pictures: 1 }",
        "Step { call: 2, calls: 4, first: 0, before: 0, batch: 1, pictures: 1 }",
        "Step { call: 3, calls: 4, first: 0, before: 0, batch: 1, pictures: 1 }",
        "Step { call: 4, calls: 4, first: 0, before: 0, batch: 1, pictures: 1 }",
        "Opening { component: VaeDecoder, expert: None }",
        "Tile { tile: 1, tiles: 1, picture: 0, pictures: 1 }",
    ];
    assert_eq!(listener.events, expected);

    let mut listener = Listener { steps_left: Some(3), ..Listener::default() };
    let mut taken = 0;
    let result = pipeline(None).generate_each(&request, &mut listener, |_| {
        taken += 1;
        Ok::<_, Error>(())
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(taken, 0);
}
