//! The graphs as text, so that a change of what is written is seen.

use pleach_exporter::{
    error::Result,
    graph::{Graph, record},
    lower::{About, Layout, Target, lower},
    network::Network,
    quantize::Scheme,
};
use pleach_model::{
    architecture::Architecture,
    backend::Backend,
    clip::ClipTextConfig,
    layers::{Conv2d, GroupNorm, Linear},
    manifest::Precision,
    op::{Attention, Extent, Unary},
    shape::{Dim, Fact},
    tensor::Dtype,
    unet::UNetConfig,
    vae::VaeConfig,
};
use pleach_runtime::onnx::{
    AttributeProto, DataType, DimensionValue, ModelProto, TensorProto, TypeValue, ValueInfoProto,
};
use std::{collections::BTreeMap, fmt::Write};

/// A picture normalised, convolved, attended to, doubled: every form that is not a single node.
fn small(dtype: Dtype) -> Result<Graph> {
    record(dtype, |b, p| {
        let shape = [Dim::symbol("batch"), 32.into(), Dim::symbol("height"), Dim::symbol("width")];
        let x = b.with(|recorder| recorder.input("sample", Fact::new(Dtype::F32, shape)));
        let x = b.cast(&x, dtype)?;
        let h = GroupNorm::new(&p.at("blocks.0.norm"), 8, 32, 1e-6)?.forward(b, &x)?;
        let h = Conv2d::same(&p.at("blocks.0.conv"), 32, 32, 3)?.forward(b, &b.silu(&h)?)?;
        let rows = b.reshape(&h, &[Extent::Keep(0), Extent::Is(32), Extent::Rest])?;
        let rows = b.permute(&rows, &[0, 2, 1])?;
        let path = "blocks.0.attn".into();
        let rows = {
            let _scope = b.scope(&path);
            let q = Linear::new(&p.at("blocks.0.attn.to_q"), 32, 32, false)?.forward(b, &rows)?;
            let attention = Attention { heads: 4, scale: 0.25, causal: false, upcast: false };
            b.attention(&q, &rows, &rows, None, attention)?
        };
        let (value, gate) = b.halves(&Linear::new(&p.at("blocks.0.ff"), 32, 64, true)?.forward(b, &rows)?, 2)?;
        let rows = b.mul(&value, &b.unary(&gate, Unary::Gelu)?)?;
        let h = b.reshape_like(&b.permute(&rows, &[0, 2, 1])?, &h)?;
        let small = Conv2d::new(&p.at("down"), 32, 32, 3, pleach_model::op::Conv2d { stride: 2, padding: [1; 4] })?;
        let large = b.upsample2x(&small.forward(b, &h)?, Some(&x))?;
        Ok(vec![("out_sample".to_owned(), b.cast(&b.affine(&large, 0.5, 1.0)?, Dtype::F32)?)])
    })
}

fn lowered(graph: &Graph, target: &Target) -> ModelProto {
    let metadata = [("pleach.network".to_owned(), "small".to_owned())];
    let about = About { name: "small", data_file: "model.onnx_data", metadata: &metadata };
    lower(graph, &Layout::of(graph), target, &Scheme::default(), about).unwrap()
}

fn text(model: &ModelProto) -> String {
    let mut text = String::new();
    let opsets: Vec<String> =
        model.opset_import.iter().map(|set| format!("{:?} {}", set.domain, set.version)).collect();
    writeln!(text, "ir {}, opsets {}, {}", model.ir_version, opsets.join(", "), model.producer_name).unwrap();
    for entry in &model.metadata_props {
        writeln!(text, "metadata {} = {}", entry.key, entry.value).unwrap();
    }
    let graph = model.graph.as_ref().unwrap();
    let values =
        graph.input.iter().map(|value| ("input", value)).chain(graph.output.iter().map(|value| ("output", value)));
    for (kind, value) in values {
        writeln!(text, "{kind} {}", declared(value)).unwrap();
    }
    for tensor in &graph.initializer {
        writeln!(text, "{}", initializer(tensor)).unwrap();
    }
    for node in &graph.node {
        let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
        let (outputs, inputs) = (node.output.join(", "), node.input.join(", "));
        writeln!(text, "{} {} ({inputs}) -> {outputs} {{{}}}", node.op_type, node.name, attributes.join(", ")).unwrap();
    }
    text
}

fn declared(value: &ValueInfoProto) -> String {
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        panic!("{} has no type", value.name)
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match &dim.value {
        Some(DimensionValue::DimValue(n)) => n.to_string(),
        Some(DimensionValue::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    });
    format!("{} {:?}[{}]", value.name, kind(tensor.elem_type), dims.collect::<Vec<_>>().join(", "))
}

fn kind(number: i32) -> DataType {
    DataType::try_from(number).unwrap()
}

fn initializer(tensor: &TensorProto) -> String {
    let external: Vec<String> =
        tensor.external_data.iter().map(|entry| format!("{} {}", entry.key, entry.value)).collect();
    let place = if external.is_empty() { "inline".to_owned() } else { external.join(", ") };
    format!("{} {:?}{:?} {place}", tensor.name, kind(tensor.data_type), tensor.dims)
}

fn attribute(attribute: &AttributeProto) -> String {
    let AttributeProto { name, i, f, s, ints, .. } = attribute;
    match (i, f, s) {
        (Some(i), _, _) => format!("{name} {i}"),
        (_, Some(f), _) => format!("{name} {f}"),
        (_, _, Some(s)) => format!("{name} {}", String::from_utf8_lossy(s)),
        _ => format!("{name} {ints:?}"),
    }
}

#[test]
fn the_portable_form() {
    insta::assert_snapshot!(text(&lowered(&small(Dtype::F32).unwrap(), &Target::PORTABLE)));
}

#[test]
fn the_cpu_form() {
    insta::assert_snapshot!(text(&lowered(&small(Dtype::F32).unwrap(), &Target::CPU)));
}

#[test]
fn half_precision() {
    insta::assert_snapshot!(text(&lowered(&small(Dtype::F16).unwrap(), &Target::PORTABLE)));
}

#[test]
fn the_cuda_form() {
    insta::assert_snapshot!(text(&lowered(&small(Dtype::F16).unwrap(), &Target::CUDA)));
}

/// How often each operator stands in the graphs of Stable Diffusion 2.1.
#[test]
fn operators_of_stable_diffusion() {
    let unet = Network::Unet { config: UNetConfig::sd21_base(), architecture: Architecture::full(), tokens: 77 };
    let vae = VaeConfig::stable_diffusion();
    let networks =
        [Network::TextEncoder(ClipTextConfig::sd2()), unet, Network::VaeDecoder(vae.clone()), Network::VaeEncoder(vae)];
    let mut text = String::new();
    for network in networks {
        let graph = network.record(Dtype::F32).unwrap();
        for target in network.targets(Precision::F16) {
            let model = lowered(&graph, target);
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for node in &model.graph.unwrap().node {
                *counts.entry(node.op_type.clone()).or_default() += 1;
            }
            let counts: Vec<String> = counts.iter().map(|(op, count)| format!("{op} {count}")).collect();
            writeln!(text, "{}, {}: {}", network.component(), target.name(), counts.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
