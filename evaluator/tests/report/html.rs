//! What holds for the page whatever the audit says: it loads nothing, runs nothing, and can be read by everyone.

use crate::example::{example, thumbnails};
use pleach_evaluator::{
    document::*,
    report::{self, SHOWN, Sensitivity, Thumbnails},
};
use scraper::{ElementRef, Html, Selector};
use std::collections::HashSet;

pub fn page() -> String {
    let (audit, samples) = example();
    report::html(&audit, &samples, &thumbnails(&audit, &samples)).unwrap()
}

pub fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

/// Nothing is loaded, run or sent.
pub fn assert_inert(html: &Html) {
    for element in all(html, "*") {
        let name = element.value().name();
        assert!(
            !["script", "iframe", "object", "embed", "form", "base", "foreignObject", "use"].contains(&name),
            "{name}"
        );
        for (attribute, value) in element.value().attrs() {
            assert!(!attribute.starts_with("on"), "{name} {attribute}");
            if ["src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"].contains(&attribute) {
                assert!(value.starts_with('#') || value.starts_with("data:"), "{name} {attribute}={value}");
            }
        }
    }
    for style in all(html, "style") {
        let style = style.text().collect::<String>();
        assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("expression"));
    }
    let policy = all(html, "meta[http-equiv=Content-Security-Policy]");
    let policy = policy[0].value().attr("content").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'; img-src data:"), "{policy}");
}

#[test]
fn the_page_is_well_formed_and_loads_and_runs_nothing() {
    let html = Html::parse_document(&page());
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    assert_inert(&html);
}

#[test]
fn identities_are_unique_and_every_reference_is_kept() {
    let html = Html::parse_document(&page());
    let ids: Vec<&str> = all(&html, "[id]").iter().map(|element| element.value().attr("id").unwrap()).collect();
    let unique: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len());
    let links = all(&html, "a[href]");
    assert!(links.len() >= 14);
    for link in links {
        assert!(unique.contains(link.value().attr("href").unwrap().trim_start_matches('#')));
    }
    for element in all(&html, "[aria-labelledby]") {
        for id in element.value().attr("aria-labelledby").unwrap().split(' ') {
            assert!(unique.contains(id), "{id}");
        }
    }
}

#[test]
fn headings_tables_and_drawings_can_be_heard() {
    let html = Html::parse_document(&page());
    assert_eq!(all(&html, "html[lang=en]").len(), 1);
    assert_eq!(all(&html, "h1").len(), 1);
    let mut last = 0;
    for heading in all(&html, "h1, h2, h3") {
        let level = heading.value().name()[1..].parse::<i32>().unwrap();
        assert!(level - last <= 1, "{level} after {last}");
        last = level;
    }
    let tables = all(&html, "table");
    assert!(tables.len() > 20);
    let select = |selector: &str| Selector::parse(selector).unwrap();
    for table in tables {
        assert!(!table.select(&select("caption")).next().unwrap().text().collect::<String>().is_empty());
        let columns = table.select(&select("thead th[scope=col]")).count();
        for row in table.select(&select("tbody tr")) {
            assert_eq!(row.select(&select("th[scope=row]")).count(), 1);
            assert_eq!(row.select(&select("th, td")).count(), columns);
        }
        let around = table.parent().and_then(ElementRef::wrap).unwrap();
        assert_eq!((around.value().attr("class").unwrap_or_default(), around.value().attr("tabindex")).1, Some("0"));
    }
    let drawings = all(&html, "svg");
    assert_eq!(drawings.len(), 6);
    for drawing in drawings {
        assert_eq!(drawing.value().attr("role"), Some("img"));
        for part in ["title", "desc"] {
            let part =
                drawing.children().filter_map(ElementRef::wrap).find(|child| child.value().name() == part).unwrap();
            assert!(!part.text().collect::<String>().is_empty());
        }
    }
    assert!(all(&html, "img").iter().all(|image| !image.value().attr("alt").unwrap().is_empty()));
}

#[test]
fn the_verdict_comes_first_and_every_status_says_its_word() {
    for (status, exit_code, word, class) in [
        (VerdictStatus::Pass, 0, "PASS", "good"),
        (VerdictStatus::Fail, 1, "FAIL", "bad"),
        (VerdictStatus::Incomplete, 3, "INCOMPLETE", "open"),
        (VerdictStatus::Invalid, 4, "INVALID", "bad"),
    ] {
        let (mut audit, _) = example();
        audit.verdict = Verdict { status, exit_code, reasons: vec!["because".to_owned()] };
        let page = report::html(&audit, &[], &Thumbnails::default()).unwrap();
        let html = Html::parse_document(&page);
        let first = all(&html, ".frame > *")[0];
        assert_eq!(first.value().attr("class"), Some(format!("banner {class}").as_str()));
        assert!(first.text().collect::<String>().trim_start().starts_with(word));
        assert!(all(&html, ".tally dd").last().unwrap().text().collect::<String>() == exit_code.to_string());
        let markdown = report::markdown(&audit, &[]).unwrap();
        assert!(markdown.starts_with(&format!("# {word}: ")), "{}", &markdown[..80]);
    }
}

#[test]
fn no_number_is_none_and_the_same_audit_is_the_same_page() {
    let (audit, samples) = example();
    let text = Html::parse_document(&page()).root_element().text().collect::<String>();
    for wrong in ["NaN", "inf ", "Some(", "None"] {
        assert!(!text.contains(wrong), "{wrong}");
    }
    assert_eq!(page(), page());
    assert_eq!(report::markdown(&audit, &samples).unwrap(), report::markdown(&audit, &samples).unwrap());
}

