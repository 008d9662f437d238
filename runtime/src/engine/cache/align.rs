//! Moves the weights of an optimised graph to where kernels can read them.
//!
//! ONNX Runtime 1.30 writes weights, and what its kernels packed of them, one right behind the other; only what is larger than 1 MiB begins
//! a page. The next start maps the file and gives kernels the addresses of these bytes in it, where they expect what ONNX Runtime's
//! allocator gives. The matrix product of AVX-512 faults over other addresses (`vmovaps`), and that with blocks of 4 or 8 bits
//! (`MatMulNBits`) rounds the address up, and so takes other bytes for its weights.

use super::entry::{GRAPH, Problem, WEIGHTS};
use crate::{
    engine::graph::relocate,
    onnx::{Bytes, StringStringEntryProto},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// What addresses are multiples of: the widest vectors' size, and what ONNX Runtime's allocator aligns to.
pub(super) const ALIGNMENT: u64 = 64;
/// The size of a page. What begins one still does when it is moved.
const PAGE: u64 = 4096;

/// Moves the weights of the graph that ONNX Runtime wrote into `folder` so that all lie at multiples of [`ALIGNMENT`], and tells the graph
/// where. Nothing is written if all do.
pub(in crate::engine) fn align(folder: &Path) -> Result<(), Problem> {
    let (graph, weights) = (folder.join(GRAPH), folder.join(WEIGHTS));
    let model = Bytes::from(fs::read(&graph)?);
    let spans = Spans::read(&model)?;
    let moved = spans.align()?;
    if moved.iter().all(|(from, to)| from == to) {
        return Ok(());
    }
    spans.copy(&weights, &moved)?;
    fs::write(graph, relocate(&model, &mut |entry| rename(entry, &moved))?)?;
    Ok(())
}

/// New offsets, by the old ones.
type Moved = BTreeMap<u64, u64>;

/// What lies in the file of weights: lengths by offsets.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub lengths: BTreeMap<u64, u64>,
    /// That of the tensor whose entries are being read.
    offset: Option<u64>,
}

impl Spans {
    pub fn read(model: &Bytes) -> Result<Self, Problem> {
        let mut spans = Self::default();
        relocate(model, &mut |entry| spans.note(entry))?;
        Ok(spans)
    }

    fn note(&mut self, entry: &StringStringEntryProto) -> Result<(), Problem> {
        match entry.key.as_str() {
            "location" if entry.value == WEIGHTS => {}
            "location" => return Err(format!("the optimised graph names the file {:?}", entry.value).into()),
            "offset" => self.offset = Some(entry.value.parse()?),
            "length" => {
                let offset = self.offset.take().ok_or("the optimised graph tells a length without an offset")?;
                self.insert(offset, entry.value.parse()?);
            }
            _ => Packed::read(entry)?.buffers.into_iter().for_each(|(offset, length, _)| self.insert(offset, length)),
        }
        Ok(())
    }

    fn insert(&mut self, offset: u64, length: u64) {
        let known = self.lengths.entry(offset).or_default();
        *known = length.max(*known);
    }

    /// Where each should begin. Their order stays.
    fn align(&self) -> Result<Moved, Problem> {
        let (mut moved, mut end, mut free) = (Moved::new(), 0, 0u64);
        for (&offset, &length) in &self.lengths {
            if offset < end {
                return Err(format!("weights of the optimised graph overlap at byte {offset}").into());
            }
            let multiple = if offset.is_multiple_of(PAGE) { PAGE } else { ALIGNMENT };
            let overflow = || format!("weights of the optimised graph end beyond any file, after byte {offset}");
            let to = offset.max(free).checked_next_multiple_of(multiple).ok_or_else(overflow)?;
            moved.insert(offset, to);
            end = offset.checked_add(length).ok_or_else(overflow)?;
            free = to.checked_add(length).ok_or_else(overflow)?;
        }
        Ok(moved)
    }

    /// Writes the file of weights anew, with each where `moved` says.
    fn copy(&self, weights: &Path, moved: &Moved) -> Result<(), Problem> {
        let aside = weights.with_extension("moved");
        let (mut source, mut target) = (File::open(weights)?, File::create_new(&aside)?);
        for ((&from, &length), &to) in self.lengths.iter().zip(moved.values()) {
            source.seek(SeekFrom::Start(from))?;
            // What is skipped reads as zeros.
            target.seek(SeekFrom::Start(to))?;
            if io::copy(&mut (&source).take(length), &mut target)? != length {
                return Err(format!("{WEIGHTS} ends within the {length} bytes from byte {from}").into());
            }
        }
        // Some systems rename no file that is open.
        drop((source, target));
        Ok(fs::rename(aside, weights)?)
    }
}

