//! An opened graph, and running it on tensors of any size.

use super::{
    Bound, Cancellation, Declared, Element, Engine, Error, GraphFile, HostCache, Placement, ProviderKind, Providers,
    Result, Tensor, TensorRef, declared::Sizes, session,
};
use half::{bf16, f16};
use ort::{
    session::{Session, SessionInputValue},
    value::{self, PrimitiveTensorElementType},
};
use pleach_model::tensor::Dtype;
use std::{borrow::Cow, collections::BTreeMap, fmt, num::NonZeroUsize};

/// How a graph is opened.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    /// What computes it.
    pub providers: Providers,
    /// Sizes of named dimensions, for good: providers that compile a graph want all of them, others gain little.
    pub dimensions: BTreeMap<String, usize>,
    /// Threads of its own instead of the engine's.
    pub threads: Option<NonZeroUsize>,
    /// Where the optimised graph is kept for the next time.
    pub cache: HostCache,
    /// What stops its loading and its runs.
    pub cancellation: Option<Cancellation>,
}

/// A graph that ONNX Runtime has opened.
pub struct Network {
    pub(super) name: String,
    pub(super) session: Session,
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<Declared>,
    pub(super) cancellation: Option<Cancellation>,
    placement: Placement,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Network {
    pub(super) fn open(engine: &Engine, graph: &GraphFile, options: &NetworkOptions) -> Result<Self> {
        let (session, providers) = session::open(engine, graph, options)?;
        let placement =
            Placement::of(&session).map_err(failure(graph.name(), "say which provider computes what", None))?;
        tracing::info!("{}: {placement}", graph.name());
        for provider in providers.list().iter().filter(|provider| placement.nodes(provider.kind()) == 0) {
            let (name, total) = (graph.name(), placement.total());
            if provider.kind() != ProviderKind::Cpu {
                tracing::warn!("{} computes none of the {total} nodes of {name}", provider.kind());
            }
        }
        let fixed = |values: &[Declared]| values.iter().map(|value| value.fixed(&options.dimensions)).collect();
        Ok(Self {
            name: graph.name().to_owned(),
            session,
            inputs: fixed(&graph.facts().inputs),
            outputs: fixed(&graph.facts().outputs),
            cancellation: options.cancellation.clone(),
            placement,
        })
    }

    /// The graph's file as its bundle names it: `unet/model.onnx`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it takes.
    pub fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    /// What it gives.
    pub fn outputs(&self) -> &[Declared] {
        &self.outputs
    }

    /// Which provider computes how much of it.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Runs it once on all of its inputs, in any order, and returns all of its outputs in the declared order.
    ///
    /// Elements are converted to the declared types. One element is repeated to fill what is declared as a scalar or as one
    /// number per item of the batch.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::Shape`], [`Error::Element`], [`Error::Cancelled`], [`Error::Runtime`].
    pub fn run(&mut self, inputs: &[(&str, TensorRef<'_>)]) -> Result<Vec<Tensor>> {
        let given = self.arrange(inputs, "input", &self.inputs)?;
        let mut sizes = Sizes::new();
        for (declared, tensor) in self.inputs.iter().zip(&given) {
            declared.note_sizes(tensor.shape(), &mut sizes);
        }
        let mut values = Vec::with_capacity(given.len());
        for (declared, tensor) in self.inputs.iter().zip(given) {
            let shape = declared.fit(&self.name, tensor.shape(), &sizes)?;
            values.push((Cow::Owned(declared.name.clone()), feed(&self.name, declared, tensor, shape)?));
        }
        let failed = failure(&self.name, "run it", self.cancellation.as_ref());
        let outputs = match &self.cancellation {
            None => self.session.run(values),
            Some(cancellation) => {
                cancellation.check(&self.name)?;
                self.session.run_with_options(values, cancellation.run_options())
            }
        };
        let outputs = outputs.map_err(&failed)?;
        outputs.values().zip(&self.outputs).map(|(value, declared)| take(&value, declared).map_err(&failed)).collect()
    }

    /// Makes buffers for inputs and outputs of these shapes and binds them, to run it many times without allocating any.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::Shape`], [`Error::Runtime`].
    pub fn bind(&mut self, inputs: &[(&str, &[usize])], outputs: &[(&str, &[usize])]) -> Result<Bound<'_>> {
        Bound::new(self, inputs, outputs)
    }

    /// The values given by name, in the declared order.
    pub(super) fn arrange<T: Copy>(
        &self,
        given: &[(&str, T)],
        kind: &'static str,
        declared: &[Declared],
    ) -> Result<Vec<T>> {
        let position = |name: &str| declared.iter().position(|declared| declared.name == name);
        let mut values = vec![None; declared.len()];
        for &(name, value) in given {
            let slot = position(name).and_then(|position| values.get_mut(position)).filter(|slot| slot.is_none());
            *slot.ok_or_else(|| Error::unknown(&self.name, kind, name, declared))? = Some(value);
        }
        let missing = |name: &str| Error::Missing { network: self.name.clone(), kind, name: name.to_owned() };
        declared.iter().zip(values).map(|(declared, value)| value.ok_or_else(|| missing(&declared.name))).collect()
    }
}

/// Turns ONNX Runtime's errors into ours.
pub(super) fn failure<'a>(
    network: &'a str,
    doing: &'static str,
    cancellation: Option<&'a Cancellation>,
) -> impl Fn(ort::Error) -> Error + 'a {
    move |error| {
        let network = network.to_owned();
        if cancellation.is_some_and(Cancellation::is_cancelled) {
            return Error::Cancelled { network };
        }
        Error::Runtime { network, doing, message: error.message().to_owned() }
    }
}

