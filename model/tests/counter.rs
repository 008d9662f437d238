//! The counter against the published sizes of Stable Diffusion 2.1.

use pleach_model::{
    architecture::{Architecture, SiteKind},
    clip::ClipTextConfig,
    counter::{self, At},
    noise::Generator,
    tensor::TensorSpec,
    unet::UNetConfig,
    vae::VaeConfig,
    vector::VectorLayout,
};

fn parameters(tensors: &[TensorSpec]) -> usize {
    tensors.iter().map(TensorSpec::numel).sum()
}

fn giga(macs: u64) -> f64 {
    (macs as f64 / 1e6).round() / 1e3
}

#[test]
fn stable_diffusion_2_1_has_its_published_parameters() {
    let unet = counter::unet(&UNetConfig::sd21_base(), &Architecture::full(), At::SD512).unwrap();
    assert_eq!((unet.tensors.len(), unet.parameters()), (686, 865_910_724));
    let vae = counter::vae_tensors(&VaeConfig::stable_diffusion()).unwrap();
    assert_eq!((vae.len(), parameters(&vae)), (248, 83_653_863));
    let text = counter::clip_text(&ClipTextConfig::sd2(), 77).unwrap();
    assert_eq!((text.tensors.len(), text.parameters()), (372, 340_387_840));
}

#[test]
fn macs_agree_with_the_three_rules_at_every_size() {
    let table = [
        (32, 77, 90.545, 94.046, 86.273),
        (64, 77, 402.129, 462.785, 339.103),
        (96, 77, 1074.553, 1385.978, 760.486),
        (96, 1, 1068.660, 1384.035, 758.543),
    ];
    for (side, tokens, exact, aptp, linear_conv) in table {
        let at = At { height: side, width: side, tokens };
        let macs = counter::unet(&UNetConfig::sd21_base(), &Architecture::full(), at).unwrap().macs();
        assert_eq!((giga(macs.exact), giga(macs.aptp), giga(macs.linear_conv)), (exact, aptp, linear_conv), "{at:?}");
    }
}

#[test]
fn modules_cost_what_aptp_counts() {
    let report = counter::unet(&UNetConfig::sd21_base(), &Architecture::full(), At::SD512).unwrap();
    for (module, expected) in [
        ("down_blocks.0.resnets.0", 7.563),
        ("down_blocks.0.attentions.1", 30.088),
        ("down_blocks.1.resnets.0", 5.879),
        ("down_blocks.2.attentions.0", 8.930),
        ("mid_block.attentions.0", 2.321),
        ("up_blocks.1.resnets.2", 10.072),
        ("up_blocks.3.resnets.0", 16.383),
        ("up_blocks.2.upsamplers.0", 15.102),
        ("down_blocks.1.downsamplers.0", 0.944),
        ("conv_in", 0.0485),
    ] {
        let found = report.macs_of(module).aptp as f64 / 1e9;
        assert!((found - expected).abs() < 6e-4, "{module}: {found} for {expected}");
    }
}

#[test]
fn the_architecture_vector_of_stable_diffusion_has_1606_widths() {
    let sites = counter::unet_sites(&UNetConfig::sd21_base()).unwrap();
    let widths = sites.iter().filter(|site| site.kind != SiteKind::Module);
    assert_eq!(widths.clone().count(), 70);
    assert_eq!(widths.map(|site| site.units).sum::<usize>(), 1606);
}

/// Parameters of a ResNet of Stable Diffusion 2.1 with so many of its 32 groups: APTP's exact count.
fn resnet(c_in: usize, c: usize, groups: usize) -> usize {
    let k = groups * c / 32;
    2 * c_in + (9 * c_in + 1) * k + 1281 * k + 2 * k + 9 * k * c + c + if c_in == c { 0 } else { c_in * c + c }
}

/// Parameters of a transformer of Stable Diffusion 2.1 with so many heads in its two attentions, and so many of the 32 groups of its
/// feed-forward layer.
fn transformer(c: usize, [heads, cross, groups]: [usize; 3]) -> usize {
    let w = groups * c / 8;
    let attention = 256 * heads * c + c + 128 * cross * c + 131_072 * cross + c;
    2 * c + 2 * (c * c + c) + 6 * c + attention + 2 * w * c + 2 * w + w * c + c
}

