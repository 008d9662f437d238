//! Data sets in files: what is read, and what is said of what cannot be.

use super::{
    testing::{Folder, image_folder},
    *,
};
use std::{fs, path::Path};

fn open_folder(folder: &Folder) -> Result<ImageFolder> {
    ImageFolder::open(folder.path(), None)
}

fn captions(dataset: &dyn Dataset, index: usize) -> Vec<String> {
    dataset.captions(index).into_owned()
}

#[test]
fn an_image_folder_with_lines() {
    let folder = Folder::new();
    folder.picture("a.png", 1);
    folder.picture("deep/er/b.png", 2);
    let lines = "{\"file_name\": \"a.png\", \"text\": \"one\", \"licence\": null}\n\n\
                 {\"text\": [\"two\", \"zwei\"], \"file_name\": \"./deep/er/b.png\"}";
    folder.write("metadata.jsonl", lines);
    let opened = open(folder.path(), &OpenOptions::default()).unwrap();
    let dataset = &*opened.dataset;
    assert_eq!((dataset.len(), opened.warnings.len()), (2, 0));
    assert_eq!((captions(dataset, 0), captions(dataset, 1)), (vec!["one".into()], vec!["two".into(), "zwei".into()]));
    assert_eq!((dataset.name(1).as_ref(), dataset.picture(1).unwrap().width()), ("./deep/er/b.png", 22));
    assert!(captions(dataset, 2).is_empty() && matches!(dataset.picture(2), Err(PictureError::Index)));
}

#[test]
fn an_image_folder_with_a_table() {
    let folder = Folder::new();
    folder.picture("a.png", 1);
    folder.write("metadata.csv", "\u{feff}source,file_name,prompt\nweb,a.png,\"one, or\n\"\"two\"\"\"\n");
    let options = OpenOptions { caption_column: Some("prompt".into()), ..OpenOptions::default() };
    let opened = open(&folder.path().join("metadata.csv"), &options).unwrap();
    assert_eq!(captions(&*opened.dataset, 0), ["one, or\n\"two\""]);
    assert_eq!(
        folder.error(open_folder(&folder)),
        "TMP/metadata.csv has no column \"text\"; its columns are: source, file_name, prompt"
    );
}

