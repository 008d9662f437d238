//! The prompt router of APTP (Ganjdanesh et al. 2024): which expert draws a prompt.
//!
//! A linear predictor turns the sentence's embedding into logits of an architecture; the expert is the one whose stored gates are
//! nearest to the gates of these logits. Tensor names are those of the published files.

use crate::{
    backend::{Backend, Constant},
    error::Result,
    gating::{Entries, Gating, Relaxation},
    layers::Linear,
    noise::Generator,
    op::Extent,
    params::Params,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};

/// Sizes and rules of a router.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// Features of a sentence embedding.
    pub features: usize,
    /// Experts.
    pub experts: usize,
    /// From logits to gates.
    pub relaxation: Relaxation,
    /// Noise on the logits of a prompt.
    #[serde(default)]
    pub noise: RoutingNoise,
}

/// Noise on the logits of a prompt. Either way routing is a pure function of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingNoise {
    /// None.
    #[default]
    None,
    /// The median of what was added while the router was learnt: each gate is as it was more often than not.
    Median,
    /// What the released code draws for a batch of one prompt: the same first numbers of one stream for every unit.
    Published,
}

impl RoutingNoise {
    /// For the logits of a row, `[1, entries]`; none where nothing is added.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn entries<B: Backend>(
        self,
        b: &B,
        layout: &VectorLayout,
        gating: &Gating<B>,
    ) -> Result<Option<Entries<B::Value>>> {
        let noise = match self {
            Self::None => return Ok(None),
            Self::Median => vec![GUMBEL_MEDIAN; layout.len()],
            Self::Published => published_noise(layout),
        };
        Ok(Some(gating.parts(b, &b.constant(Constant::F32(noise), &[1, layout.len()])?)?))
    }
}

/// Median of a standard Gumbel variable, `-ln(ln 2)`. With it as noise a gate is open if its noisy logit is open more often than not.
pub const GUMBEL_MEDIAN: f32 = 0.366_512_92;

/// `-log(-log(u))` of a uniform number: a standard Gumbel variable, whose mean is 0.577. As in the released code the logarithms are
/// kept finite by 1e-20.
pub fn gumbel(uniform: f32) -> f32 {
    const TINY: f32 = 1e-20;
    -(-(uniform + TINY).ln() + TINY).ln()
}

/// The noise that the released code routes a single prompt with: a generator with seed 0 for each unit. `[1, entries]`.
pub fn published_noise(layout: &VectorLayout) -> Vec<f32> {
    let lengths = layout.widths.iter().map(|width| width.entries.len()).chain([layout.depths.len()]);
    lengths.flat_map(|length| Generator::new(0).rand(length).into_iter().map(gumbel)).collect()
}

/// The linear layers from a sentence embedding to logits, one for each unit and one for the depths.
pub struct Predictor<B: Backend> {
    widths: Vec<Linear<B>>,
    depths: Linear<B>,
}

impl<B: Backend> Predictor<B> {
    /// `mh_fc.{i}.weight [entries of unit i, features]` and `.bias`.
    ///
    /// # Errors
    /// A parameter is missing or has another shape.
    pub fn new(layout: &VectorLayout, features: usize, p: &Params<B>) -> Result<Self> {
        let layer = |i: usize, entries: usize| Linear::new(&p.at(format_args!("mh_fc.{i}")), features, entries, true);
        let widths = layout.widths.iter().enumerate().map(|(i, width)| layer(i, width.entries.len()));
        Ok(Self { widths: widths.collect::<Result<_>>()?, depths: layer(layout.widths.len(), layout.depths.len())? })
    }

    /// `[B, features]` to logits.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn forward(&self, b: &B, sentences: &B::Value) -> Result<Entries<B::Value>> {
        let widths = self.widths.iter().map(|layer| layer.forward(b, sentences)).collect::<Result<Vec<_>>>()?;
        let widths = b.concat(&widths.iter().collect::<Vec<_>>(), 1)?;
        Ok(Entries { widths, depths: self.depths.forward(b, sentences)? })
    }
}

/// Predictor and experts.
pub struct Router<B: Backend> {
    predictor: Predictor<B>,
    gating: Gating<B>,
    noise: Option<Entries<B::Value>>,
    experts: B::Value,
}

impl<B: Backend> Router<B> {
    /// The predictor's tensors, and `embedding_gs [experts, entries]`: the soft gates of each expert.
    ///
    /// # Errors
    /// A parameter is missing or has another shape.
    pub fn new(config: &RouterConfig, layout: &VectorLayout, p: &Params<B>) -> Result<Self> {
        let b = p.backend();
        let gating = Gating::new(b, layout, config.relaxation)?;
        Ok(Self {
            predictor: Predictor::new(layout, config.features, p)?,
            experts: p.get("embedding_gs", &[config.experts, layout.len()])?,
            noise: config.noise.entries(b, layout, &gating)?,
            gating,
        })
    }

    /// Cosine between the architecture of each sentence `[B, features]` and each expert: `[B, experts]`.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn forward(&self, b: &B, sentences: &B::Value) -> Result<B::Value> {
        let gates = self.gating.open(b, &self.predictor.forward(b, sentences)?, self.noise.as_ref())?;
        let experts = self.gating.normalised(b, &self.gating.parts(b, &self.experts)?)?;
        b.linear(&self.gating.normalised(b, &gates)?, &experts, None)
    }

    /// It, choosing between these of the experts alone, which are counted anew.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn between(self, b: &B, experts: &[usize]) -> Result<Self> {
        let rows = b.constant(Constant::I64(experts.iter().map(|&i| i as i64).collect()), &[experts.len()])?;
        Ok(Self { experts: b.embedding(&self.experts, &rows)?, ..self })
    }

    /// Sentences `[B, features]` to experts, of which there are at least two.
    ///
    /// # Errors
    /// What the interpreter says.
    pub fn choose(&self, b: &B, sentences: &B::Value) -> Result<Choice<B::Value>> {
        let scores = self.forward(b, sentences)?;
        let (first, second) = b.halves(&b.largest(&scores, 1, 2)?, 1)?;
        let margin = b.add(&first, &b.affine(&second, -1.0, 0.0)?)?;
        let (expert, margin) = (b.arg_max(&scores, 1)?, b.reshape(&margin, &[Extent::Keep(0)])?);
        Ok(Choice { expert, scores, margin })
    }
}

