use super::*;
use std::fs;

fn record(index: u8) -> Record {
    Record::Drawn {
        sample: Sha256([index; 32]),
        arm: Arm::Subject,
        picture: Sha256([100 + index; 32]),
        expert: Some("small".into()),
        margin: Some(0.1),
    }
}

fn written(count: u8) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0-of-1.journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    for index in 0..count {
        journal.append(&[record(index)]).unwrap();
    }
    (folder, path)
}

#[test]
fn what_was_written_is_read_and_gone_on_with() {
    let (_folder, path) = written(3);
    let (mut journal, entries) = Journal::open(&path).unwrap();
    assert_eq!(entries.records, [record(0), record(1), record(2)]);
    journal.append(&[record(3), record(4)]).unwrap();
    drop(journal);
    let entries = Entries::read(&path).unwrap();
    assert_eq!((entries.records.len(), entries.torn), (5, 0));
    let (_other, in_one_go) = written(5);
    assert_eq!(fs::read(&path).unwrap(), fs::read(in_one_go).unwrap());
    assert_eq!(Entries::read(&path.with_file_name("none")).unwrap().records, []);
}

#[test]
fn a_line_that_was_not_finished_is_taken_off() {
    let (_folder, path) = written(3);
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for end in second..=whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let lines = whole[..end].iter().filter(|&&byte| byte == b'\n').count();
        let (journal, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries.records.len(), lines);
        drop(journal);
        let kept = fs::read(&path).unwrap();
        assert!(kept.ends_with(b"\n") && whole.starts_with(&kept));
    }
}

#[test]
fn a_record_that_was_changed_dropped_doubled_or_moved_is_found() {
    let (_folder, path) = written(4);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let changed = text.replacen("small", "large", 1);
    let broken = [
        (changed, 1),
        ([lines[0], lines[2], lines[3]].concat(), 2),
        ([lines[0], lines[1], lines[1], lines[2], lines[3]].concat(), 3),
        ([lines[0], lines[2], lines[1], lines[3]].concat(), 2),
        (lines[1..].concat(), 1),
        (text.replacen('\n', " \n", 1), 1),
        (format!("{text}\n"), 5),
        (text.to_uppercase(), 1),
    ];
    for (text, line) in broken {
        fs::write(&path, text).unwrap();
        let error = Entries::read(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("record {line}: ")), "{error}");
        assert!(error.is_integrity());
        assert!(Journal::open(&path).is_err());
    }
}

#[test]
fn one_process_writes_at_a_time() {
    let (_folder, path) = written(1);
    let (_first, _) = Journal::open(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(Error::Busy { .. })));
}

#[test]
fn a_record_of_a_later_version_is_refused() {
    let (_folder, path) = written(0);
    let json = br#"{"event":"painted"}"#;
    let line = [sealed(origin(), json).to_string().as_bytes(), b" ", json, b"\n"].concat();
    fs::write(&path, line).unwrap();
    let error = Entries::read(&path).unwrap_err().to_string();
    assert!(error.contains("unknown variant `painted`"), "{error}");
}
