//! Frechet distances of the reference fixtures.

use std::path::Path;

use pleach_evaluator::frechet::{Gaussian, frechet_distance};
use safetensors::SafeTensors;

struct Fixture(Vec<u8>);

impl Fixture {
    fn open() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/frechet.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    /// Features, and how many a sample has.
    fn features(&self, name: &str) -> (Vec<f64>, usize) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
        (values.collect(), tensor.shape()[1])
    }

    fn gaussian(&self, name: &str) -> Gaussian {
        let (values, dimensions) = self.features(name);
        Gaussian::of_features(&values, dimensions).unwrap()
    }

    fn distance(&self, name: &str) -> f64 {
        let gaussian = |side| self.gaussian(&format!("{name}.{side}"));
        frechet_distance(&gaussian("a"), &gaussian("b")).unwrap()
    }

    /// What scipy's eigenvalues of the product of the covariances give.
    fn reference(&self, name: &str) -> f64 {
        let (_, header) = SafeTensors::read_metadata(&self.0).unwrap();
        header.metadata().as_ref().unwrap()[name].parse().unwrap()
    }
}

fn assert_close(got: f64, expected: f64, relative: f64) {
    assert!((got - expected).abs() <= relative * expected, "{got} for {expected}");
}

#[test]
fn full_rank_agrees_with_scipy() {
    let fixture = Fixture::open();
    assert_close(fixture.distance("full"), fixture.reference("full"), 1e-12);
}

/// Without full rank the reference itself is off by the roots of its rounding errors: 45 and 38 eigenvalues that should be 0
/// each add some 1e-6 to the trace of the root. numpy's singular values of the two centred sets' product, `a @ b.T`, add none.
#[test]
fn fewer_samples_than_dimensions_and_rank_deficient_sets() {
    let fixture = Fixture::open();
    for (name, by_singular_values) in [("few", 5_085.285_690_182_455), ("deficient", 59.007_900_373_819_44)] {
        let got = fixture.distance(name);
        assert_close(got, fixture.reference(name), 1e-6);
        assert_close(got, by_singular_values, 1e-12);
    }
}

#[test]
fn a_set_has_no_distance_from_itself() {
    let fixture = Fixture::open();
    for name in ["full.a", "few.a", "deficient.b"] {
        let set = fixture.gaussian(name);
        assert!(frechet_distance(&set, &set).unwrap() < 1e-9, "{name}");
    }
}

#[test]
fn the_order_of_a_set_does_not_matter() {
    let fixture = Fixture::open();
    for name in ["full.a", "few.a", "deficient.b"] {
        let (values, dimensions) = fixture.features(name);
        let samples = values.len() / dimensions;
        // Each sample once, as 7 has no divisor in common with their number.
        assert_ne!(samples % 7, 0);
        let shuffled: Vec<f64> =
            (0..samples).flat_map(|i| &values[i * 7 % samples * dimensions..][..dimensions]).copied().collect();
        assert_ne!(values, shuffled);
        let shuffled = Gaussian::of_features(&shuffled, dimensions).unwrap();
        assert!(frechet_distance(&fixture.gaussian(name), &shuffled).unwrap() < 1e-9, "{name}");
    }
}
