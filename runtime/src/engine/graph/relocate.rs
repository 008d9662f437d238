//! Gives external data another name, without touching anything else in a model.
//!
//! In a Hugging Face cache the file that a graph calls `model.onnx_data` is a link to `blobs/HASH`. ONNX Runtime refuses links that
//! leave the graph's folder, so it is told the file's own folder and name instead. The model is rewritten field by field on the
//! level of the wire format: what is not on the way to a location is copied as it is, known or not.

use crate::onnx::{Bytes, DecodeError, Message as _, StringStringEntryProto};
use prost::{
    bytes::{Buf, BufMut, BytesMut},
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};
use std::collections::HashMap;

/// The messages that lead to a location.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Sparse,
    Tensor,
    Entry,
}

impl Kind {
    /// The message that a field holds, if it leads to a location.
    fn field(self, tag: u32) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

/// The new name of each file, by its name in the graph.
type Names<'a> = HashMap<&'a str, &'a str>;

/// The bytes of a model that was decoded and checked, in which tensors lie in files of the new names.
pub(super) fn relocate(model: &Bytes, names: &Names<'_>) -> Result<Bytes, DecodeError> {
    rewrite(Kind::Model, model.clone(), names)
}

fn rewrite(kind: Kind, mut message: Bytes, names: &Names<'_>) -> Result<Bytes, DecodeError> {
    let mut written = BytesMut::with_capacity(message.len());
    while message.has_remaining() {
        let from_here = message.clone();
        let (tag, wire_type) = decode_key(&mut message)?;
        let Some(field) = kind.field(tag).filter(|_| wire_type == WireType::LengthDelimited) else {
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
            written.put(from_here.slice(..from_here.len() - message.len()));
            continue;
        };
        let length = decode_varint(&mut message)?;
        // Nothing ends early in what was decoded before.
        let content = message.split_to(message.len().min(usize::try_from(length).unwrap_or(usize::MAX)));
        let content = if field == Kind::Entry { entry(content, names)? } else { rewrite(field, content, names)? };
        encode_key(tag, wire_type, &mut written);
        encode_varint(content.len() as u64, &mut written);
        written.put(content);
    }
    Ok(written.freeze())
}

fn entry(message: Bytes, names: &Names<'_>) -> Result<Bytes, DecodeError> {
    let mut entry = StringStringEntryProto::decode(message)?;
    if let Some(name) = names.get(entry.value.as_str()).filter(|_| entry.key == "location") {
        (*name).clone_into(&mut entry.value);
    }
    Ok(entry.encode_to_vec().into())
}