#[test]
fn every_architecture_has_the_parameters_of_the_closed_form() {
    let config = UNetConfig::sd21_base();
    let full = counter::unet(&config, &Architecture::full(), At::SD512).unwrap();
    let shape = |name: String| full.tensors.iter().find(|spec| spec.name == name).unwrap().shape.clone();
    let layout = VectorLayout::of(&config).unwrap();
    let mut draw = Generator::new(11);
    let mut totals = std::collections::BTreeSet::new();
    for round in 0..40 {
        let share = 0.05 + 0.9 * f64::from(round) / 40.0;
        let open: Vec<bool> = draw.rand(layout.len()).into_iter().map(|u| f64::from(u) < share).collect();
        let architecture = layout.architecture(&open).unwrap();
        let units = |path: &str, all: usize| architecture.kept(path).map_or(all, <[usize]>::len);
        let mut saved = 0;
        let modules: std::collections::BTreeSet<&str> = layout
            .widths
            .iter()
            .map(|width| width.site.split_once(".transformer_blocks").map_or(&*width.site, |(module, _)| module))
            .collect();
        for module in &modules {
            let (whole, cut) = if module.contains(".resnets.") {
                let [c, c_in, ..] = shape(format!("{module}.conv1.weight"))[..] else {
                    panic!("{module} has no kernel")
                };
                (resnet(c_in, c, 32), resnet(c_in, c, units(module, 32)))
            } else {
                let c = shape(format!("{module}.proj_in.bias"))[0];
                let of = |part, all| units(&format!("{module}.transformer_blocks.0.{part}"), all);
                let kept = [of("attn1", c / 64), of("attn2", c / 64), of("ff", 32)];
                (transformer(c, [c / 64, c / 64, 32]), transformer(c, kept))
            };
            saved += whole - if architecture.is_removed(module) { 0 } else { cut };
        }
        assert_eq!(modules.len(), 22 + 16);
        let left = counter::unet(&config, &architecture, At::SD512).unwrap().parameters();
        assert_eq!(left as usize, 865_910_724 - saved, "{architecture:?}");
        totals.insert(left);
    }
    assert_eq!(totals.len(), 40);
}

#[test]
fn an_architecture_that_does_not_fit_is_refused_by_name() {
    let config = UNetConfig::sd21_base();
    let message =
        |architecture: Architecture| counter::unet(&config, &architecture, At::SD512).unwrap_err().to_string();
    assert_eq!(
        message(Architecture::full().keep("down_blocks.0.resnets.7", vec![0])),
        "architecture: down_blocks.0.resnets.7: the network has no such site"
    );
    assert_eq!(
        message(Architecture::full().keep("down_blocks.0.resnets.0", vec![3, 3])),
        "architecture: down_blocks.0.resnets.0: kept units must be ascending and below 32, found [3, 3]"
    );
    assert_eq!(
        message(Architecture::full().remove("down_blocks.1.resnets.0")),
        "architecture: down_blocks.1.resnets.0: cannot be removed: it changes the number of channels"
    );
    assert_eq!(message(Architecture::full().remove("conv_in")), "architecture: conv_in: the network has no such site");
}

#[test]
fn bk_sdm_shapes_come_from_their_configurations() {
    let mut base = UNetConfig::sd21_base();
    base.layers_per_block = vec![1; 4];
    let count = |config: &UNetConfig| counter::unet(config, &Architecture::full(), At::SD512).unwrap().parameters();
    // Published: 0.87 B to 0.59, 0.49 and 0.33 B.
    assert_eq!((count(&base) as f64 / 1e7).round(), 58.0);
    let small = UNetConfig { mid_block: false, ..base.clone() };
    assert_eq!((count(&small) as f64 / 1e7).round(), 49.0);
    let tiny = UNetConfig {
        block_out_channels: vec![320, 640, 1280],
        down_attention: vec![true; 3],
        up_attention: vec![true; 3],
        layers_per_block: vec![1; 3],
        heads: vec![5, 10, 20],
        transformer_layers: vec![1; 3],
        ..small
    };
    assert_eq!((count(&tiny) as f64 / 1e7).round(), 33.0);
    assert_eq!(UNetConfig::from_json(&tiny.to_json()).unwrap(), tiny);
}
