//! From logits to gates as APTP does it (Ganjdanesh et al. 2024), and the space in which architectures are compared.
//!
//! What goes through an architecture vector piece by piece (sums over a unit, the budget of the depths, spreading a module's gate over
//! its units) are products with constant matrices of zeros and ones, so that every interpreter computes it in a handful of operations.

use crate::{
    backend::{Backend, Constant},
    error::Result,
    op::Unary,
    resources::Resources,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};

/// How logits become gates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relaxation {
    /// Temperature of the sigmoid.
    pub temperature: f64,
    /// Added to logits and noise.
    pub offset: f64,
}

/// The released configuration.
impl Default for Relaxation {
    fn default() -> Self {
        Self { temperature: 0.4, offset: 3.0 }
    }
}

/// Keeps the logarithms of the depth gates finite.
const EPS: f64 = 1e-6;
/// The least that is left of the budget, where rounding would leave less than nothing.
const LEAST: f64 = 1e-7;
/// The same for lengths.
const SHORTEST: f64 = 1e-12;

/// Logits, noise or gates of a batch.
#[derive(Clone, Debug)]
pub struct Entries<V> {
    /// `[B, widths]`.
    pub widths: V,
    /// `[B, depths]`.
    pub depths: V,
}

/// The gates of one network.
pub struct Gating<B: Backend> {
    relaxation: Relaxation,
    /// `[units, widths]`: which entries a unit has.
    units: B::Value,
    /// `[widths, units]`: the first entry of each unit.
    firsts: B::Value,
    /// `[depths, depths]`: sums all but the last k.
    budget: B::Value,
    /// `[depths, depths]`: from the order of skipping to the order of entries.
    order: B::Value,
    /// `[widths, depths]`: the depth that each entry is inside of.
    inside: B::Value,
    /// `[widths]`: 1 where an entry is inside of none.
    outside: B::Value,
    /// `[widths]`: what brings an open unit to length 1.
    lengths: B::Value,
}

/// A constant matrix from its rule.
fn table<B: Backend>(b: &B, [rows, columns]: [usize; 2], is: impl Fn(usize, usize) -> bool) -> Result<B::Value> {
    let data = (0..rows * columns).map(|i| f32::from(u8::from(is(i / columns, i % columns)))).collect();
    b.constant(Constant::F32(data), &[rows, columns])
}