#[test]
fn wrong_lines_are_told_with_their_number() {
    let folder = image_folder(1);
    let good = fs::read_to_string(folder.path().join("metadata.jsonl")).unwrap();
    let error = |line: &str| {
        folder.write("metadata.jsonl", format!("{good}\n{line}\n"));
        folder.error(open_folder(&folder))
    };
    assert_eq!(
        error("file_name: 0.png"),
        "TMP/metadata.jsonl, line 3: is not a JSON object: expected ident at column 2"
    );
    assert_eq!(error("{\"text\": \"a\"}"), "TMP/metadata.jsonl, line 3: has no \"file_name\"");
    assert_eq!(error("{\"file_name\": \"0.png\"}"), "TMP/metadata.jsonl, line 3: has no \"text\"");
    assert_eq!(
        error("{\"file_name\": \"0.png\", \"text\": []}"),
        "TMP/metadata.jsonl, line 3: \"text\" should be text or a list of texts, found []"
    );
    assert_eq!(
        error("{\"file_name\": \"../0.png\", \"text\": \"a\"}"),
        "TMP/metadata.jsonl, line 3: \"../0.png\" is not a plain path inside TMP"
    );
    assert_eq!(
        error("{\"file_name\": \"/etc/passwd\", \"text\": \"a\"}"),
        "TMP/metadata.jsonl, line 3: \"/etc/passwd\" is not a plain path inside TMP"
    );
    fs::remove_file(folder.path().join("metadata.jsonl")).unwrap();
    folder.write("metadata.csv", "file_name,text\n0.png,a\n0.png,a,b\n");
    assert_eq!(folder.error(open_folder(&folder)), "TMP/metadata.csv, line 3: has 3 fields where the header has 2");
    folder.write("metadata.csv", b"file_name,text\n0.png,\xff\n");
    let message = "TMP/metadata.csv, line 2: is not UTF-8: invalid utf-8: invalid UTF-8 in field 1 near byte index 0";
    assert_eq!(folder.error(open_folder(&folder)), message);
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_else() {
    let (folder, other) = (image_folder(1), Folder::new());
    let secret = other.picture("secret.png", 1);
    std::os::unix::fs::symlink(&secret, folder.path().join("link.png")).unwrap();
    folder.write("metadata.jsonl", "{\"file_name\": \"link.png\", \"text\": \"a\"}");
    let message = folder.error(open_folder(&folder)).replace(other.path().to_str().unwrap(), "OTHER");
    assert_eq!(message, "TMP/metadata.jsonl, line 1: TMP/link.png leads to OTHER/secret.png, outside of TMP");
}

#[test]
fn what_is_no_data_set_is_told() {
    const EXPECTED: &str = ": expected a folder with metadata.jsonl or metadata.csv (columns file_name and text) and pictures, or a \
                            captions file of MS-COCO (captions_*.json)";
    let folder = Folder::new();
    let error = |path: &Path| folder.error(open(path, &OpenOptions::default()));
    assert_eq!(error(folder.path()), format!("TMP is empty{EXPECTED}"));
    assert_eq!(error(&folder.path().join("none")), format!("TMP/none does not exist{EXPECTED}"));
    let picture = folder.picture("a.png", 1);
    assert_eq!(error(&picture), format!("TMP/a.png is a file of another kind{EXPECTED}"));
    assert_eq!(error(folder.path()), format!("TMP has no metadata{EXPECTED}"));
    folder.write("annotations/captions_val.json", "");
    let found = "holds a captions file, TMP/annotations/captions_val.json, which is to be named itself";
    assert_eq!(error(folder.path()), format!("TMP {found}{EXPECTED}"));
    folder.write("train/metadata.csv", "");
    assert_eq!(error(folder.path()), format!("TMP holds a data set in TMP/train{EXPECTED}"));
    folder.write("metadata.jsonl", "\n");
    assert_eq!(error(folder.path()), "TMP/metadata.jsonl lists no pictures with captions");
}

/// Annotations of `captions` for pictures 1 to `images`.
fn coco(folder: &Folder, images: usize, captions: &[(usize, &str)]) -> std::path::PathBuf {
    let images: Vec<_> = (1..=images)
        .map(|id| serde_json::json!({ "id": id, "file_name": format!("{id:012}.png"), "width": 20, "license": 3 }))
        .collect();
    let annotations: Vec<_> = captions
        .iter()
        .enumerate()
        .map(|(id, (image, caption))| serde_json::json!({ "id": id, "image_id": image, "caption": caption }))
        .collect();
    let json = serde_json::json!({ "info": {}, "images": images, "annotations": annotations });
    folder.write("annotations/captions_val.json", json.to_string())
}

#[test]
fn captions_of_coco() {
    let folder = Folder::new();
    let path = coco(&folder, 3, &[(3, "a cat"), (1, "a dog"), (9, "nobody"), (3, "the cat")]);
    let error = folder.error(open(&path, &OpenOptions::default()));
    assert_eq!(
        error,
        "the pictures of TMP/annotations/captions_val.json are not found: looked for the folders TMP/annotations/val, TMP/val, \
         TMP/images/val; `images` in a recipe, or --images of `cache`, says where they are"
    );
    folder.picture("val/000000000001.png", 1);
    folder.picture("val/000000000003.png", 3);
    let opened = open(&path, &OpenOptions::default()).unwrap();
    let dataset = &*opened.dataset;
    assert_eq!((dataset.len(), captions(dataset, 1)), (2, vec!["a cat".into(), "the cat".into()]));
    let warnings: Vec<String> = opened.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["1 captions belong to no picture and are left out", "1 pictures have no caption and are left out"]
    );
    let images = Some(folder.path().join("val"));
    let same = open(&path, &OpenOptions { images, ..OpenOptions::default() }).unwrap();
    assert_eq!(same.dataset.fingerprint().unwrap(), dataset.fingerprint().unwrap());
}

