//! A network with fixed buffers.

use super::{
    Declared, Dim, Error, Network, Result, TensorRef,
    declared::Sizes,
    network::{failure, with_element, write},
};
use half::{bf16, f16};
use ort::{
    memory::Allocator,
    session::{IoBinding, Session},
    value::{self, IntoTensorElementType as _},
};
use pleach_model::tensor::Dtype;
use std::fmt;

/// A network whose inputs and outputs have fixed shapes and lie in buffers that are used again for every run.
///
/// ```no_run
/// # use pleach_runtime::engine::{Network, Result, TensorRef};
/// # fn denoise(unet: &mut Network, latents: &[f32], context: &[f32]) -> Result<()> {
/// let shape = [2, 4, 64, 64];
/// let inputs: [(&str, &[usize]); 3] = [("sample", &shape), ("timestep", &[1]), ("encoder_hidden_states", &[2, 77, 1024])];
/// let mut bound = unet.bind(&inputs, &[("out_sample", &shape)])?;
/// bound.set("encoder_hidden_states", TensorRef::new(&[2, 77, 1024], context)?)?;
/// for t in [999.0f32, 499.0] {
///     bound.set("timestep", TensorRef::new(&[1], &[t])?)?;
///     bound.set("sample", TensorRef::new(&shape, latents)?)?;
///     bound.run()?;
///     let noise = bound.output("out_sample")?.to_f32();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Bound<'n> {
    network: &'n mut Network,
    binding: IoBinding,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
}

/// Memory that ONNX Runtime reads from or writes to.
struct Buffer {
    declared: Declared,
    shape: Vec<usize>,
    value: value::DynTensor,
}

impl fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("network", &self.network.name).finish_non_exhaustive()
    }
}

impl<'n> Bound<'n> {
    pub(super) fn new(
        network: &'n mut Network,
        inputs: &[(&str, &[usize])],
        outputs: &[(&str, &[usize])],
    ) -> Result<Self> {
        let given = network.arrange(inputs, "input", &network.inputs)?;
        let wanted = network.arrange(outputs, "output", &network.outputs)?;
        let mut sizes = Sizes::new();
        for (declared, shape) in network.inputs.iter().zip(&given) {
            declared.note_sizes(shape, &mut sizes);
        }
        let buffers = |declared: &[Declared], shapes: &[&[usize]]| -> Result<Vec<Buffer>> {
            let pairs = declared.iter().zip(shapes);
            pairs.map(|(declared, shape)| Buffer::new(&network.name, declared, shape, &sizes)).collect()
        };
        let (inputs, mut outputs) = (buffers(&network.inputs, &given)?, buffers(&network.outputs, &wanted)?);
        let binding = bind(&network.session, &inputs, &mut outputs);
        let binding = binding.map_err(failure(&network.name, "bind tensors", None))?;
        Ok(Self { network, binding, inputs, outputs })
    }

    /// Writes an input, converted to the declared type; it keeps its value until it is written again. One element is repeated to
    /// fill what is declared as a scalar or as one number per item of the batch.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Shape`] where the shape is not the one bound, [`Error::Element`].
    pub fn set(&mut self, name: &str, tensor: TensorRef<'_>) -> Result<()> {
        let network = &self.network.name;
        let Some(buffer) = self.inputs.iter_mut().find(|buffer| buffer.declared.name == name) else {
            return Err(Error::unknown(network, "input", name, &self.network.inputs));
        };
        buffer.declared.fit(network, tensor.shape(), &Sizes::new())?;
        buffer.write(network, tensor)
    }

    /// Runs the network on what was written.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Runtime`].
    pub fn run(&mut self) -> Result<()> {
        let Network { name, session, cancellation, .. } = &mut *self.network;
        let failed = failure(name, "run it", cancellation.as_ref());
        match &*cancellation {
            None => session.run_binding(&self.binding),
            Some(cancellation) => {
                cancellation.check(name)?;
                session.run_binding_with_options(&self.binding, cancellation.run_options())
            }
        }
        .map_err(failed)?;
        Ok(())
    }

    /// An output of the last run; zeros before the first.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn output(&self, name: &str) -> Result<TensorRef<'_>> {
        let network = &self.network.name;
        match self.outputs.iter().find(|buffer| buffer.declared.name == name) {
            Some(buffer) => buffer.read(network),
            None => Err(Error::unknown(network, "output", name, &self.network.outputs)),
        }
    }
}

fn bind(session: &Session, inputs: &[Buffer], outputs: &mut [Buffer]) -> ort::Result<IoBinding> {
    let mut binding = session.create_binding()?;
    for input in inputs {
        binding.bind_input(&input.declared.name, &input.value)?;
    }
    for output in outputs {
        binding.bind_output(&output.declared.name, &mut output.value)?;
    }
    Ok(binding)
}

impl Buffer {
    fn new(network: &str, declared: &Declared, shape: &[usize], sizes: &Sizes<'_>) -> Result<Self> {
        let shape = declared.fit(network, shape, sizes)?;
        let kind = with_element!(declared.dtype, T => T::into_tensor_element_type());
        let value = value::DynTensor::new(&Allocator::default(), kind, shape.as_slice());
        let value = value.map_err(failure(network, "allocate a tensor", None))?;
        let declared = Declared { dims: Some(shape.iter().copied().map(Dim::Fixed).collect()), ..declared.clone() };
        Ok(Self { declared, shape, value })
    }

    fn write(&mut self, network: &str, tensor: TensorRef<'_>) -> Result<()> {
        with_element!(self.declared.dtype, T => {
            let elements = self.value.try_extract_tensor_mut::<T>().map_err(failure(network, "lend a buffer", None))?.1;
            write(network, &self.declared, tensor, elements)
        })
    }

    fn read(&self, network: &str) -> Result<TensorRef<'_>> {
        with_element!(self.declared.dtype, T => {
            let elements = self.value.try_extract_tensor::<T>().map_err(failure(network, "lend a buffer", None))?.1;
            TensorRef::new(&self.shape, elements)
        })
    }
}
