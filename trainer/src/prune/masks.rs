//! Gates in the forward pass of a UNet, through its sites.

use crate::torch::{Torch, Value, kind};
use pleach_model::{
    backend::Backend,
    error::Result,
    gating::Entries,
    op::Extent,
    sites::{Site, Sites},
    tensor::Dtype,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, ops::Range};

/// Where the gates of a ResNet's groups act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// After `norm2` and SiLU: a closed group is as if it were not there, and the masked network equals the cut one.
    #[default]
    Hidden,
    /// Before `norm2`, as the released code has it. The norm takes the scale of a soft gate away again, and a closed group still gives
    /// `silu(norm2.bias)` to the next convolution.
    AptpCompat,
}

/// Multiplies groups of channels, heads and groups of hidden features by their gates, and mixes modules with what stands in for them.
#[derive(Debug)]
pub struct Masks {
    placement: Placement,
    /// `[B, units]` at each site.
    widths: HashMap<String, Value>,
    /// `[B, 1, 1, 1]` at each module that can be skipped.
    depths: HashMap<String, Value>,
}

impl Masks {
    /// Masks out of the gates of each element of a batch, or of one for all, for a network that computes in `dtype`.
    ///
    /// # Errors
    /// What libtorch says, such as of gates of another layout.
    pub fn new(
        layout: &VectorLayout,
        gates: &Entries<Value>,
        placement: Placement,
        dtype: Dtype,
    ) -> crate::torch::Result<Self> {
        let part = |gates: &Value, entries: Range<usize>| {
            let part = gates.tensor().f_narrow(1, entries.start as i64, entries.len() as i64)?;
            Ok::<_, crate::torch::Error>(part.f_to_kind(kind(dtype))?)
        };
        let mut widths = HashMap::new();
        for width in &layout.widths {
            widths.insert(width.site.clone(), Value::try_from(part(&gates.widths, width.entries.clone())?)?);
        }
        let mut depths = HashMap::new();
        for (i, module) in layout.depths.iter().enumerate() {
            let gate = part(&gates.depths, i..i + 1)?.f_reshape([-1, 1, 1, 1])?;
            depths.insert(module.clone(), Value::try_from(gate)?);
        }
        Ok(Self { placement, widths, depths })
    }

    /// `value` times the gate of its group; groups lie next to each other on `axis`, which is 1 or 2.
    fn scaled(&self, torch: &Torch, path: &str, groups: usize, axis: usize, value: Value) -> Result<Value> {
        let Some(gate) = self.widths.get(path) else { return Ok(value) };
        let (split, spread) = if axis == 1 {
            (
                vec![Extent::Keep(0), Extent::Is(groups), Extent::Rest],
                vec![Extent::Keep(0), Extent::Is(groups), Extent::Is(1)],
            )
        } else {
            (
                vec![Extent::Keep(0), Extent::Keep(1), Extent::Is(groups), Extent::Rest],
                vec![Extent::Keep(0), Extent::Is(1), Extent::Is(groups), Extent::Is(1)],
            )
        };
        let product = torch.mul(&torch.reshape(&value, &split)?, &torch.reshape(gate, &spread)?)?;
        torch.reshape_like(&product, &value)
    }
}

/// Everything goes through the interpreter, so that what is computed again for the gradients has the gates' too.
impl Sites<Torch> for Masks {
    fn site(&self, torch: &Torch, path: &str, site: Site<'_, Value>, value: Value) -> Result<Value> {
        match (site, self.placement) {
            (Site::ResnetInner { groups }, Placement::AptpCompat)
            | (Site::ResnetHidden { groups }, Placement::Hidden) => self.scaled(torch, path, groups, 1, value),
            (Site::Heads { heads }, _) => self.scaled(torch, path, heads, 2, value),
            (Site::FeedForward { groups }, _) => self.scaled(torch, path, groups, 2, value),
            (Site::Module { skip }, _) => match self.depths.get(path) {
                Some(gate) => {
                    let apart = torch.add(&value, &torch.affine(skip, -1.0, 0.0)?)?;
                    torch.add(skip, &torch.mul(&apart, gate)?)
                }
                None => Ok(value),
            },
            _ => Ok(value),
        }
    }
}