/// Where the prompts of a batch go.
#[derive(Clone, Debug)]
pub struct Choice<V> {
    /// Number of the expert with the highest score, the first of equals: `[B]`.
    pub expert: V,
    /// What [`Router::forward`] gives: `[B, experts]`.
    pub scores: V,
    /// The highest score less the next one: `[B]`.
    pub margin: V,
}

/// Which expert a prompt goes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Number of the expert with the highest score; the first of equals.
    pub expert: usize,
    /// Its score less the next one's; 0 where there is one expert.
    pub margin: f32,
    /// Score of each expert.
    pub scores: Vec<f32>,
}

impl Route {
    /// The route that scores say.
    pub fn of(scores: &[f32]) -> Self {
        let best = |left_out: Option<usize>| {
            let others = (0..scores.len()).filter(|i| Some(*i) != left_out);
            others.rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        };
        let expert = best(None);
        let margin = expert.zip(best(expert)).map_or(0.0, |(first, second)| scores[first] - scores[second]);
        Self { expert: expert.unwrap_or_default(), margin, scores: scores.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        params::{Listing, Source},
        reference::{Reference, Value},
        tensor::TensorSpec,
        unet::UNetConfig,
    };

    /// The numbers in the published notes on routing a single prompt.
    #[test]
    fn noise_of_a_batch_of_one() {
        let layout = VectorLayout::of(&UNetConfig::sd21_base()).unwrap();
        let noise = published_noise(&layout);
        assert_eq!(noise.len(), 1620);
        let near = |found: f32, expected: f32| assert!((found - expected).abs() < 2e-6, "{found} is not {expected}");
        // The first ResNet of 32 groups, the first attention of 5 heads, the 14 depths.
        for (i, expected) in
            [(0, 0.355_729), (1, 1.333_031), (7, 2.213_489), (12, -1.335_531), (26, 3.027_941), (31, 2.653_249)]
        {
            near(noise[i], expected);
        }
        near(noise[64 + 4], -0.165_117);
        near(noise[64 + 5], 0.355_729);
        near(noise[1606], 0.355_729);
        near(noise[1619], -0.575_878);
        near(GUMBEL_MEDIAN, gumbel(0.5));
    }

    #[test]
    fn the_nearest_expert_and_how_near_the_next_is() {
        let route = Route::of(&[0.25, 0.75, 0.5]);
        assert_eq!((route.expert, route.margin), (1, 0.25));
        assert_eq!(Route::of(&[0.5, 0.5]), Route { expert: 0, margin: 0.0, scores: vec![0.5, 0.5] });
        assert_eq!(Route::of(&[0.5]).margin, 0.0);
    }

    /// Two experts, of which one has lost its first unit but for one group: the predictor's bias alone decides.
    struct Given(f32);

    impl Source<Reference> for Given {
        fn parameter(&self, b: &Reference, spec: &TensorSpec) -> Result<Value> {
            let count = spec.shape.iter().product();
            let data = match spec.name.as_str() {
                "embedding_gs" => (0..count).map(|i| if (1621..1652).contains(&i) { 0.0 } else { 1.0 }).collect(),
                "mh_fc.0.bias" => (0..count).map(|i| if i == 0 { 5.0 } else { self.0 }).collect(),
                _ => vec![0.0; count],
            };
            b.constant(Constant::F32(data), &spec.shape)
        }
    }

    #[test]
    fn prompts_go_to_the_nearest_expert() {
        let layout = VectorLayout::of(&UNetConfig::sd21_base()).unwrap();
        let config =
            RouterConfig { features: 3, experts: 2, relaxation: Relaxation::default(), noise: RoutingNoise::None };
        let b = Reference::default();
        let sentences = b.constant(Constant::F32(vec![0.0; 6]), &[2, 3]).unwrap();
        for (bias, expert) in [(5.0, 0), (-5.0, 1)] {
            let source = Listing::new(Given(bias));
            let router = Router::new(&config, &layout, &Params::new(&b, &source)).unwrap();
            let scores = router.forward(&b, &sentences).unwrap();
            assert_eq!(scores.shape(), [2, 2]);
            let routes: Vec<Route> = scores.floats().unwrap().chunks(2).map(Route::of).collect();
            assert_eq!(routes[0], routes[1]);
            assert_eq!(routes[0].expert, expert, "{routes:?}");
            assert!(routes[0].margin > 0.0);
            let choice = router.choose(&b, &sentences).unwrap();
            assert_eq!(choice.expert.integers().unwrap(), [expert as i64; 2]);
            assert_eq!(choice.margin.floats().unwrap(), [routes[0].margin; 2]);
            // The same two the other way round.
            let swapped = router.between(&b, &[1, 0]).unwrap().choose(&b, &sentences).unwrap();
            assert_eq!(swapped.expert.integers().unwrap(), [1 - expert as i64; 2]);
            // 70 layers for widths, one for depths, and the experts: the published sizes.
            let specs = source.into_specs();
            assert_eq!(specs.len(), 2 * 71 + 1);
            assert_eq!(specs.iter().map(|spec| spec.numel()).sum::<usize>(), 1620 * 3 + 1620 + 2 * 1620);
        }
    }
}
