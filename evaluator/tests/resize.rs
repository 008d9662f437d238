//! Resizing against Pillow, OpenCV and PyTorch.

use image::RgbImage;
use pleach_evaluator::resize::Filter;
use safetensors::{Dtype, SafeTensors};
use std::{collections::BTreeMap, path::Path};

/// Calls `check` for every reference of `filter`: the source, the size, and the tensor's bytes.
fn each(filter: &str, check: impl Fn(&str, &RgbImage, (u32, u32), &[u8])) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/resize/references.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut sources = BTreeMap::new();
    let mut checked = 0;
    for (name, tensor) in file.iter() {
        if let Some(source) = name.strip_prefix("source.") {
            let (height, width) = (tensor.shape()[0] as u32, tensor.shape()[1] as u32);
            sources.insert(source.to_owned(), RgbImage::from_raw(width, height, tensor.data().to_vec()).unwrap());
        }
    }
    for (name, tensor) in file.iter() {
        let Some((source, size)) = name.strip_prefix(filter).and_then(|rest| rest.strip_prefix('.')?.split_once('.'))
        else {
            continue;
        };
        let (width, height) = size.split_once('x').unwrap();
        assert_eq!(tensor.dtype() == Dtype::F32, filter == "torch-bilinear");
        check(name, &sources[source], (width.parse().unwrap(), height.parse().unwrap()), tensor.data());
        checked += 1;
    }
    assert_eq!(checked, 16, "{filter}");
}

#[test]
fn bytes_are_pillows_and_opencvs() {
    for (name, filter) in [
        ("pillow-bilinear", Filter::PillowBilinear),
        ("pillow-bicubic", Filter::PillowBicubic),
        ("pillow-lanczos", Filter::PillowLanczos),
        ("opencv-linear", Filter::OpencvLinear),
    ] {
        each(name, |name, source, (width, height), expected| {
            let resized = filter.resize(source, width, height);
            let differ = resized.as_raw().iter().zip(expected).filter(|(a, b)| a != b).count();
            assert_eq!((resized.as_raw().len(), differ), (expected.len(), 0), "{name}");
        });
    }
}

/// PyTorch's compiler may fuse multiplications and additions: the last bits of 255 are left to it.
#[test]
fn single_precision_is_pytorchs() {
    each("torch-bilinear", |name, source, (width, height), expected| {
        let planes = Filter::TorchBilinear.planes(source, width, height);
        assert_eq!(planes.len() * 4, expected.len(), "{name}");
        for (value, expected) in planes.iter().zip(expected.as_chunks::<4>().0) {
            let expected = f32::from_le_bytes(*expected);
            assert!((value - expected).abs() <= 255.0 * 2.0 * f32::EPSILON, "{name}: {value} for {expected}");
        }
    });
}

#[test]
fn no_pixels_are_no_panic() {
    let (none, some) = (RgbImage::new(0, 0), RgbImage::from_pixel(3, 3, image::Rgb([9, 8, 7])));
    for filter in [
        Filter::PillowBilinear,
        Filter::PillowBicubic,
        Filter::PillowLanczos,
        Filter::OpencvLinear,
        Filter::TorchBilinear,
    ] {
        assert_eq!(filter.resize(&some, 0, 4).dimensions(), (0, 4), "{filter:?}");
        assert_eq!(filter.resize(&none, 2, 2), RgbImage::new(2, 2), "{filter:?}");
        assert_eq!(filter.resize(&some, 5, 2), RgbImage::from_pixel(5, 2, image::Rgb([9, 8, 7])), "{filter:?}");
    }
}
