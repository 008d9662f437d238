//! A graph as ONNX Runtime sees it after it froze dimensions and optimised: what it asks providers about.

use super::{Engine, Error, Result, network::failure};
use crate::onnx::{
    DataType, Dimension, DimensionValue, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
use ort::{
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    sys::ONNXTensorElementDataType,
    value::ValueType,
};
use pleach_model::files::read_bounded;
use std::{collections::BTreeMap, path::Path};

/// The largest graph: protobuf messages end there.
const LARGEST: u64 = 1 << 31;

impl Engine {
    /// The graph `graph` (the bytes of one, called `name` in errors) with `dimensions` fixed, and optimised as it is for every provider:
    /// constants are folded (and shapes, once dimensions are fixed), and nodes joined into standard operators. Weights that it names lie in
    /// `folder`, where a temporary file is written; those that stay as they were are not copied.
    ///
    /// # Errors
    /// [`Error::Runtime`], [`Error::Files`].
    pub(crate) fn optimised(
        &self,
        name: &str,
        graph: &[u8],
        folder: &Path,
        dimensions: &BTreeMap<String, usize>,
    ) -> Result<Vec<u8>> {
        let out = folder.join("optimised.onnx");
        let open = || -> ort::Result<Session> {
            let mut builder = self.reader(folder, GraphOptimizationLevel::Level1)?;
            for (name, &size) in dimensions {
                builder = builder.with_dimension_override(name, i64::try_from(size).unwrap_or(i64::MAX))?;
            }
            builder
                .with_config_entry("session.save_model_format", "ONNX")?
                .with_optimized_model_path(&out)?
                .commit_from_memory(graph)
        };
        open().map(drop).map_err(failure(name, "optimise it", None))?;
        read_bounded(&out, LARGEST).map_err(Error::from)
    }

    /// The outputs of a graph with the types and shapes that ONNX Runtime infers. One of unknown rank looks like a scalar.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub(crate) fn inferred(&self, name: &str, graph: &[u8], folder: &Path) -> Result<Vec<ValueInfoProto>> {
        let open = || self.reader(folder, GraphOptimizationLevel::Disable)?.commit_from_memory(graph);
        let session = open().map_err(failure(name, "infer its shapes", None))?;
        Ok(session.outputs().iter().map(|output| declared(output.name(), output.dtype())).collect())
    }

    /// What opens a graph that will never run.
    fn reader(&self, folder: &Path, optimisation: GraphOptimizationLevel) -> ort::Result<SessionBuilder> {
        let weights = folder.to_str().ok_or_else(|| ort::Error::new("the temporary folder's name is not Unicode"))?;
        let builder = Session::builder(self.environment())?
            .with_optimization_level(optimisation)?
            .with_config_entry("session.load_model_format", "ONNX")?
            .with_config_entry("session.model_external_initializers_file_folder_path", weights)?
            .with_config_entry("session.disable_prepacking", "1")?;
        Ok(builder)
    }
}

fn declared(name: &str, kind: &ValueType) -> ValueInfoProto {
    let ValueType::Tensor { ty, shape, .. } = kind else {
        return ValueInfoProto { name: name.to_owned(), ..ValueInfoProto::default() };
    };
    // ONNX Runtime numbers types as ONNX does.
    let number = ONNXTensorElementDataType::from(*ty) as i32;
    let dim = shape.iter().map(|&size| Dimension {
        value: (size >= 0).then_some(DimensionValue::DimValue(size)),
        ..Dimension::default()
    });
    let tensor = TensorTypeProto {
        elem_type: DataType::try_from(number).unwrap_or(DataType::Undefined).into(),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..ValueInfoProto::default() }
}
