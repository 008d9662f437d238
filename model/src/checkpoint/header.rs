//! The header of a safetensors file: read strictly, before anything else of the file is believed.
//!
//! The safetensors crate reads headers too, but two tensors of one name slip through, an element type that it does not know makes
//! the whole file unreadable, and its errors name neither the tensor nor the numbers. Its list of element types is used here.

use super::error::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, MapAccess, Visitor},
};
use std::{collections::BTreeMap, fmt, ops::Range, path::Path};

/// The limit that every safetensors reader keeps.
const MAX_HEADER: usize = 100_000_000;
/// The key that holds no tensor.
pub(super) const METADATA: &str = "__metadata__";

/// A tensor as its file describes it.
#[derive(Debug)]
pub(super) struct Stored {
    pub name: String,
    /// As the format spells it: `F32`, `BF16`, `I64`, ...
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Bytes of the file.
    pub range: Range<usize>,
}

/// The tensors of a file in the order of their bytes, and its metadata.
#[derive(Debug)]
pub(super) struct Header {
    pub tensors: Vec<Stored>,
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    /// Reads and checks the header of the file that `bytes` is the whole of.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(Error::TooShort { path: path.to_owned(), bytes: bytes.len() });
        };
        let length = u64::from_le_bytes(*prefix);
        let text =
            usize::try_from(length).ok().filter(|&length| length <= MAX_HEADER).and_then(|n| rest.split_at_checked(n));
        let Some((text, data)) = text else {
            return Err(Error::HeaderLength { path: path.to_owned(), length, bytes: bytes.len() });
        };
        let object: Object =
            serde_json::from_slice(text).map_err(|source| Error::Header { path: path.to_owned(), source })?;
        Ok(Self { tensors: place(path, object.tensors, 8 + text.len(), data.len())?, metadata: object.metadata })
    }
}

/// Checks that names are unique and that the tensors cover the data exactly, each with the bytes that its shape needs.
fn place(path: &Path, mut infos: Vec<(String, Info)>, data_start: usize, data_len: usize) -> Result<Vec<Stored>> {
    let path = || path.to_owned();
    infos.sort_by(|(a, _), (b, _)| a.cmp(b));
    for pair in infos.windows(2) {
        if let [(a, _), (b, _)] = pair
            && a == b
        {
            return Err(Error::Duplicate { path: path(), name: a.clone() });
        }
    }
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut covered = 0;
    let mut tensors = Vec::with_capacity(infos.len());
    for (name, Info { dtype, shape, data_offsets: (start, end) }) in infos {
        if start != covered || end < start {
            return Err(Error::Offsets { path: path(), name, start, end, expected: covered });
        }
        if let Some(bits) = bits(&dtype) {
            let needed = shape.iter().try_fold(bits, |product, &dim| product.checked_mul(dim));
            if needed.is_none() || needed != (end - start).checked_mul(8) {
                return Err(Error::TensorBytes { path: path(), name, dtype, shape, bytes: end - start });
            }
        }
        if end > data_len {
            return Err(Error::Truncated { path: path(), name, end, data: data_len });
        }
        covered = end;
        tensors.push(Stored { name, dtype, shape, range: data_start + start..data_start + end });
    }
    if covered != data_len {
        return Err(Error::Trailing { path: path(), bytes: data_len - covered });
    }
    Ok(tensors)
}

/// Bits of one element; `None` for a type that this version of the format does not know.
fn bits(dtype: &str) -> Option<usize> {
    let name = de::value::StrDeserializer::<de::value::Error>::new(dtype);
    Some(safetensors::Dtype::deserialize(name).ok()?.bitsize())
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The header as it is written, with every repetition of a name kept.
struct Object {
    tensors: Vec<(String, Info)>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let (mut tensors, mut metadata) = (Vec::new(), None);
                while let Some(name) = map.next_key::<String>()? {
                    let named = |error: A::Error| A::Error::custom(format_args!("{name}: {error}"));
                    if name != METADATA {
                        let info = map.next_value().map_err(named)?;
                        tensors.push((name, info));
                    } else if metadata.replace(map.next_value().map_err(named)?).is_some() {
                        return Err(A::Error::duplicate_field(METADATA));
                    }
                }
                Ok(Object { tensors, metadata: metadata.unwrap_or_default() })
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}