/// What is said of the buffers that a kernel packed of a tensor: `KEY|OFFSET;LENGTH;CHECKSUM|...`.
struct Packed<'a> {
    key: &'a str,
    buffers: Vec<(u64, u64, &'a str)>,
}

impl<'a> Packed<'a> {
    fn read(entry: &'a StringStringEntryProto) -> Result<Self, Problem> {
        let read = || {
            let mut parts = entry.value.split('|');
            let key = parts.next().filter(|_| entry.key.starts_with("prepacked_"))?;
            let buffers = parts.map(|buffer| {
                let (offset, rest) = buffer.split_once(';')?;
                let (length, checksum) = rest.split_once(';')?;
                Some((offset.parse().ok()?, length.parse().ok()?, checksum))
            });
            Some(Self { key, buffers: buffers.collect::<Option<_>>()? })
        };
        read().ok_or_else(|| format!("the optimised graph says {:?} of {:?}", entry.value, entry.key).into())
    }
}

fn rename(entry: &mut StringStringEntryProto, moved: &Moved) -> Result<(), Problem> {
    // All offsets were read from the same entries.
    let to = |from: &u64| moved.get(from).copied().unwrap_or(*from);
    entry.value = match entry.key.as_str() {
        "location" | "length" => return Ok(()),
        "offset" => to(&entry.value.parse()?).to_string(),
        _ => {
            let packed = Packed::read(entry)?;
            let buffers = packed.buffers.iter().map(|(from, length, sum)| format!("|{};{length};{sum}", to(from)));
            packed.key.to_owned() + &buffers.collect::<String>()
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, GraphProto, Message as _, ModelProto, TensorProto};
    use tempfile::tempdir;

    /// A graph over the bytes of `spans` in a file of `bytes`; the second tensor was packed into two buffers.
    fn write(folder: &Path, [first, second, page, packed, more]: [(u64, u64); 5], bytes: usize) {
        let tensor = |name: &str, (offset, length): (u64, u64)| {
            TensorProto::external(name, DataType::Uint8, [length as i64], WEIGHTS, offset, length)
        };
        let mut initializer = vec![tensor("a", first), tensor("b", second), tensor("c", page)];
        let told = format!("MatMul+7|{};{};0|{};{};0", packed.0, packed.1, more.0, more.1);
        initializer[1].external_data.push(StringStringEntryProto::new("prepacked_0", told));
        let graph = GraphProto { initializer, ..GraphProto::default() };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        fs::write(folder.join(GRAPH), model.encode_to_vec()).unwrap();
        fs::write(folder.join(WEIGHTS), (0..bytes).map(|i| (i % 251) as u8).collect::<Vec<_>>()).unwrap();
    }

    #[test]
    fn what_lies_elsewhere_is_moved_with_its_bytes() {
        let folder = tempdir().unwrap();
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let written = [(0, 10), (10, 100), (4096, 70), (110, 64), (174, 6)];
        write(folder.path(), written, 4166);
        let before = read(WEIGHTS);
        align(folder.path()).unwrap();
        let (model, after) = (ModelProto::decode(read(GRAPH).as_slice()).unwrap(), read(WEIGHTS));
        let entries = |tensor: &TensorProto| -> Vec<String> {
            tensor.external_data[1..].iter().map(|entry| entry.value.clone()).collect()
        };
        let told: Vec<_> = model.graph.unwrap().initializer.iter().map(entries).collect();
        assert_eq!(told, [vec!["0", "10"], vec!["64", "100", "MatMul+7|192;64;0|256;6;0"], vec!["4096", "70"]]);
        for ((from, length), to) in written.into_iter().zip([0, 64, 4096, 192, 256]) {
            assert_eq!(after[to..][..length as usize], before[from as usize..][..length as usize]);
        }
        assert_eq!((after[10], after.len()), (0, before.len()));
        // Now there is nothing to do, not even where the weights are missing.
        fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
        align(folder.path()).unwrap();
    }

    #[test]
    fn what_onnx_runtime_would_not_write_is_refused() {
        let folder = tempdir().unwrap();
        let refused = |spans, bytes| {
            write(folder.path(), spans, bytes);
            align(folder.path()).unwrap_err().to_string()
        };
        let overlapping = [(0, 10), (9, 1), (4096, 70), (110, 64), (174, 6)];
        assert_eq!(refused(overlapping, 5000), "weights of the optimised graph overlap at byte 9");
        let cut = [(0, 10), (10, 100), (200, 70), (110, 64), (174, 6)];
        assert_eq!(refused(cut, 269), "graph.onnx_data ends within the 70 bytes from byte 200");
        let far = [(0, 10), (10, u64::MAX), (200, 70), (110, 64), (174, 6)];
        assert_eq!(refused(far, 300), "weights of the optimised graph end beyond any file, after byte 10");
    }
}
