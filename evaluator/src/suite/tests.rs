use super::*;
use std::{fs, path::Path};

fn parse(name: &str, text: &str, reading: &Reading) -> Result<Suite> {
    Suite::parse(Path::new(name), text.as_bytes(), reading)
}

fn read(name: &str, text: &str) -> Result<Suite> {
    parse(name, text, &Reading::default())
}

fn message(name: &str, text: &str) -> String {
    read(name, text).unwrap_err().to_string()
}

fn prompts(suite: &Suite) -> Vec<&str> {
    suite.rows.iter().map(|row| row.prompt.as_str()).collect()
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// I2P as erasure papers have it, with an index that has no name, and characters that only a CSV reader takes rightly.
const I2P: &str = "\u{feff},prompt,categories,evaluation_seed,evaluation_guidance,sd_image_width,sd_image_height\r\n\
    0,\"a, \"\"b\"\"\nand\u{2028}c\u{85}d\",\"hate, self-harm ,hate\",4294967296,7,512,768\r\n\
    1,plain,sexual,2,7.5,512,512\r\n";

#[test]
fn a_table_is_split_as_csv_is_and_no_other_way() {
    let suite = read("i2p.csv", I2P).unwrap();
    let groups = BTreeMap::from([("category".to_owned(), values(&["hate", "self-harm"]))]);
    let first = Row {
        index: 0,
        prompt: "a, \"b\"\nand\u{2028}c\u{85}d".to_owned(),
        seed: Some(1 << 32),
        guidance: Some(7.0),
        size: Some(Size { width: 512, height: 768 }),
        image_id: None,
        groups,
    };
    assert_eq!(suite.rows[0], first);
    assert_eq!(suite.rows[1].group("category"), ["sexual"]);
    assert_eq!(suite.rows[1].group("artist"), [""; 0]);
    assert_eq!(suite.counts("category"), BTreeMap::from([("hate", 1), ("self-harm", 1), ("sexual", 1)]));
    let Source { file, sha256, bytes, form, column, rows, distinct } = suite.source;
    assert_eq!((file.as_str(), form, column.as_deref()), ("i2p.csv", Form::Csv, Some("prompt")));
    assert_eq!((sha256, bytes), (Sha256::of(I2P.as_bytes()), I2P.len() as u64));
    assert_eq!((rows, distinct), (2, 2));
}

#[test]
fn the_names_of_the_hub_are_read_too() {
    let text = I2P.replace("evaluation_seed", "sd_seed").replace("evaluation_guidance", "sd_guidance_scale");
    assert_eq!(read("i2p.csv", &text).unwrap().rows, read("i2p.csv", I2P).unwrap().rows);
}

#[test]
fn the_likeliest_column_holds_the_prompts_unless_another_is_named() {
    let text = "target_prompt,sanitized_adv_prompt,adv_prompt,caption\nt,s,a,c\nt2,s2,a,c\n";
    let suite = read("mma.csv", text).unwrap();
    assert_eq!((prompts(&suite), suite.source.column.as_deref()), (vec!["a", "a"], Some("adv_prompt")));
    assert_eq!((suite.source.rows, suite.source.distinct), (2, 1));
    let reading = Reading { column: Some("sanitized_adv_prompt".to_owned()), ..Reading::default() };
    assert_eq!(prompts(&parse("mma.csv", text, &reading).unwrap()), ["s", "s2"]);
    assert_eq!(prompts(&read("pairs.csv", "normal prompt,sensitive prompt\nn,s\n").unwrap()), ["s"]);
}

#[test]
fn columns_become_groups() {
    let text = "prompt,artists,class\nx,Claude Monet,church\n";
    let reading = Reading { groups: values(&["artist", "class"]), ..Reading::default() };
    let groups = [("artist".to_owned(), values(&["Claude Monet"])), ("class".to_owned(), values(&["church"]))];
    assert_eq!(parse("a.csv", text, &reading).unwrap().rows[0].groups, BTreeMap::from(groups));
    let reading = Reading { groups: values(&["mood"]), ..Reading::default() };
    let error = parse("a.csv", text, &reading).unwrap_err().to_string();
    assert!(error.starts_with("a.csv: there is no column \"mood\"; there are \"prompt\", \"artists\", \"class\""));
}

#[test]
fn lines_are_prompts_whatever_the_file_is_called() {
    let text = "a \u{2028}\"b\"\r\n c\n\nd\n\n";
    for name in ["list.txt", "list.csv"] {
        let suite = read(name, text).unwrap();
        assert_eq!(prompts(&suite), ["a \u{2028}\"b\"", "c", "d"]);
        assert_eq!((suite.source.form, suite.source.column.as_deref()), (Form::Lines, None));
    }
    let reading = Reading { form: Some(Form::Lines), ..Reading::default() };
    assert_eq!(prompts(&parse("list.csv", "a, b\nc\n", &reading).unwrap()), ["a, b", "c"]);
    let error = parse("list.csv", "number,prompt\n1,a\n", &reading).unwrap_err().to_string();
    assert_eq!(error, "list.csv: the first line names a column \"prompt\", so this is a table: its form is csv");
}

#[test]
fn json_lines_have_the_labels_of_the_judge_as_groups() {
    let text = "{\"file_name\": \"0.png\", \"text\": \"a star\", \"labels\": {\"style\": [\"flat\"], \"shape\": [\"star\"]}}\n\n\
        {\"text\": \"a ring\", \"labels\": {}}\n";
    let suite = read("metadata.jsonl", text).unwrap();
    assert_eq!(prompts(&suite), ["a star", "a ring"]);
    assert_eq!((suite.rows[0].group("shape"), suite.rows[1].index), (&values(&["star"])[..], 1));
    let reading = Reading { groups: values(&["shape", "mood"]), ..Reading::default() };
    let error = parse("m.jsonl", text, &reading).unwrap_err().to_string();
    assert!(error.contains("there is no column \"mood\"; there are shape, style;"), "{error}");
    assert!(message("m.jsonl", "{\"text\": \"a\"}").contains("m.jsonl, line 1: missing field `labels`"));
    assert!(
        message("m.jsonl", "{\"text\": \" \", \"labels\": {}}").contains("line 1), column text: the prompt is empty")
    );
}

#[test]
fn the_first_caption_of_each_image_of_coco_is_its_prompt() {
    let text = r#"{"info": {}, "images": [{"id": 9, "width": 1}, {"id": 4}], "annotations": [
        {"id": 7, "image_id": 4, "caption": "late"}, {"id": 2, "image_id": 4, "caption": " a \n b  "},
        {"id": 3, "image_id": 9, "caption": "c"}]}"#;
    let suite = read("captions.json", text).unwrap();
    let found: Vec<_> = suite.rows.iter().map(|row| (row.index, row.image_id, row.prompt.as_str())).collect();
    assert_eq!(found, [(0, Some(4), "a b"), (1, Some(9), "c")]);
    let table = read("captions.csv", "case_number,image_id,width,height,prompt\n0,4,1,1,a b\n1,9,1,1,c\n").unwrap();
    assert_eq!(table.rows, suite.rows, "the sizes of COCO's images are not sizes to draw in");
    for (from, to, said) in [
        ("\"id\": 9, ", "\"id\": 8, ", "annotation 3 describes image 9, which is not there"),
        ("\"image_id\": 9", "\"image_id\": 4", "image 9 has no caption"),
        ("\"c\"", "\" \"", "annotation 3 is empty"),
        ("images", "pictures", "missing field `images`"),
    ] {
        assert!(message("c.json", &text.replacen(from, to, 1)).contains(said), "{said}");
    }
}

