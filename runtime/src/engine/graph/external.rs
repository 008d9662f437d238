//! Where a tensor says that its bytes are.

use crate::onnx::{DataLocation, DataType, TensorProto};
use pleach_model::files::is_plain_name;
use std::ops::Range;

/// The bytes of one tensor in another file.
#[derive(Debug)]
pub(super) struct External {
    /// Name of the file, which lies beside the graph.
    pub location: String,
    /// Where they lie in it.
    pub bytes: Range<u64>,
}

impl External {
    /// Reads and checks a reference; the error continues "the external data of the tensor ...".
    pub fn read(tensor: &TensorProto) -> Result<Self, String> {
        if tensor.data_location != i32::from(DataLocation::External) {
            return Err("is given, but not marked as external".into());
        }
        let (mut location, mut offset, mut length) = (None, None, None);
        for entry in &tensor.external_data {
            let number = || entry.value.parse::<u64>().map_err(|_| format!("has the {} {:?}", entry.key, entry.value));
            let repeated = match entry.key.as_str() {
                "location" => location.replace(entry.value.as_str()).is_some(),
                "offset" => offset.replace(number()?).is_some(),
                "length" => length.replace(number()?).is_some(),
                // SHA-1 of the whole file: optional, and read by nobody.
                "checksum" => false,
                other => return Err(format!("has the unknown key {other:?}")),
            };
            if repeated {
                return Err(format!("has two entries {:?}", entry.key));
            }
        }
        let location = location.ok_or("names no file")?;
        if !is_plain_name(location) {
            return Err(format!("lies in {location:?}, which is not the plain name of a file beside the graph"));
        }
        let size = size_of(tensor)?;
        if let Some(length) = length.filter(|&length| length != size) {
            let than = if length < size { "shorter" } else { "longer" };
            return Err(format!("is {than} than the tensor: {length} bytes instead of {size}"));
        }
        let start = offset.unwrap_or(0);
        let end = start.checked_add(size).ok_or("ends beyond any file")?;
        Ok(Self { location: location.to_owned(), bytes: start..end })
    }
}

/// Bytes that shape and element type ask for.
fn size_of(tensor: &TensorProto) -> Result<u64, String> {
    let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let bits = kind.bits().ok_or_else(|| format!("has elements of the type {kind:?}"))?;
    let numel = tensor.dims.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::try_from(size).ok()?));
    let bits = numel.and_then(|numel| numel.checked_mul(bits));
    bits.map(|bits| bits.div_ceil(8)).ok_or_else(|| format!("has the shape {:?}", tensor.dims))
}
