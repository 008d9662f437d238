//! Files written here, read here and by the safetensors crate.

use super::*;
use ::safetensors::SafeTensors;

fn metadata() -> BTreeMap<String, String> {
    ["format", "author", "licence", "title"].map(|key| (key.to_owned(), key.to_uppercase())).into()
}

fn tensors<'a>(f32s: &'a [u8], f16s: &'a [u8], ids: &'a [u8]) -> Vec<NewTensor<'a>> {
    vec![
        NewTensor::new("b", Dtype::F16, &[3], f16s),
        NewTensor::new("a", Dtype::F32, &[2, 1], f32s),
        NewTensor::new("z", Dtype::F32, &[], &f32s[..4]),
        NewTensor::new("ids", Dtype::I64, &[1], ids),
    ]
}

#[test]
fn the_safetensors_crate_reads_what_is_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.safetensors");
    let (f32s, f16s, ids) = (counting(2), [1, 2, 3, 4, 5, 6], 5_i64.to_le_bytes());
    let digest = write_safetensors(&path, tensors(&f32s, &f16s, &ids), &metadata()).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(digest, files::Digest { bytes: bytes.len() as u64, sha256: files::Sha256::of(&bytes) });

    let read = SafeTensors::deserialize(&bytes).unwrap();
    let (n, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.offset_keys(), ["ids", "a", "z", "b"]);
    assert_eq!(header.metadata().clone().unwrap().into_iter().collect::<BTreeMap<_, _>>(), metadata());
    assert_eq!(n % 8, 0);
    for (name, dtype, shape, data) in [
        ("a", ::safetensors::Dtype::F32, [2, 1].as_slice(), f32s.as_slice()),
        ("b", ::safetensors::Dtype::F16, [3].as_slice(), &f16s),
        ("z", ::safetensors::Dtype::F32, [].as_slice(), &f32s[..4]),
        ("ids", ::safetensors::Dtype::I64, [1].as_slice(), &ids),
    ] {
        let tensor = read.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape(), tensor.data()), (dtype, shape, data));
    }

    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.metadata(), &metadata());
    assert_eq!(checkpoint.get("a").unwrap().bytes, f32s);
}

#[test]
fn the_same_tensors_give_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let (f32s, f16s, ids) = (counting(2), [1, 2, 3, 4, 5, 6], 5_i64.to_le_bytes());
    let hashes = ["x", "y"]
        .map(|name| write_safetensors(&folder.path().join(name), tensors(&f32s, &f16s, &ids), &metadata()).unwrap());
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_checkpoint_is_streamed_into_another_precision() {
    let source = Checkpoint::open(&fixture("sd1/pipeline/unet")).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = source.names().map(|name| NewTensor::converted(source.get(name).unwrap(), Dtype::F16)).collect();
    write_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    let copy = Checkpoint::open(&path).unwrap();
    assert!(copy.names().eq(source.names()));
    let name = "conv_in.weight";
    let rounded: Vec<f32> =
        source.get(name).unwrap().to_f32().unwrap().iter().map(|&x| half::f16::from_f32(x).to_f32()).collect();
    assert_eq!(copy.get(name).unwrap().to_f32().unwrap(), rounded);
}

#[test]
fn a_failure_leaves_what_was_there() {
    let folder = folder(&[("x.safetensors", b"before")]);
    let path = folder.path().join("x.safetensors");
    let refused = |tensors| write_safetensors(&path, tensors, &BTreeMap::new()).unwrap_err().to_string();
    let data = [0; 8];

    let short = vec![NewTensor::new("a", Dtype::F32, &[3], &data)];
    assert_eq!(refused(short), "the tensor a gave 8 bytes to be written, 12 expected");
    let twice = ["a", "a"].map(|name| NewTensor::new(name, Dtype::F32, &[2], &data)).into();
    assert_eq!(refused(twice), format!("{}: the header lists the tensor a twice", path.display()));
    let reserved = vec![NewTensor::new("__metadata__", Dtype::F32, &[2], &data)];
    assert_eq!(refused(reserved), format!("{}: the header lists the tensor __metadata__ twice", path.display()));

    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_none() {
    let folder = folder(&[("file", b"")]);
    let path = folder.path().join("file/x.safetensors");
    let error = write_safetensors(&path, Vec::new(), &BTreeMap::new()).unwrap_err();
    let message =
        format!("cannot write into the folder {}: Not a directory (os error 20)", folder.path().join("file").display());
    assert_eq!(error.to_string(), message);
}