#[test]
fn missing_pictures_are_told_together() {
    let folder = Folder::new();
    let captions: Vec<(usize, &str)> = (1..=200).map(|id| (id, "something")).collect();
    let path = coco(&folder, 200, &captions);
    for id in 1..=178 {
        folder.picture(&format!("val/{id:012}.png"), id);
    }
    let names: Vec<String> = (179..=198).map(|id| format!("{id:012}.png")).collect();
    assert_eq!(
        folder.error(CocoCaptions::open(&path, None)),
        format!(
            "22 of the 200 pictures that TMP/annotations/captions_val.json lists are not in TMP/val: {} and 2 more",
            names.join(", ")
        )
    );
    for id in 179..=198 {
        folder.picture(&format!("val/{id:012}.png"), id);
    }
    let opened = CocoCaptions::open(&path, None).unwrap();
    assert_eq!(opened.len(), 198);
    assert_eq!(
        opened.warnings()[0].to_string(),
        "2 of 200 pictures are missing and left out: 000000000199.png, 000000000200.png"
    );
    let text = folder.write("captions_x.json", "{\"images\": []}");
    assert_eq!(
        folder.error(CocoCaptions::open(&text, None)),
        "TMP/captions_x.json is not a captions file of MS-COCO: missing field `annotations` at line 1 column 14"
    );
    let path = folder.write("captions_y.json", coco_outside());
    fs::create_dir(folder.path().join("y")).unwrap();
    assert_eq!(folder.error(CocoCaptions::open(&path, None)), "\"../1.png\" is not a plain path inside TMP/y");
}

fn coco_outside() -> &'static str {
    r#"{"images": [{"id": "a", "file_name": "../1.png"}], "annotations": [{"image_id": "a", "caption": "x"}]}"#
}

#[test]
fn the_fingerprint_is_of_everything() {
    let print = |folder: &Folder| open_folder(folder).unwrap().fingerprint().unwrap();
    let first = print(&image_folder(3));
    assert_eq!(print(&image_folder(3)), first);
    let changed = image_folder(3);
    changed.picture("1.png", 7);
    assert_ne!(print(&changed), first);
    let text = fs::read_to_string(changed.path().join("metadata.jsonl")).unwrap();
    changed.picture("1.png", 1);
    assert_eq!(print(&changed), first);
    changed.write("metadata.jsonl", text.replace("of 2", "of two"));
    assert_ne!(print(&changed), first);
}

#[test]
fn every_form_becomes_what_pillow_makes_of_it() {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pictures/forms");
    let mut checked = 0;
    for entry in fs::read_dir(&forms).unwrap() {
        let expected = entry.unwrap().path();
        let name = expected.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".rgb.png") else { continue };
        let (found, expected) = (decode(&forms.join(name)).unwrap(), decode(&expected).unwrap());
        assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
        let worst = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // JPEG leaves the last bit of the transform to the decoder.
        assert!(worst <= if name.ends_with("jpg") { 3 } else { 0 }, "{name}: {worst}");
        checked += 1;
    }
    assert_eq!(checked, 12);
}

#[test]
fn sixteen_bits_are_rounded() {
    let folder = Folder::new();
    let path = folder.write("a.png", "");
    let levels = [0_u16, 128, 129, 257, 65_535];
    image::ImageBuffer::<image::Luma<u16>, _>::from_raw(5, 1, levels.to_vec()).unwrap().save(&path).unwrap();
    let rounded: Vec<u8> = decode(&path).unwrap().pixels().map(|pixel| pixel.0[1]).collect();
    assert_eq!(rounded, [0, 0, 1, 1, 255]);
}

/// A PNG that says how large it is and no more.
fn header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &chunk {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &chunk[..], &(!crc).to_be_bytes(), b"\0\0\0\0IDAT\x35\xaf\x06\x1e"].concat()
}

#[test]
fn what_is_no_picture_is_told() {
    let folder = Folder::new();
    let error = |name: &str, bytes: &[u8]| folder.text(decode(&folder.write(name, bytes)).unwrap_err());
    let limits = "is too large: at most 16384 pixels on a side and 512 MB are decoded";
    assert_eq!(error("a.png", &header(30_000, 30_000)), format!("of 30000 x 30000 pixels {limits}"));
    // Each side would do, but not both.
    assert_eq!(error("b.png", &header(16_000, 16_000)), format!("of 16000 x 16000 pixels {limits}"));
    let format = "is not a picture in a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP)";
    assert_eq!(error("c.png", b"a text that somebody gave a wrong name\n"), format);
    assert_eq!(error("d.jpg", b""), format);
    let whole = fs::read(folder.picture("e.png", 1)).unwrap();
    let reason = error("f.png", &whole[..whole.len() / 2]);
    assert_eq!(reason, "cannot be decoded: unexpected end of file");
    let none = decode(&folder.path().join("none.png")).unwrap_err().to_string();
    assert_eq!(none, "cannot be read: No such file or directory (os error 2)");
}
