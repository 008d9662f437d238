use super::*;
use crate::pipeline::Size;
use pleach_model::samplers::SamplerKind;
use std::fs;

fn recipe(prompt: &str, negative: &str) -> Recipe {
    Recipe {
        schema: 1,
        prompt: prompt.into(),
        negative: negative.into(),
        seed: u64::MAX,
        steps: 25,
        sampler: SamplerKind::Dpmpp2mKarras,
        guidance: 7.5,
        size: Size { width: 2, height: 1 },
        tile: None,
        model: Model {
            name: "hedge, small".into(),
            sha256: "0123456789abcdef".repeat(4).parse().ok(),
            expert: Some("e1".into()),
        },
        software: Software { pleach: "0.1.0".into(), onnxruntime: "1.30.0".into(), providers: Vec::new() },
    }
}

fn image() -> Image {
    Image::new(2, 1, vec![1, 2, 3, 250, 251, 252]).unwrap()
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn pixels_and_recipe_come_back() {
    for prompt in ["a red star\non the left", "ein Weißdorn", "赤い星 🙂", "nul \0 and bell \u{7}", ""] {
        let recipe = recipe(prompt, "blurry");
        let file = written(&encode(&image(), Some(&recipe)).unwrap());
        let described = describe(file.path()).unwrap();
        assert_eq!(described.recipe.as_ref(), Some(&recipe), "{prompt:?}");
        assert_eq!(described.parameters, Some(recipe.parameters()));
        let mut reader = Decoder::new(BufReader::new(File::open(&file).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, image().rgb());
    }
}

#[test]
fn parameters_are_what_galleries_read() {
    assert_eq!(
        recipe("a red star", "blurry, dark").parameters(),
        "a red star\nNegative prompt: blurry, dark\nSteps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7.5, \
         Seed: 18446744073709551615, Size: 2x1, Model hash: 0123456789, Model: \"hedge, small\", Expert: e1, Version: pleach 0.1.0"
    );
    let mut plain = recipe("a\0b", "");
    plain.model = Model { name: "hedge".into(), sha256: None, expert: None };
    assert_eq!(
        plain.parameters(),
        "a b\nSteps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 18446744073709551615, Size: 2x1, Model: hedge, \
         Version: pleach 0.1.0"
    );
}

#[test]
fn without_metadata_only_the_picture_is_left() {
    let bytes = encode(&image(), None).unwrap();
    let kinds: Vec<_> = chunks(&bytes).map(|kind| String::from_utf8_lossy(kind).into_owned()).collect();
    assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
    let description = describe(written(&bytes).path()).unwrap();
    assert_eq!(description, Description { width: 2, height: 1, recipe: None, parameters: None });
}

#[test]
fn the_kind_of_chunk_follows_the_text() {
    let kinds = |prompt| {
        let bytes = encode(&image(), Some(&recipe(prompt, ""))).unwrap();
        chunks(&bytes).filter(|kind| kind.ends_with(b"Xt")).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(kinds("Weißdorn"), [b"tEXt", b"tEXt"]);
    assert_eq!(kinds("星"), [b"iTXt", b"iTXt"]);
}

/// The kinds of the chunks of a PNG file.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &bytes[8..];
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().unwrap()) as usize;
        let kind = &rest[4..8];
        rest = &rest[length + 12..];
        Some(kind)
    })
}

#[test]
fn hostile_files_are_refused() {
    let message = |bytes: &[u8]| {
        let file = written(bytes);
        let text = describe(file.path()).unwrap_err().to_string();
        text.replace(&file.path().display().to_string(), "FILE")
    };
    assert_eq!(message(b"GIF89a"), "FILE: not a PNG file that can be read: Invalid PNG signature.");
    let with = |add: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(ColorType::Rgb);
        add(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(image().rgb()).unwrap();
        writer.finish().unwrap();
        bytes
    };
    let long = "x".repeat(MAX_TEXT + 1);
    let plain = with(&|e| e.add_text_chunk(RECIPE.into(), long.clone()).unwrap());
    assert_eq!(message(&plain), "FILE: text chunk \"pleach\": longer than 1048576 bytes");
    let bomb = with(&|e| e.add_ztxt_chunk(PARAMETERS.into(), "x".repeat(100 << 20)).unwrap());
    assert_eq!(message(&bomb), "FILE: text chunk \"parameters\": Out of decompression space. Try with a larger limit.");
    let broken = with(&|e| e.add_text_chunk(RECIPE.into(), "{".into()).unwrap());
    assert_eq!(message(&broken), "FILE: text chunk \"pleach\": EOF while parsing an object at line 1 column 1");
    let huge = with(&|e| e.add_text_chunk(RECIPE.into(), "x".repeat(MAX_BYTES)).unwrap());
    assert!(message(&huge).starts_with("FILE: "));
}
