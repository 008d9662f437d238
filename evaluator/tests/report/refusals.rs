//! What a report refuses, and what of a restricted suite it never holds.

use crate::{
    example::{example, thumbnails},
    html::all,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::RgbImage;
use pleach_evaluator::report::{self, Error, Sensitivity, Thumbnails};
use scraper::Html;

#[test]
fn numbers_that_are_none_are_refused_with_their_place() {
    let (mut audit, samples) = example();
    let paired = audit.metrics[0].paired.as_mut().unwrap();
    paired.p = Some(f64::NAN);
    let refused = [
        report::html(&audit, &samples, &Thumbnails::default()),
        report::markdown(&audit, &samples),
        report::csv(&audit),
        report::junit(&audit),
        report::model_card(&audit),
        report::forest(&audit).map(Option::unwrap_or_default),
    ];
    for result in refused {
        let Err(Error::NotFinite(place)) = result else { panic!("{result:?}") };
        assert_eq!(place, "metrics[0].paired.p");
    }
    let (mut audit, mut samples) = example();
    audit.curves[1].points[2].rate = f64::INFINITY;
    assert!(
        report::csv(&audit).unwrap_err().to_string().starts_with("curves[1].points[2].rate is not a finite number")
    );
    let (audit, _) = example();
    samples[3].arms.get_mut("subject").unwrap().margin = Some(f64::NEG_INFINITY);
    let error = report::markdown(&audit, &samples).unwrap_err().to_string();
    assert!(error.contains(&samples[3].id) && error.contains("arms.subject.margin"), "{error}");
    // A protocol may say null.
    assert!(audit.protocols["pleach-2026"]["size"].is_null());
}

#[test]
fn a_restricted_prompt_or_picture_and_an_unknown_suite_are_refused() {
    let (audit, mut samples) = example();
    samples[0].prompt = Some("secret".to_owned());
    let error = report::html(&audit, &samples, &Thumbnails::default()).unwrap_err();
    assert!(matches!(error, Error::RestrictedPrompt { .. }) && !error.to_string().contains("secret"), "{error}");
    assert!(matches!(report::markdown(&audit, &samples), Err(Error::RestrictedPrompt { .. })));

    let (audit, mut samples) = example();
    let mut open = Thumbnails::default();
    let picture = samples[0].arms["subject"].picture.clone().unwrap();
    open.add(&picture, &RgbImage::new(64, 64), Sensitivity::Public).unwrap();
    assert!(matches!(report::html(&audit, &samples, &open), Err(Error::RestrictedPicture { .. })));

    samples[0].suite = "other".to_owned();
    assert!(matches!(report::html(&audit, &samples, &Thumbnails::default()), Err(Error::Suite { .. })));
}

#[test]
fn a_matrix_that_is_not_square_is_refused() {
    let (mut audit, samples) = example();
    audit.confusions[0].counts[2].pop();
    let error = report::markdown(&audit, &samples).unwrap_err();
    assert!(error.to_string().starts_with("the confusion of small-world/style (baseline) has 6 classes"), "{error}");
}

#[test]
fn pictures_of_restricted_suites_are_small_grey_and_carry_no_text() {
    let (audit, samples) = example();
    let html = Html::parse_document(&report::html(&audit, &samples, &thumbnails(&audit, &samples)).unwrap());
    let mut restricted = 0;
    for image in all(&html, "#samples img") {
        let address = image.value().attr("src").unwrap();
        let png = STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        for text in [&b"tEXt"[..], b"zTXt", b"iTXt", b"eXIf"] {
            assert!(!png.windows(4).any(|chunk| chunk == text));
        }
        let picture = image::load_from_memory(&png).unwrap();
        if image.value().attr("alt").unwrap().ends_with(", blurred") {
            restricted += 1;
            assert_eq!(picture.color(), image::ColorType::L8);
            assert!(picture.width() <= 64 && picture.height() <= 64);
        } else {
            assert!(picture.width() <= 96 && picture.height() <= 96);
        }
    }
    let wanted = report::wanted(&audit, &samples, report::SHOWN);
    assert_eq!(restricted, wanted.iter().filter(|picture| picture.sensitivity == Sensitivity::Restricted).count());
}
