//! Changing the precision of stored tensors, a piece at a time.

use super::{
    TensorView,
    error::{Error, Result},
};
use crate::tensor::Dtype;
use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};
use std::io::Write;

/// Bytes that are read at once: small beside a cache, large enough for what each piece costs besides.
const PIECE: usize = 1 << 18;

impl TensorView<'_> {
    /// Writes the elements to `out` as numbers of type `to`, little-endian, rounded to the nearest (ties to even). Memory is
    /// bounded: the tensor is read in pieces, and each is released once it is written.
    ///
    /// # Errors
    /// [`Error::Conversion`] from or to integers, [`Error::Overflow`] where a finite number would become infinite,
    /// [`Error::Copy`] from `out`.
    pub fn copy_as(&self, to: Dtype, out: &mut dyn Write) -> Result<()> {
        let mut converter = (self.dtype != to).then(|| self.converter(to)).transpose()?;
        for (i, piece) in self.bytes.chunks(PIECE).enumerate() {
            let converted = match &mut converter {
                Some(converter) => converter.convert(piece).map_err(|value| Error::Overflow {
                    name: self.name.to_owned(),
                    value,
                    to,
                })?,
                None => piece,
            };
            out.write_all(converted).map_err(|source| Error::Copy { name: self.name.to_owned(), source })?;
            self.release_part(i * PIECE..i * PIECE + piece.len());
        }
        self.release();
        Ok(())
    }

    /// The elements in single precision.
    ///
    /// # Errors
    /// [`Error::Conversion`] of integers.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut converter = self.converter(Dtype::F32)?;
        let mut values = Vec::with_capacity(self.bytes.len() / self.dtype.size());
        for piece in self.bytes.chunks(PIECE) {
            converter.widen(piece);
            values.extend_from_slice(&converter.wide);
        }
        Ok(values)
    }

    fn converter(&self, to: Dtype) -> Result<Converter> {
        if self.dtype.is_float() && to.is_float() {
            Ok(Converter { from: self.dtype, to, wide: Vec::new(), narrow: Vec::new(), bytes: Vec::new() })
        } else {
            Err(Error::Conversion { name: self.name.to_owned(), from: self.dtype, to })
        }
    }
}

/// Between floating-point types, by way of single precision, which holds every number of the others. Keeps its buffers.
struct Converter {
    from: Dtype,
    to: Dtype,
    wide: Vec<f32>,
    /// Bits of `f16` or `bf16`.
    narrow: Vec<u16>,
    bytes: Vec<u8>,
}

impl Converter {
    /// The converted piece, or the first finite number that `to` cannot hold.
    fn convert(&mut self, piece: &[u8]) -> Result<&[u8], f32> {
        self.widen(piece);
        if let Some(value) = first_overflow(&self.wide, self.to) {
            return Err(value);
        }
        self.bytes.resize(self.wide.len() * self.to.size(), 0);
        if self.to == Dtype::F32 {
            put(&self.wide, &mut self.bytes, |value| value.to_le_bytes());
        } else {
            self.narrow.resize(self.wide.len(), 0);
            match self.to {
                Dtype::F16 => self.narrow.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&self.wide),
                _ => self.narrow.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(&self.wide),
            }
            put(&self.narrow, &mut self.bytes, |bits| bits.to_le_bytes());
        }
        Ok(&self.bytes)
    }

    /// Fills `wide` with the numbers of `piece`.
    fn widen(&mut self, piece: &[u8]) {
        if self.from == Dtype::F32 {
            take(piece, &mut self.wide, f32::from_le_bytes);
            return;
        }
        take(piece, &mut self.narrow, u16::from_le_bytes);
        self.wide.resize(self.narrow.len(), 0.0);
        match self.from {
            Dtype::F16 => self.narrow.reinterpret_cast::<f16>().convert_to_f32_slice(&mut self.wide),
            _ => self.narrow.reinterpret_cast::<bf16>().convert_to_f32_slice(&mut self.wide),
        }
    }
}

fn take<T, const N: usize>(bytes: &[u8], values: &mut Vec<T>, from: impl Fn([u8; N]) -> T) {
    values.clear();
    values.extend(bytes.as_chunks().0.iter().map(|&chunk| from(chunk)));
}

fn put<T: Copy, const N: usize>(values: &[T], bytes: &mut [u8], to: impl Fn(T) -> [u8; N]) {
    for (chunk, &value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *chunk = to(value);
    }
}

/// The first finite number that rounds to infinity in `to`.
fn first_overflow(values: &[f32], to: Dtype) -> Option<f32> {
    // Half a step above the largest number of the type; what lies there or beyond rounds to infinity.
    let limit = match to {
        Dtype::F16 => 65520.0_f32.to_bits(),
        Dtype::Bf16 => 0x7f7f_8000,
        _ => return None,
    };
    let overflows = |value: &f32| (limit..f32::INFINITY.to_bits()).contains(&value.abs().to_bits());
    // Almost always none: a sum without an early end takes a fraction of the time of a search.
    let count: u32 = values.iter().map(|value| u32::from(overflows(value))).sum();
    if count == 0 { None } else { values.iter().copied().find(overflows) }
}
