//! Nothing half-written, nothing overwritten by mistake, no way out of a folder.

use super::*;
use std::{fs, io::Write};
use tempfile::TempDir;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The message, with the temporary folder left out.
fn message<T: fmt::Debug>(result: Result<T>, folder: &TempDir) -> String {
    result.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "TMP")
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "before").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"after").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"before");
    drop(file);
    assert_eq!(names(folder.path()), ["a.json"]);

    write(&path, b"after").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"after");
    assert_eq!(names(folder.path()), ["a.json"]);
}

#[test]
fn a_file_that_cannot_get_its_name() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let written = write(&folder.path().join("a"), b"after");
    assert_eq!(message(written, &folder), "cannot write TMP/a: Is a directory (os error 21)");
    assert_eq!(names(folder.path()), ["a"]);
}

#[cfg(unix)]
#[test]
fn others_can_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let plain = folder.path().join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("file"), "").unwrap();

    let new = AtomicFolder::create(&folder.path().join("new"), Overwrite::Never).unwrap();
    write(&new.path().join("file"), b"").unwrap();
    let new = new.persist().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!((mode(&new), mode(&new.join("file"))), (mode(&plain), mode(&plain.join("file"))));
}

#[test]
fn a_folder_appears_whole_or_not_at_all() {
    let tmp = TempDir::new().unwrap();
    let target = tmp.path().join("deep/bundle");
    let folder = AtomicFolder::create(&target, Overwrite::Never).unwrap();
    fs::create_dir(folder.path().join("unet")).unwrap();
    fs::write(folder.path().join("unet/model.onnx"), "x").unwrap();
    assert!(folder.path().file_name().unwrap().to_str().unwrap().starts_with("bundle.partial-"));
    assert!(!target.exists());
    drop(folder);
    assert_eq!(names(&tmp.path().join("deep")), [""; 0]);

    // An empty folder of the name is no obstacle.
    fs::create_dir(&target).unwrap();
    let folder = AtomicFolder::create(&target, Overwrite::Never).unwrap();
    fs::write(folder.path().join("model.onnx"), "x").unwrap();
    assert_eq!(folder.persist().unwrap(), fs::canonicalize(&target).unwrap());
    assert_eq!(names(&target), ["model.onnx"]);
    assert_eq!(names(&tmp.path().join("deep")), ["bundle"]);
}

#[test]
fn a_folder_with_something_in_it_is_replaced_only_where_it_is_ours() {
    let tmp = TempDir::new().unwrap();
    let target = tmp.path().join("bundle");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("letter.txt"), "dear").unwrap();
    let never = AtomicFolder::create(&target, Overwrite::Never);
    assert_eq!(message(never, &tmp), "the folder TMP/bundle is not empty: choose another or ask to overwrite it");
    let overwrite = Overwrite::IfItHolds("pleach.json");
    let foreign = AtomicFolder::create(&target, overwrite);
    let text = "the folder TMP/bundle is not empty and holds no pleach.json: it is not overwritten, choose another";
    assert_eq!(message(foreign, &tmp), text);

    fs::write(target.join("pleach.json"), "old").unwrap();
    let folder = AtomicFolder::create(&target, overwrite).unwrap();
    fs::write(folder.path().join("pleach.json"), "new").unwrap();
    assert_eq!(fs::read(target.join("pleach.json")).unwrap(), b"old");
    folder.persist().unwrap();
    assert_eq!(names(&target), ["pleach.json"]);
    assert_eq!(fs::read(target.join("pleach.json")).unwrap(), b"new");
    assert_eq!(names(tmp.path()), ["bundle"]);
}

#[test]
fn what_came_into_the_folder_meanwhile_is_kept() {
    let tmp = TempDir::new().unwrap();
    let target = tmp.path().join("bundle");
    let folder = AtomicFolder::create(&target, Overwrite::Never).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("letter.txt"), "dear").unwrap();
    let persisted = folder.persist();
    assert_eq!(message(persisted, &tmp), "the folder TMP/bundle is not empty: choose another or ask to overwrite it");
    assert_eq!(names(tmp.path()), ["bundle"]);
    assert_eq!(names(&target), ["letter.txt"]);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let tmp = TempDir::new().unwrap();
    fs::write(tmp.path().join("file"), "").unwrap();
    let create = |path: &str| message(AtomicFolder::create(&tmp.path().join(path), Overwrite::Never), &tmp);
    assert_eq!(create("file"), "TMP/file is a file, not a folder: choose another place");
    assert_eq!(create("file/bundle"), "cannot write into the folder TMP/file/bundle: Not a directory (os error 20)");
    assert_eq!(create("none/.."), "cannot write into the folder TMP/none/..: the path has no name at its end");
    let file = AtomicFile::create(&tmp.path().join("none/a"));
    assert_eq!(message(file, &tmp), "cannot write into the folder TMP/none: No such file or directory (os error 2)");
    assert_eq!(names(tmp.path()), ["file"]);
}