impl<B: Backend> Gating<B> {
    /// Gates in this layout.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn new(b: &B, layout: &VectorLayout, relaxation: Relaxation) -> Result<Self> {
        let (width, depth, units) = (layout.width(), layout.depths.len(), &layout.widths);
        let of = |entry: usize| units.partition_point(|unit| unit.entries.end <= entry);
        let each = |value: &dyn Fn(usize) -> f32| {
            b.constant(Constant::F32((0..width).map(|entry| value(of(entry))).collect()), &[width])
        };
        Ok(Self {
            relaxation,
            units: table(b, [units.len(), width], |unit, entry| of(entry) == unit)?,
            firsts: table(b, [width, units.len()], |entry, unit| units[unit].entries.start == entry)?,
            budget: table(b, [depth, depth], |k, position| position < depth - k)?,
            order: table(b, [depth, depth], |entry, k| layout.depth_order[k] == entry)?,
            inside: table(b, [width, depth], |entry, depth| units[of(entry)].depth == Some(depth))?,
            outside: each(&|unit| f32::from(u8::from(units[unit].depth.is_none())))?,
            lengths: each(&|unit| (units[unit].entries.len() as f32).sqrt().recip())?,
        })
    }

    /// Soft gates of logits with the noise that is given, a standard Gumbel variable for each.
    ///
    /// Of each width unit at least the first entry is open: where all are closed, one half is added to its gate. The depth logits share
    /// one budget: gate k of the order is open with the probability that is left after the last k of their softmax.
    ///
    /// # Errors
    /// What the interpreter says, such as of shapes that do not fit.
    pub fn open(
        &self,
        b: &B,
        logits: &Entries<B::Value>,
        noise: Option<&Entries<B::Value>>,
    ) -> Result<Entries<B::Value>> {
        let Relaxation { temperature, offset } = self.relaxation;
        let relax = |logits: &B::Value, noise: Option<&B::Value>| {
            let noisy = noise.map(|noise| b.add(logits, noise)).transpose()?;
            let shifted = b.affine(noisy.as_ref().unwrap_or(logits), 1.0 / temperature, offset / temperature)?;
            b.unary(&shifted, Unary::Sigmoid)
        };
        let widths = relax(&logits.widths, noise.map(|noise| &noise.widths))?;
        let open = b.linear(&b.unary(&widths, Unary::Step)?, &self.units, None)?;
        let none = b.at_least(&b.affine(&open, -1.0, 1.0)?, 0.0)?;
        let widths = b.add(&widths, &b.affine(&b.linear(&none, &self.firsts, None)?, 0.5, 0.0)?)?;

        let below = b.add(&logits.depths, &b.affine(&b.max(&logits.depths, 1)?, -1.0, 0.0)?)?;
        let powers = b.unary(&below, Unary::Exp)?;
        let shares = b.div(&powers, &b.sum(&powers, 1)?)?;
        let left = b.linear(&shares, &self.budget, None)?;
        // The inverse of the sigmoid.
        let gone = b.at_least(&b.affine(&left, -1.0, 1.0 + EPS)?, LEAST)?;
        let odds = b.add(
            &b.unary(&b.affine(&left, 1.0, EPS)?, Unary::Log)?,
            &b.affine(&b.unary(&gone, Unary::Log)?, -1.0, 0.0)?,
        )?;
        let ordered = relax(&odds, noise.map(|noise| &noise.depths))?;
        Ok(Entries { widths, depths: b.linear(&ordered, &self.order, None)? })
    }

    /// Soft gates in the space in which architectures are compared, `[B, entries]`: hard widths (those of a module that can be skipped are
    /// soft, times its depth gate), each unit scaled to length 1 where it is open, hard depths; then all of length 1.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn normalised(&self, b: &B, gates: &Entries<B::Value>) -> Result<B::Value> {
        let skipped = b.mul(&gates.widths, &b.linear(&gates.depths, &self.inside, None)?)?;
        let hard = b.mul(&b.unary(&gates.widths, Unary::Harden)?, &self.outside)?;
        let widths = b.mul(&b.add(&skipped, &hard)?, &self.lengths)?;
        let rows = b.concat(&[&widths, &b.unary(&gates.depths, Unary::Harden)?], 1)?;
        unit(b, &rows)
    }

    /// What each entry costs, as a share of all that an entry reaches: for [`share`](Self::share).
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn costs(b: &B, resources: &Resources) -> Result<Entries<B::Value>> {
        let all = resources.prunable();
        let part = |costs: &[f64]| {
            b.constant(Constant::F32(costs.iter().map(|cost| (cost / all) as f32).collect()), &[costs.len()])
        };
        Ok(Entries { widths: part(&resources.units)?, depths: part(&resources.modules)? })
    }

    /// What is left of everything that an entry reaches where the gates are hardened, `[B, 1]`: 1 where all are open
    /// ([`Resources::left`], with gradients straight through).
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn share(&self, b: &B, gates: &Entries<B::Value>, costs: &Entries<B::Value>) -> Result<B::Value> {
        let depths = b.unary(&gates.depths, Unary::Harden)?;
        let modules = b.add(&b.linear(&depths, &self.inside, None)?, &self.outside)?;
        let widths = b.mul(&b.unary(&gates.widths, Unary::Harden)?, &modules)?;
        b.add(&b.sum(&b.mul(&widths, &costs.widths)?, 1)?, &b.sum(&b.mul(&depths, &costs.depths)?, 1)?)
    }

    /// A vector `[B, entries]` in its two parts.
    ///
    /// # Errors
    /// What the interpreter says, such as of a vector of another length.
    pub fn parts(&self, b: &B, vector: &B::Value) -> Result<Entries<B::Value>> {
        let width = b.fact(&self.outside).shape.first().and_then(|dim| dim.known()).unwrap_or_default();
        Ok(Entries {
            widths: b.narrow_like(vector, 1, 0, &self.outside, 0)?,
            depths: b.narrow_like(vector, 1, width, &self.budget, 0)?,
        })
    }
}