/// Runs `$body` with `$type` standing for the Rust type of the elements.
macro_rules! with_element {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            Dtype::F32 => {
                type $type = f32;
                $body
            }
            Dtype::F16 => {
                type $type = f16;
                $body
            }
            Dtype::Bf16 => {
                type $type = bf16;
                $body
            }
            Dtype::I64 => {
                type $type = i64;
                $body
            }
            Dtype::I32 => {
                type $type = i32;
                $body
            }
        }
    };
}
pub(super) use with_element;

/// Writes `tensor` to `to`, converted; one element is repeated.
pub(super) fn write<T: Element>(network: &str, declared: &Declared, tensor: TensorRef<'_>, to: &mut [T]) -> Result<()> {
    let held =
        |element| Error::Element { network: network.to_owned(), name: declared.name.clone(), dtype: T::DTYPE, element };
    if tensor.numel() == to.len() {
        return T::convert(tensor.data(), to).map_err(held);
    }
    let mut one = [T::default()];
    T::convert(tensor.data(), &mut one).map_err(held)?;
    to.fill(one[0]);
    Ok(())
}

/// A tensor as ONNX Runtime takes it: in place where its type and size are right, converted otherwise.
fn feed<'v>(
    network: &str,
    declared: &Declared,
    tensor: TensorRef<'v>,
    shape: Vec<usize>,
) -> Result<SessionInputValue<'v>> {
    fn typed<'v, T: Element + PrimitiveTensorElementType + fmt::Debug>(
        network: &str,
        declared: &Declared,
        tensor: TensorRef<'v>,
        shape: Vec<usize>,
    ) -> Result<SessionInputValue<'v>> {
        let failed = failure(network, "take an input", None);
        let numel = shape.iter().product();
        if let Some(elements) = tensor.as_slice::<T>().filter(|elements| elements.len() == numel) {
            return Ok(value::TensorRef::from_array_view((shape, elements)).map_err(failed)?.into());
        }
        let mut elements = vec![T::default(); numel];
        write(network, declared, tensor, &mut elements)?;
        Ok(value::Tensor::from_array((shape, elements)).map_err(failed)?.into())
    }
    with_element!(declared.dtype, T => typed::<T>(network, declared, tensor, shape))
}

/// A copy of an output.
fn take(value: &value::DynValue, declared: &Declared) -> ort::Result<Tensor> {
    fn typed<T: Element + PrimitiveTensorElementType>(value: &value::DynValue) -> ort::Result<Tensor> {
        let (shape, elements) = value.try_extract_tensor::<T>()?;
        let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or_default()).collect();
        Tensor::new(shape, elements.to_vec()).map_err(ort::Error::wrap)
    }
    with_element!(declared.dtype, T => typed::<T>(value))
}