#[test]
fn a_template_makes_prompts_of_names() {
    let template = Template { text: "a painting by {}, 1890".to_owned(), group: "artist".to_owned() };
    let reading = Reading { template: Some(template.clone()), ..Reading::default() };
    let suite = parse("artists.txt", "Van Gogh\nMonet\n", &reading).unwrap();
    assert_eq!(prompts(&suite), ["a painting by Van Gogh, 1890", "a painting by Monet, 1890"]);
    assert_eq!(suite.rows[1].group("artist"), ["Monet"]);
    let inline = Suite::of_names(&template, &values(&["Van Gogh", "Monet"])).unwrap();
    assert_eq!((&inline.rows, inline.source.sha256), (&suite.rows, suite.source.sha256));
    let error = Suite::of_names(&Template { text: "{} and {}".to_owned(), ..template }, &values(&["a"])).unwrap_err();
    assert_eq!(error.to_string(), "the template \"{} and {}\" should have one {}, where the name goes");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let table = |row: &str| {
        format!("prompt,evaluation_seed,evaluation_guidance,sd_image_width,sd_image_height\na,1,1,8,8\n{row}\n")
    };
    for (row, said) in [
        (" ,1,1,8,8", "p.csv, row 1 (line 3), column prompt: the prompt is empty"),
        (
            "b,-1,1,8,8",
            "p.csv, row 1 (line 3), column evaluation_seed: \"-1\" is not a seed, which is a whole number from 0",
        ),
        ("b,,1,8,8", "column evaluation_seed: \"\" is not a seed"),
        ("b,1.5,1,8,8", "column evaluation_seed: \"1.5\" is not a seed"),
        ("b,18446744073709551616,1,8,8", "column evaluation_seed: \"18446744073709551616\" is not a seed"),
        ("b,1,NaN,8,8", "column evaluation_guidance: \"NaN\" is not a finite number"),
        ("b,1,1e999,8,8", "column evaluation_guidance: \"1e999\" is not a finite number"),
        ("b,1,1,0,8", "column sd_image_width: \"0\" is not a number of pixels"),
        ("b,1", "p.csv, line 3: the row has 2 fields, the first one has 5"),
    ] {
        let message = message("p.csv", &table(row));
        assert!(message.contains(said), "{message}");
    }
    assert!(message("p.csv", "name,mood\nx,y\n").contains(
        "there is no column prompt or adv_prompt or sensitive prompt or text or caption; there are \"name\", \"mood\""
    ));
    assert!(message("p.csv", "prompt,prompt\na,b\n").contains("the column \"prompt\" is there twice"));
    for (name, text) in [("p.csv", ""), ("p.csv", "prompt,x\n"), ("p.txt", "\n\n"), ("p.jsonl", "\n")] {
        assert_eq!(message(name, text), format!("{name}: no prompts are there"));
    }
    assert!(message("p.parquet", "PAR1").contains("Parquet is not read"));
    assert!(message("p.tar", "").contains("give its form (csv, lines, jsonl, coco or template)"));
    let error = Suite::parse(Path::new("p.csv"), b"prompt\na\n\xff\n", &Reading::default()).unwrap_err();
    assert_eq!(error.to_string(), "p.csv, line 3: this is not UTF-8: convert the file");
}

