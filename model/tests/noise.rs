//! The noise generator against `torch.randn` of PyTorch 2.11.0 on the CPU.

mod common;

use common::Fixture;
use pleach_model::noise::{Generator, GeneratorState};
use proptest::prelude::*;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn equals_torch_bit_for_bit() {
    let fixture = Fixture::open("noise.safetensors");
    let names = fixture.names("");
    assert_eq!(names.len(), 7 * 5);
    for name in names {
        let seed = name.split('.').next().unwrap().parse().unwrap();
        let noise = Generator::new(seed).randn(fixture.shape(&name).iter().product());
        assert_eq!(bits(&noise), bits(&fixture.f32(&name)), "{name}");
    }
}

#[test]
fn consecutive_draws_equal_torch() {
    // Draws of 3, 20, 1, 16, 5, 33 and 2 values: the spare value of a scalar pair outlives the draws in blocks.
    let fixture = Fixture::open("sampler_variants.safetensors");
    let mut generator = Generator::new(7);
    for draw in 0..7 {
        let expected = fixture.f32(&format!("randn.7.{draw}"));
        assert_eq!(bits(&generator.randn(expected.len())), bits(&expected), "draw {draw}");
    }
}

#[test]
fn published_values() {
    // The first of torch.randn(1, 4, 64, 64), to seven decimals
    let first =
        |seed| Generator::new(seed).randn(4 * 64 * 64)[..6].iter().map(|v| format!("{v:.7}")).collect::<Vec<_>>();
    assert_eq!(first(0).join(" "), "-1.1258398 -1.1523602 -0.2505786 -0.4338788 0.8487104 0.6920092");
    assert_eq!(first(43).join(" "), "-0.0166036 -0.4667949 2.0908976 0.6149029 -0.5620956 -0.4142512");
    assert!(Generator::new(0).randn(0).is_empty());
}

#[test]
fn only_the_lower_half_of_a_seed_counts() {
    assert_eq!(Generator::new(4_294_967_301), Generator::new(5));
    assert_ne!(Generator::new(5), Generator::new(6));
}

#[test]
fn states_that_no_generator_has_are_refused() {
    let state = Generator::new(1).state();
    let short = GeneratorState { words: vec![0; 623], ..state.clone() };
    assert_eq!(
        Generator::from_state(&short).unwrap_err().to_string(),
        "state of the noise generator: words: 623 where MT19937 has 624"
    );
    let beyond = GeneratorState { next: 625, ..state };
    assert_eq!(
        Generator::from_state(&beyond).unwrap_err().to_string(),
        "state of the noise generator: next: 625 is beyond the 624 words"
    );
}

proptest! {
    #[test]
    fn blocks_are_drawn_one_after_the_other(seed in any::<u64>(), blocks in 1usize..9, m in 16usize..99) {
        let (mut whole, mut parts) = (Generator::new(seed), Generator::new(seed));
        let expected = [parts.randn(16 * blocks), parts.randn(m)].concat();
        prop_assert_eq!(bits(&whole.randn(16 * blocks + m)), bits(&expected));
    }

    /// A generator written as JSON and read again goes on with the same bits.
    #[test]
    fn goes_on_from_its_state(seed in any::<u64>(), draws in prop::collection::vec(0usize..40, 0..8)) {
        let mut generator = Generator::new(seed);
        draws.iter().for_each(|n| { generator.randn(*n); });
        let json = serde_json::to_string(&generator.state()).unwrap();
        let mut resumed = Generator::from_state(&serde_json::from_str(&json).unwrap()).unwrap();
        for n in [1, 17, 700, 3] {
            prop_assert_eq!(bits(&generator.randn(n)), bits(&resumed.randn(n)));
        }
    }
}