#[test]
fn an_audit_of_nothing_is_a_page_all_the_same() {
    let (mut audit, _) = example();
    audit.baseline = None;
    (audit.gates, audit.metrics, audit.curves) = (vec![], vec![], vec![]);
    (audit.confusions, audit.routing, audit.marks, audit.trust) = (vec![], vec![], vec![], vec![]);
    (audit.suites, audit.instruments, audit.limits, audit.repeat) = (vec![], vec![], vec![], None);
    audit.protocols.clear();
    let page = report::html(&audit, &[], &Thumbnails::default()).unwrap();
    let html = Html::parse_document(&page);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    assert_inert(&html);
    assert!(page.matches("Not measured in this audit").count() >= 6);
    assert!(report::forest(&audit).unwrap().is_none());
    report::markdown(&audit, &[]).unwrap();
}

#[test]
fn small_cells_are_grey_and_say_so() {
    let html = Html::parse_document(&page());
    let grey = all(&html, "tr.grey");
    assert!(!grey.is_empty());
    for row in grey {
        let text = row.text().collect::<String>();
        assert!(text.contains("n too small") && text.contains("hate"), "{text}");
    }
}

#[test]
fn flips_come_first_and_what_is_left_out_is_counted() {
    let (audit, samples) = example();
    let html = Html::parse_document(&page());
    let folds: Vec<String> =
        all(&html, "#samples summary").iter().map(|summary| summary.text().collect::<String>()).collect();
    assert!(folds[0].starts_with("Became worse") && folds[1].starts_with("Became better"), "{folds:?}");
    assert_eq!(all(&html, "#samples tbody tr").len(), SHOWN);
    let text = all(&html, "#samples")[0].text().collect::<String>();
    assert!(text.contains(&format!("{SHOWN} of 1,{} samples are shown", samples.len() - 1000)), "{}", &text[..200]);
    let wanted = report::wanted(&audit, &samples, report::SHOWN);
    assert!(wanted.len() <= 2 * SHOWN && wanted.len() > SHOWN);
    assert_eq!(all(&html, "#samples img").len(), wanted.len());
    for picture in &wanted {
        let sample = samples.iter().find(|sample| sample.id == picture.sample).unwrap();
        let restricted = sample.suite == "i2p";
        assert_eq!(picture.sensitivity, if restricted { Sensitivity::Restricted } else { Sensitivity::Public });
    }
}

#[test]
fn both_twins_say_the_same() {
    let (audit, samples) = example();
    let html = Html::parse_document(&report::html(&audit, &samples, &Thumbnails::default()).unwrap());
    // Backslashes only escape, and nothing of the example holds one.
    let markdown = report::markdown(&audit, &samples).unwrap().replace('\\', "");
    let headings = all(&html, "h2 , h3, caption");
    assert!(headings.len() > 40);
    for element in headings {
        let text = element.text().collect::<String>();
        let text = text.trim_start_matches(|character: char| character.is_ascii_digit() || character == ' ');
        assert!(markdown.contains(text), "{text}");
    }
    for row in all(&html, "#gates tbody tr, #results tbody tr, #matrix tbody tr") {
        let first = row.text().next().unwrap();
        assert!(markdown.contains(&format!("| {first}")), "{first}");
    }
}

#[test]
fn drawings_and_open_sections_keep_to_what_can_be_told() {
    let (mut audit, _) = example();
    let part = audit.metrics.iter().find(|metric| metric.id == "i2p/nudity/category=sexual").unwrap().clone();
    let mut divide = |by: &str, parts: u64, scored: u64| {
        for index in 0..parts {
            let mut metric = part.clone();
            metric.scope = Scope { by: Some(by.to_owned()), is: Some(format!("{by} {index}")) };
            metric.id = format!("i2p/nudity/{by}={by} {index}");
            metric.n.scored = scored;
            audit.metrics.push(metric);
        }
    };
    divide("artist", 51, 400);
    divide("weekday", 7, SMALL - 1);
    divide("hour", 5, SMALL);
    let html = Html::parse_document(&report::html(&audit, &[], &Thumbnails::default()).unwrap());
    let drawn = all(&html, "#results svg")[0].text().collect::<String>();
    assert!(drawn.contains("hour: hour 4") && !drawn.contains("weekday") && !drawn.contains("artist"));
    let caption = all(&html, "#results figcaption")[0].text().collect::<String>();
    assert!(caption.contains("58 differences of parts are left out"), "{caption}");
    let open: Vec<String> = all(&html, "#parts h3").iter().map(|heading| heading.text().collect()).collect();
    assert!(open.contains(&"i2p/nudity by artist".to_owned()) && !open.contains(&"i2p/nudity by weekday".to_owned()));
    // Nothing is lost: what is not open is folded, what is not drawn is in a table.
    let folds: Vec<String> = all(&html, "#parts summary").iter().map(|fold| fold.text().collect()).collect();
    assert!(folds.contains(&"i2p/nudity by weekday".to_owned()) && folds.contains(&"All 51 as a table".to_owned()));
    assert_eq!(
        all(&html, "#parts tbody th")
            .iter()
            .filter(|row| row.text().collect::<String>().starts_with("artist "))
            .count(),
        51
    );
}
