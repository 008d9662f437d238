//! Where ONNX Runtime has put the nodes of a graph, from its own record.

use super::ProviderKind;
use ort::{AsPointer as _, session::Session, sys};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
    fmt, ptr, slice,
};

/// The session option that makes ONNX Runtime keep the record.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Which provider computes how many nodes of a graph, as ONNX Runtime has divided it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Placement(Vec<Share>);

/// What one provider computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name: ours (`qnn`), or ONNX Runtime's for a provider that cannot be asked for.
    pub provider: String,
    /// Nodes of the graph, after what ONNX Runtime simplifies before it divides.
    pub nodes: usize,
    /// Pieces that it got. A provider that compiles computes a piece at a time, and between two of them tensors travel; one with
    /// kernels gets every node by itself.
    pub pieces: usize,
    /// The same nodes by operator.
    pub operators: BTreeMap<String, usize>,
}

impl Placement {
    /// Reads the record of a session that was opened with [`RECORD`].
    pub(super) fn of(session: &Session) -> ort::Result<Self> {
        let api = ort::api();
        let mut shares: Vec<Share> = Vec::new();
        let mut pieces: *const *const sys::OrtEpAssignedSubgraph = ptr::null();
        let mut count = 0;
        // SAFETY: the session lives, and both pointers are valid for writing.
        check(unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut pieces, &mut count) })?;
        // SAFETY: the call gave `count` pointers, which belong to the session.
        for &piece in unsafe { list(pieces, count) } {
            let mut name: *const c_char = ptr::null();
            // SAFETY: `piece` belongs to the session, and the pointer is valid for writing.
            check(unsafe { (api.EpAssignedSubgraph_GetEpName)(piece, &mut name) })?;
            let mut nodes: *const *const sys::OrtEpAssignedNode = ptr::null();
            let mut length = 0;
            // SAFETY: as above.
            check(unsafe { (api.EpAssignedSubgraph_GetNodes)(piece, &mut nodes, &mut length) })?;
            // SAFETY: the name is a text that belongs to the session.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            let provider = match ProviderKind::of_onnx_name(&name) {
                Some(kind) => kind.name(),
                None => &name,
            };
            let position = shares.iter().position(|share| share.provider == provider).unwrap_or(shares.len());
            if position == shares.len() {
                let (provider, operators) = (provider.to_owned(), BTreeMap::new());
                shares.push(Share { provider, nodes: 0, pieces: 0, operators });
            }
            let share = &mut shares[position];
            share.nodes += length;
            share.pieces += 1;
            // SAFETY: the call above gave `length` pointers, which belong to the session.
            for &node in unsafe { list(nodes, length) } {
                let mut operator: *const c_char = ptr::null();
                // SAFETY: as above.
                check(unsafe { (api.EpAssignedNode_GetOperatorType)(node, &mut operator) })?;
                // SAFETY: the name is a text that belongs to the session.
                let operator = unsafe { CStr::from_ptr(operator) }.to_string_lossy().into_owned();
                *share.operators.entry(operator).or_default() += 1;
            }
        }
        shares.sort_by_key(|share| share.provider == ProviderKind::Cpu.name());
        Ok(Self(shares))
    }

    /// What each provider computes, the CPU last; a provider that computes nothing is not listed.
    pub fn shares(&self) -> &[Share] {
        &self.0
    }

    /// Nodes that a provider computes.
    pub fn nodes(&self, provider: ProviderKind) -> usize {
        self.0.iter().filter(|share| share.provider == provider.name()).map(|share| share.nodes).sum()
    }

    /// All nodes.
    pub fn total(&self) -> usize {
        self.0.iter().map(|share| share.nodes).sum()
    }
}

impl fmt::Display for Placement {
    /// `1771 nodes on qnn in 1 piece, 3 nodes on cpu`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no nodes");
        }
        for (i, Share { provider, nodes, pieces, .. }) in self.0.iter().enumerate() {
            let plural = |count: &usize| if *count == 1 { "" } else { "s" };
            write!(f, "{}{nodes} node{} on {provider}", if i == 0 { "" } else { ", " }, plural(nodes))?;
            if pieces < nodes {
                write!(f, " in {pieces} piece{}", plural(pieces))?;
            }
        }
        Ok(())
    }
}

fn check(status: sys::OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: it is what a call has just returned, and it is used once.
    unsafe { ort::Error::result_from_status(status) }
}

/// What a call gave as a pointer and a length; nothing where the pointer is null.
///
/// # Safety
/// A pointer that is not null points to `length` elements that live as long as `'a`.
unsafe fn list<'a, T>(pointer: *const T, length: usize) -> &'a [T] {
    // SAFETY: as this function asks.
    if pointer.is_null() { &[] } else { unsafe { slice::from_raw_parts(pointer, length) } }
}
