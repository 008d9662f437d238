//! Texts of others are text, wherever they end up.

use crate::{
    example::{example, thumbnails},
    html::{all, assert_inert},
};
use pleach_evaluator::{document::*, report};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use scraper::Html;

const EVIL: &str = "</td></svg><script>alert(1)</script>\"'><img src=x onerror=alert(1)> [a](https://b.example) |x| `y` ![z](w) \
                    {{ 1 }} www.c.example\n# d\n- e\u{2028}&amp;";

/// The example with the text everywhere.
fn poisoned() -> (Audit, Vec<Sample>) {
    let (mut audit, mut samples) = example();
    let evil = || EVIL.to_owned();
    audit.title = evil();
    audit.verdict.reasons = vec![evil()];
    audit.subject.name = evil();
    audit.subject.components[0].file = evil();
    audit.subject.experts[0].name = evil();
    audit.subject.suppressed.push(evil());
    audit.limits.push(evil());
    audit.repeat = Some(evil());
    audit.journal.checks.push(evil());
    audit.environment.platform = evil();
    audit.instruments[0].name = evil();
    audit.protocols.insert(evil(), serde_json::json!({ "a": EVIL, "b": "````\n</code></pre><script>" }));
    audit.marks[0].protocol = evil();
    audit.trust[0].measure = evil();
    audit.confusions.iter_mut().for_each(|confusion| confusion.classes[0] = evil());
    audit.routing[0].experts[0].expert = evil();
    audit.gates[0].name = evil();
    audit.gates[0].reason = evil();
    audit.suites[1].protocol = evil();
    audit.suites[1].column = evil();
    for metric in &mut audit.metrics {
        metric.protocol = evil();
        metric.measure = format!("{}{EVIL}", metric.measure);
        if let Some(is) = &mut metric.scope.is {
            is.push_str(EVIL);
        }
    }
    for sample in samples.iter_mut().filter(|sample| sample.suite == "small-world") {
        sample.prompt = Some(evil());
        sample.groups.insert(evil(), vec![evil()]);
        for outcome in sample.arms.values_mut() {
            outcome.expert = Some(evil());
            outcome.seen.get_mut("style").unwrap().labels = vec![evil()];
        }
    }
    for sample in samples.iter_mut().filter(|sample| sample.suite == "i2p") {
        for outcome in sample.arms.values_mut().filter(|outcome| outcome.status == Status::Errored) {
            outcome.reason = Some(evil());
        }
    }
    (audit, samples)
}

#[test]
fn html_in_any_text_is_inert() {
    let (audit, samples) = poisoned();
    let page = report::html(&audit, &samples, &thumbnails(&audit, &samples)).unwrap();
    let html = Html::parse_document(&page);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    assert_inert(&html);
    assert!(
        all(&html, "img").iter().all(|image| image.value().attr("src").unwrap().starts_with("data:image/png;base64,"))
    );
    assert!(html.root_element().text().collect::<String>().contains("<script>alert(1)</script>"));
    assert!(all(&html, "svg").len() >= 6 && all(&html, "svg script, svg img, svg a").is_empty());
    let prompts: Vec<String> = all(&html, "#samples tbody th").iter().map(|cell| cell.text().collect()).collect();
    assert!(prompts.iter().any(|prompt| prompt.starts_with("</td></svg><script>alert(1)</script>")));
}

#[test]
fn markup_in_any_text_is_inert_in_markdown() {
    let (audit, samples) = poisoned();
    let markdown = report::markdown(&audit, &samples).unwrap();
    let mut columns = 0;
    let mut cells = 0;
    let (mut titles, mut prose) = (0, markdown.clone());
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_MATH;
    for (event, place) in Parser::new_ext(&markdown, options).into_offset_iter() {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => panic!("{html}"),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => panic!("{dest_url}"),
            Event::Code(code) => panic!("{code}"),
            Event::InlineMath(math) | Event::DisplayMath(math) => panic!("{math}"),
            Event::Start(Tag::Table(alignments)) => columns = alignments.len(),
            Event::Start(Tag::TableHead | Tag::TableRow) => cells = 0,
            Event::Start(Tag::TableCell) => cells += 1,
            Event::End(TagEnd::TableRow) => assert_eq!(cells, columns),
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => titles += 1,
            Event::Start(Tag::CodeBlock(_)) => prose = prose.replace(&markdown[place], ""),
            _ => {}
        }
    }
    assert_eq!(titles, 1);
    // Addresses alone are links to GitHub, though not to CommonMark.
    assert!(!prose.contains("www.c.example") && !prose.contains("https://"));
}

#[test]
fn a_drawing_of_any_text_is_xml() {
    let (audit, _) = poisoned();
    let forest = report::forest(&audit).unwrap().unwrap();
    let drawing = roxmltree::Document::parse(&forest).unwrap();
    assert!(drawing.descendants().all(|node| !node.has_tag_name("script") && !node.has_tag_name("img")));
}

#[test]
fn junit_and_card_of_any_text_are_what_they_should_be() {
    let (mut audit, _) = poisoned();
    audit.gates[0].name.push('\u{1}');
    let xml = report::junit(&audit).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let case = document.descendants().find(|node| node.has_tag_name("testcase")).unwrap();
    assert!(case.attribute("name").unwrap().contains("<script>alert(1)</script>"));
    let card: serde_norway::Value = serde_norway::from_str(&report::model_card(&audit).unwrap()).unwrap();
    assert_eq!(card["model-index"][0]["name"].as_str(), Some(EVIL));
}
