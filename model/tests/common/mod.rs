//! Reading reference fixtures.

use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// A file of `tests/fixtures`.
pub struct Fixture(Vec<u8>);

impl Fixture {
    /// Reads the file called `name`.
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.tensors().names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Shape and values of an f32 tensor.
    pub fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        let (words, rest) = tensor.data().as_chunks::<4>();
        assert!(rest.is_empty(), "{name}");
        (tensor.shape().to_vec(), words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }
}
