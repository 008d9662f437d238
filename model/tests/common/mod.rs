//! Reading reference fixtures.

use safetensors::{SafeTensors, tensor::Dtype};
use std::collections::HashMap;
use std::path::Path;

/// A file of `tests/fixtures`.
pub struct Fixture(Vec<u8>);

#[allow(dead_code, reason = "no test binary reads every kind of entry")]
impl Fixture {
    /// Reads the file called `name`.
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Names of the tensors whose name ends so, without the ending, sorted.
    pub fn names(&self, ending: &str) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let mut names: Vec<_> =
            tensors.names().into_iter().filter_map(|name| name.strip_suffix(ending)).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The text of a metadata entry.
    pub fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.0).unwrap();
        let metadata: &HashMap<String, String> = header.metadata().as_ref().unwrap();
        metadata[key].clone()
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().shape().to_vec()
    }

    /// Values of an f32 tensor.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.words(name, Dtype::F32).into_iter().map(f32::from_le_bytes).collect()
    }

    /// Values of an f64 tensor, or of an f32 one widened.
    pub fn f64(&self, name: &str) -> Vec<f64> {
        match SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().dtype() {
            Dtype::F64 => self.words(name, Dtype::F64).into_iter().map(f64::from_le_bytes).collect(),
            _ => self.f32(name).into_iter().map(f64::from).collect(),
        }
    }

    /// Values of an i64 tensor.
    pub fn i64(&self, name: &str) -> Vec<i64> {
        self.words(name, Dtype::I64).into_iter().map(i64::from_le_bytes).collect()
    }

    fn words<const N: usize>(&self, name: &str, dtype: Dtype) -> Vec<[u8; N]> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        let (words, rest) = tensor.data().as_chunks();
        assert!(rest.is_empty(), "{name}");
        words.to_vec()
    }
}