/// FIPS 180-2's examples.
#[test]
fn hashes() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Sha256::of(b"abc").to_string(), abc);
    assert_eq!(abc.to_uppercase().parse(), Ok(Sha256::of(b"abc")));
    let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
    let digest = digest_file(&path).unwrap();
    assert_eq!((digest.bytes, digest.sha256.to_string()), (1_000_000, million.to_owned()));

    let mut writer = HashingWriter::new(Vec::new());
    for _ in 0..1000 {
        writer.write_all(&[b'a'; 1000]).unwrap();
    }
    let (written, streamed) = writer.finish();
    assert_eq!((written.len(), streamed), (1_000_000, digest));
}

#[test]
fn texts_that_are_no_hash() {
    let parse = |text: &str| text.parse::<Sha256>().unwrap_err().to_string();
    assert_eq!(parse("xyz"), "expected 64 hexadecimal digits, found \"xyz\"");
    let almost = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a";
    for text in [almost.to_owned(), format!("{almost}+"), format!("{almost}d0"), format!("{almost}\u{e9}")] {
        assert_eq!(parse(&text), format!("expected 64 hexadecimal digits, found {text:?}"));
    }
}

#[test]
fn sizes_for_people() {
    for (bytes, text) in [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (3_463_642_896, "3.46 GB"),
        (u64::MAX, "18.4 EB"),
    ] {
        assert_eq!(HumanSize(bytes).to_string(), text);
    }
}

#[test]
fn reading_is_bounded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, "12345").unwrap();
    assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
    let large = read_bounded(&path, 4);
    assert_eq!(message(large, &folder), "TMP/config.json is 5 B, more than the 4 B that such a file may have");
    assert_eq!(message(read_bounded(folder.path(), 4), &folder), "TMP is not a file");
    let none = read_bounded(&folder.path().join("none"), 4);
    assert_eq!(message(none, &folder), "cannot read TMP/none: No such file or directory (os error 2)");
}

#[test]
fn plain_names_and_paths() {
    for name in ["model.onnx_data", "unet", "a b", "..a", "\u{e9}"] {
        assert!(is_plain_name(name), "{name}");
    }
    for name in ["", ".", "..", "a/b", "/a", r"a\b", "C:", "a\0", "a\n"] {
        assert!(!is_plain_name(name), "{name:?}");
    }
    assert!(is_plain_path("unet/model.onnx"));
    for path in ["", "/unet", "unet/", "unet//model.onnx", "unet/../x", "./x"] {
        assert!(!is_plain_path(path), "{path}");
    }
}

#[cfg(unix)]
#[test]
fn links_may_not_leave_the_folder() {
    use std::os::unix::fs::symlink;
    let tmp = TempDir::new().unwrap();
    let bundle = tmp.path().join("bundle");
    fs::create_dir_all(bundle.join("unet")).unwrap();
    fs::write(tmp.path().join("secret"), "").unwrap();
    fs::write(bundle.join("unet/model.onnx"), "").unwrap();
    symlink("unet/model.onnx", bundle.join("inside")).unwrap();
    symlink("../secret", bundle.join("outside")).unwrap();
    symlink("..", bundle.join("up")).unwrap();
    let resolve = |path: &str| resolve_inside(&bundle, path);

    let model = fs::canonicalize(bundle.join("unet/model.onnx")).unwrap();
    assert_eq!(resolve("unet/model.onnx").unwrap(), model);
    assert_eq!(resolve("inside").unwrap(), model);
    let text = "TMP/bundle/outside leads to TMP/secret, outside of TMP/bundle";
    assert_eq!(message(resolve("outside"), &tmp), text);
    assert_eq!(message(resolve("up/secret"), &tmp), "TMP/bundle/up/secret leads to TMP/secret, outside of TMP/bundle");
    assert_eq!(message(resolve("../secret"), &tmp), "\"../secret\" is not a plain path inside TMP/bundle");
    assert_eq!(message(resolve("unet"), &tmp), "TMP/bundle/unet is not a file");
    assert_eq!(message(resolve("none"), &tmp), "cannot read TMP/bundle/none: No such file or directory (os error 2)");
}

#[cfg(unix)]
#[test]
fn links_of_a_hugging_face_cache_lead_to_its_blobs() {
    use std::os::unix::fs::symlink;
    let tmp = TempDir::new().unwrap();
    let repository = tmp.path().join("models--org--name");
    let unet = repository.join("snapshots/0123/unet");
    fs::create_dir_all(&unet).unwrap();
    fs::create_dir_all(repository.join("blobs")).unwrap();
    fs::create_dir_all(tmp.path().join("models--other/blobs")).unwrap();
    for (link, target) in [("ours", "../../../blobs/5f3a"), ("theirs", "../../../../models--other/blobs/5f3a")] {
        fs::write(unet.join(target), "").unwrap();
        symlink(target, unet.join(link)).unwrap();
    }
    let blob = fs::canonicalize(repository.join("blobs/5f3a")).unwrap();
    assert_eq!(resolve_inside(&unet, "ours").unwrap(), blob);
    assert_eq!(resolve_inside(&repository.join("snapshots/0123"), "unet/ours").unwrap(), blob);
    let text = "TMP/models--org--name/snapshots/0123/unet/theirs leads to TMP/models--other/blobs/5f3a, outside of \
                TMP/models--org--name/snapshots/0123/unet";
    assert_eq!(message(resolve_inside(&unet, "theirs"), &tmp), text);
}