/// Rows `[B, D]` of length 1.
///
/// # Errors
/// What the interpreter says.
pub fn unit<B: Backend>(b: &B, rows: &B::Value) -> Result<B::Value> {
    let lengths = b.unary(&b.sum(&b.mul(rows, rows)?, 1)?, Unary::Sqrt)?;
    b.div(rows, &b.at_least(&lengths, SHORTEST)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        counter::{At, Rule},
        noise::Generator,
        reference::{Reference, Value},
        unet::UNetConfig,
    };

    fn given(shape: [usize; 2], data: Vec<f32>) -> Value {
        Reference::default().constant(Constant::F32(data), &shape).unwrap()
    }

    fn near(found: f32, expected: f64) {
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    /// The middle of the published network goes first, its ends last; of each unit something stays.
    #[test]
    fn gates_by_hand() {
        let layout = VectorLayout::of(&UNetConfig::sd21_base()).unwrap();
        let b = Reference::default();
        let gating = Gating::new(&b, &layout, Relaxation::default()).unwrap();
        let mut logits = vec![0.0; 1620];
        // The first unit is closed throughout, one group of the second.
        logits[..32].fill(-5.0);
        logits[40] = -5.0;
        let logits = gating.parts(&b, &given([1, 1620], logits)).unwrap();
        let gates = gating.open(&b, &logits, None).unwrap();
        let (widths, depths) = (gates.widths.floats().unwrap(), gates.depths.floats().unwrap());
        // sigmoid(-2 / 0.4), and one half more for the first; sigmoid(3 / 0.4)
        for (entry, expected) in
            [(0, 0.506_692_9), (1, 0.006_692_9), (31, 0.006_692_9), (39, 0.999_447_2), (40, 0.006_692_9)]
        {
            near(widths[entry], expected);
        }
        // Equal logits: position k is left with 1 - k/14, whose odds are shifted by the offset.
        for (k, &entry) in layout.depth_order.iter().enumerate().skip(1) {
            let left = 1.0 - k as f64 / 14.0;
            near(depths[entry], 1.0 / (1.0 + (-((left / (1.0 - left)).ln() + 3.0) / 0.4).exp()));
        }
        // Noise is added before the offset.
        let noise = gating.parts(&b, &given([1, 1620], vec![-3.5; 1620])).unwrap();
        let gates = gating.open(&b, &logits, Some(&noise)).unwrap();
        near(gates.widths.floats().unwrap()[39], 1.0 / (1.0 + (0.5_f64 / 0.4).exp()));
    }

    #[test]
    fn the_share_is_the_sum_over_the_vector() {
        let config = UNetConfig::sd21_base();
        let layout = VectorLayout::of(&config).unwrap();
        let at = At { height: 32, width: 32, tokens: 77 };
        let resources = Resources::of(&config, &layout, at, Rule::Aptp).unwrap();
        let b = Reference::default();
        let gating = Gating::new(&b, &layout, Relaxation::default()).unwrap();
        let costs = Gating::costs(&b, &resources).unwrap();
        // From nothing to everything, soft.
        let rows: Vec<f32> = [0.0, 0.3, 0.7, 1.0]
            .into_iter()
            .flat_map(|shift| Generator::new(7).rand(1620).into_iter().map(move |u| (u - 0.5 + shift).clamp(0.0, 1.0)))
            .collect();
        let gates = gating.parts(&b, &given([4, 1620], rows.clone())).unwrap();
        let shares = gating.share(&b, &gates, &costs).unwrap();
        assert_eq!(shares.shape(), [4, 1]);
        for (share, row) in shares.floats().unwrap().iter().zip(rows.chunks(1620)) {
            let hard: Vec<f64> = row.iter().map(|gate| f64::from(u8::from(*gate >= 0.5))).collect();
            near(*share, resources.left(&hard).unwrap() / resources.prunable());
        }
    }

    #[test]
    fn architectures_are_compared_by_unit() {
        let layout = VectorLayout::of(&UNetConfig::sd21_base()).unwrap();
        let b = Reference::default();
        let gating = Gating::new(&b, &layout, Relaxation::default()).unwrap();
        let normalised = |data: Vec<f32>| {
            let gates = gating.parts(&b, &given([1, 1620], data)).unwrap();
            gating.normalised(&b, &gates).unwrap().floats().unwrap().to_vec()
        };
        // 70 units and 14 modules, each of length 1 before the last division.
        let whole = normalised(vec![1.0; 1620]);
        near(whole[0], (1.0 / 32.0_f64).sqrt() / 84.0_f64.sqrt());
        near(whole[1606], 84.0_f64.sqrt().recip());
        // A soft width counts as open, unless its module can be skipped: then it stays soft, times its depth gate.
        let mut soft = vec![1.0; 1620];
        soft[..64].fill(0.8);
        soft[1606] = 0.5;
        let soft = normalised(soft);
        near(soft[40] / soft[0], 0.4);
    }
}
