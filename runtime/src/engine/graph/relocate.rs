//! Changes where tensors say that their bytes are, without touching anything else in a model.
//!
//! The model is rewritten field by field on the level of the wire format: what is not on the way to such an entry is copied as it is, known
//! or not.

use crate::onnx::{Bytes, DecodeError, Message as _, StringStringEntryProto};
use prost::{
    bytes::{Buf, BufMut, BytesMut},
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};

/// The messages that lead to external data.
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
    /// The message that a field holds, if it leads to external data.
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

/// The bytes of a model that was decoded before, in which `change` was made to each entry of a tensor's `external_data`: one tensor's one after
/// the other.
pub(in crate::engine) fn relocate<E: From<DecodeError>>(
    model: &Bytes,
    change: &mut impl FnMut(&mut StringStringEntryProto) -> Result<(), E>,
) -> Result<Bytes, E> {
    rewrite(Kind::Model, model.clone(), change)
}

fn rewrite<E: From<DecodeError>>(
    kind: Kind,
    mut message: Bytes,
    change: &mut impl FnMut(&mut StringStringEntryProto) -> Result<(), E>,
) -> Result<Bytes, E> {
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
        let content = if field == Kind::Entry {
            let mut entry = StringStringEntryProto::decode(content)?;
            change(&mut entry)?;
            entry.encode_to_vec().into()
        } else {
            rewrite(field, content, change)?
        };
        encode_key(tag, wire_type, &mut written);
        encode_varint(content.len() as u64, &mut written);
        written.put(content);
    }
    Ok(written.freeze())
}
