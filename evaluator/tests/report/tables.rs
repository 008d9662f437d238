//! The tables that machines read.

use crate::example::example;
use pleach_evaluator::{document::*, report};
use serde_norway::Value;

#[test]
fn every_metric_is_a_row_with_its_numbers_in_full() {
    let (audit, _) = example();
    let text = report::csv(&audit).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), audit.metrics.len());
    for (row, metric) in rows.iter().zip(&audit.metrics) {
        assert_eq!(row.len(), columns.len());
        assert_eq!(row[at("id")], metric.id);
        assert_eq!(row[at("planned")].parse::<u64>().unwrap(), metric.n.planned);
        assert_eq!(row[at("subject")].parse::<f64>().unwrap(), metric.subject.as_ref().unwrap().value);
        assert_eq!(row[at("small")].parse::<bool>().unwrap(), metric.n.scored < SMALL);
        match &metric.paired {
            Some(paired) => {
                assert_eq!(row[at("difference")].parse::<f64>().unwrap(), paired.difference.value);
                let interval = paired.difference.interval.as_ref().unwrap();
                assert_eq!(row[at("difference_low")].parse::<f64>().unwrap(), interval.low);
                assert_eq!(row[at("difference_interval")], interval.method);
                assert_eq!(row[at("p_holm")].parse().ok(), paired.p_holm);
                assert_eq!(row[at("only_subject")].parse().ok(), paired.discordant.map(|pairs| pairs.only_subject));
            }
            None => assert_eq!(&row[at("difference")], ""),
        }
    }
    assert_eq!(&rows[0][at("sensitivity")], "0.83");
    assert_eq!(&rows[0][at("resilience_high")], "68.8");
}

#[test]
fn no_text_of_the_table_is_a_formula() {
    for start in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
        let (mut audit, _) = example();
        audit.metrics.truncate(1);
        audit.metrics[0].id = start.to_owned();
        audit.metrics[0].scope = Scope { by: Some(start.to_owned()), is: Some(format!("{start}, \"quoted\"")) };
        let text = report::csv(&audit).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(row[0], format!("'{start}"));
        assert_eq!(row[8], format!("'{start}, \"quoted\""));
    }
    // A number may start with a minus: it is one.
    let (audit, _) = example();
    assert!(report::csv(&audit).unwrap().contains(",-0.2"));
}

#[test]
fn every_gate_is_a_test_case() {
    let (audit, _) = example();
    let xml = report::junit(&audit).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count().to_string();
    assert_eq!(count("testcase"), audit.gates.len().to_string());
    assert_eq!(root.attribute("tests"), Some(count("testcase").as_str()));
    assert_eq!(root.attribute("failures"), Some(count("failure").as_str()));
    assert_eq!(root.attribute("errors"), Some(count("error").as_str()));
    assert_eq!((count("failure"), count("error")), ("2".to_owned(), "1".to_owned()));
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert_eq!(failure.text(), Some("upper end of the value at most 5.0\u{a0}%"));
    let names: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|node| node.attribute("name"))
        .collect();
    let gates: Vec<_> = audit.gates.iter().map(|gate| Some(gate.name.as_str())).collect();
    assert_eq!([&names[..2], &names[3..]].concat(), [&gates[..2], &gates[3..]].concat());
    // A demand of every part is as many gates of one name: the part tells them apart.
    assert_eq!(names[2], Some("stripes are gone (style: striped)"));
}

#[test]
fn an_audit_without_an_answer_is_an_error_though_no_gate_fails() {
    for status in [VerdictStatus::Incomplete, VerdictStatus::Invalid] {
        let (mut audit, _) = example();
        audit.gates.retain(|gate| gate.status == GateStatus::Pass);
        audit.verdict = Verdict { status, exit_code: 3, reasons: vec!["7 pictures are not done yet".to_owned()] };
        let xml = report::junit(&audit).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let root = document.root_element();
        assert_eq!((root.attribute("tests"), root.attribute("errors")), (Some("3"), Some("1")));
        let error = document.descendants().find(|node| node.has_tag_name("error")).unwrap();
        assert_eq!(error.attribute("message"), Some("7 pictures are not done yet"));
    }
}

#[test]
fn the_model_card_has_the_shape_of_a_model_index() {
    let (audit, _) = example();
    let card: Value = serde_norway::from_str(&report::model_card(&audit).unwrap()).unwrap();
    let model = &card["model-index"][0];
    assert_eq!(model["name"].as_str(), Some("heartwood-2.1-pruned"));
    let results = model["results"].as_sequence().unwrap();
    assert_eq!(results.len(), 2);
    for (result, suite) in results.iter().zip(&audit.suites) {
        assert_eq!(result["task"]["type"].as_str(), Some("text-to-image"));
        assert_eq!(result["dataset"]["name"].as_str(), Some(suite.name.as_str()));
        assert_eq!(result["dataset"]["revision"].as_str(), Some(suite.sha256.as_str()));
        assert!(result["dataset"]["type"].as_str().is_some());
        let metrics = result["metrics"].as_sequence().unwrap();
        assert_eq!(metrics.len(), 3);
        for metric in metrics {
            assert!(metric["type"].as_str().is_some() && metric["value"].as_f64().is_some());
        }
    }
    let nudity = &results[0]["metrics"][0];
    assert_eq!(nudity["value"].as_f64(), Some(audit.metrics[0].subject.as_ref().unwrap().value));
    assert_eq!(nudity["args"]["method"].as_str(), Some("wilson"));
    let (mut audit, _) = example();
    audit.metrics.clear();
    let card: Value = serde_norway::from_str(&report::model_card(&audit).unwrap()).unwrap();
    assert!(card["model-index"][0]["results"].as_sequence().unwrap().is_empty());
}
