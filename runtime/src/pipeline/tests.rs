//! Drawing with little memory: which way is chosen, and what the picture loses by it.

use super::{
    decode::Decoder,
    job::Job,
    memory::{Footprint, Needs},
    networks::Networks,
    tiles::Tiling,
    *,
};
use crate::engine::EngineOptions;
use pleach_model::noise::Generator;
use std::path::Path;

fn bundle() -> Bundle {
    Bundle::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2")).unwrap()
}

/// What the decoder gives for latents of 48 x 80.
fn decode(tiling: &Tiling, latents: impl Fn(usize, f32, f32) -> f32) -> Vec<f32> {
    let (bundle, engine) = (bundle(), Engine::start(&EngineOptions::default()).unwrap());
    let factor = bundle.vae().factor();
    let pictures = vec![Picture { prompt: String::new(), seed: 0 }];
    let size = Size { width: 80 * factor as u32, height: 48 * factor as u32 };
    let request = Request { pictures, size: Some(size), ..Request::default() };
    let job = Job::new(&bundle, &request).unwrap();
    let mut networks = Networks::check(&engine, &bundle, &Options::default()).unwrap();
    let network = networks.vae_decoder(true, &mut ()).unwrap();
    let mut decoder = Decoder::bind(network, &job, tiling, bundle.vae()).unwrap();
    let at = |i: usize| latents(i / (48 * 80), (i / 80 % 48) as f32, (i % 80) as f32);
    let latents: Vec<f32> = (0..job.latents.iter().product()).map(at).collect();
    decoder.planes(&latents, 0, &mut ()).unwrap()
}

fn tiles(side: usize) -> Tiling {
    Tiling::largest(48, 80, |height, width| height * width <= side * side).unwrap()
}

/// The norms of a decoder see one tile only, and a little more of a larger one.
#[test]
fn a_picture_in_tiles_is_nearly_the_whole_picture() {
    let noise = || {
        let values = Generator::new(5).randn(4 * 48 * 80);
        move |channel, y: f32, x: f32| values[(channel * 48 + y as usize) * 80 + x as usize]
    };
    let whole = decode(&Tiling::whole(48, 80), noise());
    let spread = whole.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (side, tolerance) in [(16, 0.015), (24, 0.01), (40, 0.004)] {
        let tiled = decode(&tiles(side), noise());
        let mean = tiled.iter().zip(&whole).map(|(a, b)| (a - b).abs()).sum::<f32>() / whole.len() as f32;
        assert!(mean > 0.0 && mean < tolerance * spread, "tiles of {side}: {mean} of {spread}");
    }
}

/// The largest mean change from a column to the next, without those near the left and the right edge.
fn largest_change(planes: &[f32]) -> f32 {
    let rows: Vec<&[f32]> = planes.chunks_exact(160).collect();
    let change = |x: usize| rows.iter().map(|row| (row[x + 1] - row[x]).abs()).sum::<f32>() / rows.len() as f32;
    (16..144).map(change).fold(0.0, f32::max)
}

/// In a smooth picture, where tiles side by side have become a tenth brighter or darker, no column shows it: one tile laid beside
/// the other would change ten times as much there as elsewhere.
#[test]
fn tiles_have_no_seams() {
    let wave =
        |channel: usize, y: f32, x: f32| (x / 11.0 + channel as f32).sin() + (y / 7.0 - 2.0 * channel as f32).cos();
    let whole = largest_change(&decode(&Tiling::whole(48, 80), wave));
    for side in [16, 24, 40] {
        let tiled = largest_change(&decode(&tiles(side), wave));
        assert!(tiled < 3.5 * whole, "tiles of {side}: {tiled}, whole: {whole}");
    }
}

const SIZE: Size = Size { width: 512, height: 256 };
const LATENTS: [usize; 2] = [128, 256];

/// Networks of so many bytes each.
fn needs(bundle: &Bundle, weights: [u64; 3]) -> Needs<'_> {
    let [text_encoder, unet, vae_decoder] = weights.map(|weights| Footprint { weights, fused_attention: true });
    Needs { bundle, text_encoder, vae_decoder, router: Footprint::default(), experts: vec![unet] }
}

#[test]
fn as_many_experts_stay_as_memory_allows() {
    let bundle = bundle();
    let expert = |megabytes: u64| Footprint { weights: megabytes << 20, fused_attention: true };
    let needs = Needs { experts: [300, 900, 500, 700].map(expert).into(), ..needs(&bundle, [1 << 20, 0, 1 << 20]) };
    let resident = |allowed, most| needs.plan(SIZE, LATENTS, allowed, most).map(|plan| (plan.turns, plan.resident));
    assert_eq!(resident(None, usize::MAX).unwrap(), (false, 4));
    assert_eq!(resident(None, 2).unwrap(), (false, 2));
    assert_eq!(resident(None, 0).unwrap(), (false, 1));
    let Err(Error::Memory(error)) = resident(Some(0), 4) else { panic!("nothing is enough") };
    assert_eq!(error.component, Component::Unet);
    // From one network at a time to all experts at once; whichever they are, the largest fit.
    let megabytes: Vec<u64> = (0..4000).step_by(20).collect();
    let ways: Vec<_> = megabytes.iter().map(|more| resident(Some(error.least + (more << 20)), 4).unwrap()).collect();
    let mut met = ways.clone();
    met.dedup();
    assert_eq!(met, [(true, 1), (false, 1), (false, 2), (false, 3), (false, 4)]);
    let first = |way| megabytes[ways.iter().position(|found| *found == way).unwrap()];
    assert_eq!(first((false, 3)) - first((false, 2)), 500);
}

#[test]
fn more_memory_gives_larger_tiles_and_enough_gives_none() {
    let bundle = bundle();
    let needs = needs(&bundle, [1_000_000, 1_000_000, 500_000_000]);
    let tile = |allowed| needs.plan(SIZE, LATENTS, Some(allowed), 1).map(|plan| (plan.turns, plan.tiling.tile()));
    assert_eq!(needs.plan(SIZE, LATENTS, None, 1).unwrap().tiling.tile(), (128, 256));
    let Err(Error::Memory(error)) = tile(0) else { panic!("nothing is enough") };
    assert_eq!(
        error.to_string(),
        "a picture of 512x256 takes at least 603 MB of memory, and 0 B are allowed: most is taken by the VAE decoder; allow more, or draw a smaller \
         picture"
    );
    assert!(
        matches!(tile(error.least - 1), Err(Error::Memory(again)) if again == MemoryError { allowed: error.least - 1, ..error.clone() })
    );
    // What is told does.
    assert_eq!(tile(error.least).unwrap(), (true, (16, 16)));
    let ways: Vec<_> = (0..100).map(|i| tile(error.least + i * 1_000_000).unwrap()).collect();
    assert!(ways.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{ways:?}");
    assert_eq!(ways[99], (false, (128, 256)));
}

#[test]
fn what_takes_most_is_named() {
    let bundle = bundle();
    let named = |weights| match needs(&bundle, weights).plan(SIZE, LATENTS, Some(1), 1) {
        Err(Error::Memory(error)) => error.component,
        other => panic!("{other:?}"),
    };
    assert_eq!(named([1 << 40, 0, 0]), Component::TextEncoder);
    assert_eq!(named([0, 1 << 40, 0]), Component::Unet);
    assert_eq!(named([0, 0, 1 << 40]), Component::VaeDecoder);
}
