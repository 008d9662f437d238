//! Shapes whose dimensions may be symbols, so that one description serves every batch and picture size.

use crate::tensor::Dtype;
use std::{fmt, sync::Arc};

/// One dimension: a number, or an expression over named symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number known when the network is described.
    Known(usize),
    /// A named input dimension: `batch`, `height`.
    Symbol(Arc<str>),
    /// `floor((of + add) / by)`: what a strided convolution leaves.
    Strided {
        /// The dimension convolved over.
        of: Arc<Dim>,
        /// Padding minus kernel plus stride.
        add: i64,
        /// The stride.
        by: usize,
    },
    /// The product of two or more dimensions, at least one of them not known; a known factor comes first.
    Product(Arc<[Dim]>),
}

impl Dim {
    /// A named dimension.
    pub fn symbol(name: &str) -> Self {
        Self::Symbol(name.into())
    }

    /// The number, where it is one.
    pub fn known(&self) -> Option<usize> {
        match self {
            Self::Known(n) => Some(*n),
            _ => None,
        }
    }

    /// `floor((self + add) / by)`; none where a known dimension is too small.
    pub fn strided(&self, add: i64, by: usize) -> Option<Self> {
        match self {
            _ if add == 0 && by == 1 => Some(self.clone()),
            Self::Known(n) => {
                let padded = i64::try_from(*n).ok()?.checked_add(add)?;
                let out = usize::try_from(padded).ok()?.checked_div(by)?;
                (out > 0).then_some(Self::Known(out))
            }
            _ => Some(Self::Strided { of: Arc::new(self.clone()), add, by }),
        }
    }

    /// The product of `dims`: known factors multiplied, nested products flattened, symbols kept in order.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Self {
        let (mut known, mut symbols) = (1, Vec::new());
        let mut add = |dim: &Dim| match dim {
            Self::Known(n) => known *= n,
            other => symbols.push(other.clone()),
        };
        for dim in dims {
            match dim {
                Self::Product(factors) => factors.iter().for_each(&mut add),
                other => add(other),
            }
        }
        match (known, symbols.as_slice()) {
            (n, []) => Self::Known(n),
            (1, [one]) => one.clone(),
            (1, _) => Self::Product(symbols.into()),
            (n, _) => Self::Product([Self::Known(n)].into_iter().chain(symbols).collect()),
        }
    }

    /// `self / by` for a product that `by` divides factor by factor; none otherwise.
    pub fn divided(&self, by: &Dim) -> Option<Self> {
        let factors = |dim: &Dim| match dim {
            Self::Product(factors) => factors.to_vec(),
            other => vec![other.clone()],
        };
        let (mut known, mut symbols) = (1, Vec::new());
        for factor in factors(self) {
            match factor {
                Self::Known(n) => known *= n,
                symbol => symbols.push(symbol),
            }
        }
        for factor in factors(by) {
            match factor {
                Self::Known(n) if n > 0 && known % n == 0 => known /= n,
                Self::Known(_) => return None,
                symbol => {
                    let at = symbols.iter().position(|s| *s == symbol)?;
                    symbols.remove(at);
                }
            }
        }
        Some(Self::product([Self::Known(known)].iter().chain(&symbols)))
    }

    /// The number for given values of the symbols; none where a symbol has no value.
    pub fn evaluate(&self, value: &dyn Fn(&str) -> Option<usize>) -> Option<usize> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Symbol(name) => value(name),
            Self::Strided { of, add, by } => {
                Self::Known(of.evaluate(value)?).strided(*add, *by).and_then(|dim| dim.known())
            }
            Self::Product(factors) => factors.iter().map(|dim| dim.evaluate(value)).product(),
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Known(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Symbol(name) => f.write_str(name),
            Self::Strided { of, add, by: 1 } => write!(f, "({of} {add:+})"),
            Self::Strided { of, add: 0, by } => write!(f, "floor({of}/{by})"),
            Self::Strided { of, add, by } => write!(f, "floor(({of} {add:+})/{by})"),
            Self::Product(factors) => {
                f.write_str(&factors.iter().map(ToString::to_string).collect::<Vec<_>>().join("*"))
            }
        }
    }
}

/// Dimensions, outermost first.
pub type Shape = Vec<Dim>;

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Shape,
}

impl Fact {
    /// A fact from anything that converts into dimensions.
    pub fn new<D: Into<Dim>>(dtype: Dtype, shape: impl IntoIterator<Item = D>) -> Self {
        Self { dtype, shape: shape.into_iter().map(Into::into).collect() }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The shape in numbers, where every dimension is one.
    pub fn known(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(Dim::known).collect()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims = self.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{}[{dims}]", self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_and_product_dimensions_evaluate_to_what_they_print() {
        let height = Dim::symbol("height");
        let halved = height.strided(1, 2).unwrap();
        assert_eq!(halved.to_string(), "floor((height +1)/2)");
        let area = Dim::product([&halved, &Dim::Known(4), &Dim::symbol("width")]);
        assert_eq!(area.to_string(), "4*floor((height +1)/2)*width");
        let values = |name: &str| [("height", 65), ("width", 3)].iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        assert_eq!(area.evaluate(&values), Some(33 * 4 * 3));
        assert_eq!(Dim::symbol("depth").evaluate(&values), None);
    }

    #[test]
    fn division_cancels_factors_and_refuses_remainders() {
        let [a, b] = [Dim::symbol("a"), Dim::symbol("b")];
        let product = Dim::product([&a, &Dim::Known(6), &b, &a]);
        assert_eq!(product.divided(&a), Some(Dim::product([&Dim::Known(6), &b, &a])));
        assert_eq!(product.divided(&Dim::Known(3)), Some(Dim::product([&Dim::Known(2), &a, &b, &a])));
        assert_eq!(product.divided(&Dim::Known(4)), None);
        assert_eq!(product.divided(&Dim::symbol("c")), None);
        assert_eq!(product.divided(&product), Some(Dim::Known(1)));
    }

    #[test]
    fn a_kernel_larger_than_its_side_leaves_nothing() {
        assert_eq!(Dim::Known(2).strided(-2, 1), None);
        assert_eq!(Dim::Known(3).strided(-2, 1), Some(Dim::Known(1)));
    }
}