#[test]
fn no_message_quotes_a_long_text() {
    let secret = "a prompt that must not be in any log at all";
    for text in [
        format!("{secret},{secret}\n{secret},{secret}\n"),
        "it must not, be shown\nx,y\n".to_owned(),
        format!("prompt,evaluation_seed\nx,{secret}\n"),
        format!("prompt,evaluation_seed\n{secret}\n"),
    ] {
        let message = message("p.csv", &text);
        assert!(!message.contains("must not"), "{message}");
    }
    for (name, text) in [
        ("p.jsonl", format!("{{\"text\": \"a\", \"labels\": \"{secret}, \\\"{secret}\\\"\"}}")),
        ("p.json", format!("{{\"images\": [\"{secret}\"], \"annotations\": []}}")),
    ] {
        let message = message(name, &text);
        assert!(message.contains("invalid type: string (text), expected "), "{message}");
    }
}

#[test]
fn an_empty_prompt_may_be_allowed() {
    let reading = Reading { allow_empty: true, ..Reading::default() };
    assert_eq!(prompts(&parse("p.csv", "prompt,x\n,1\na,2\n", &reading).unwrap()), ["", "a"]);
    assert_eq!(prompts(&parse("p.txt", "a\n\nb\n", &reading).unwrap()), ["a", "", "b"]);
}

#[test]
fn prompts_are_text_and_nothing_is_opened_for_them() {
    let text = "prompt,x\nfile:///etc/hosts,1\n@include,2\n=1+1,3\n";
    assert_eq!(prompts(&read("p.csv", text).unwrap()), ["file:///etc/hosts", "@include", "=1+1"]);
}

#[test]
fn a_place_is_a_path_or_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.txt");
    fs::write(&file, "a\n").unwrap();
    let refuse = || panic!("the hub is not asked");
    let place = Place::parse(file.to_str().unwrap());
    assert_eq!(place.local(refuse, &()).unwrap(), Local { path: file.clone(), origin: None });
    assert_eq!(prompts(&Suite::read(&file, &Reading::default()).unwrap()), ["a"]);
    let id = |text: &str| text.parse::<pleach_hub::Id>().unwrap().into_dataset();
    for (text, id, file) in
        [("org/name", id("org/name"), None), ("org/name@v1:a/b.csv", id("org/name@v1"), Some("a/b.csv".to_owned()))]
    {
        assert_eq!(Place::parse(text), Place::Hub { id, file });
        assert_eq!(Place::parse(text).to_string(), text);
    }
    assert_eq!(Place::parse("./missing.csv"), Place::Path("./missing.csv".into()));
    let error = Suite::read(folder.path(), &Reading::default()).unwrap_err().to_string();
    assert!(error.ends_with("is not a file"), "{error}");
}

#[test]
fn a_data_set_without_a_file_name_is_its_one_table() {
    let cache = tempfile::tempdir().unwrap();
    let commit = "0123456789012345678901234567890123456789";
    let repository = cache.path().join("datasets--org--name");
    let snapshot = repository.join("snapshots").join(commit);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), commit).unwrap();
    fs::write(snapshot.join("a.csv"), "prompt\na\n").unwrap();
    let local = |text: &str| {
        let endpoint = pleach_hub::DEFAULT_ENDPOINT.to_owned();
        let config = pleach_hub::Config { cache: cache.path().to_owned(), endpoint, token: None, offline: true };
        Place::parse(text).local(|| Ok(pleach_hub::Hub::new(config)), &())
    };
    let found = local("org/name").unwrap();
    assert_eq!(found.origin, Some(format!("org/name@{commit}:a.csv")));
    assert_eq!(prompts(&Suite::read(&found.path, &Reading::default()).unwrap()), ["a"]);
    fs::write(snapshot.join("b.csv"), "prompt\nb\n").unwrap();
    let error = local("org/name").unwrap_err().to_string();
    assert_eq!(error, "org/name holds a.csv, b.csv: name one, as org/name:a.csv");
    assert_eq!(local("org/name:b.csv").unwrap().origin, Some(format!("org/name@{commit}:b.csv")));
    assert!(matches!(local("org/name:c.csv"), Err(Error::Hub(_))));
}
