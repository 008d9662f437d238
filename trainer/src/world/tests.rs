use super::*;
use pleach_model::files::Sha256;
use std::collections::{BTreeMap, BTreeSet};

fn plain(style: Style, background: Background, shape: Shape, colour: Colour, radius: f32) -> Scene {
    let object = Object { shape, colour, place: Place::Middle, x: 32.0, y: 32.0, radius, angle: 0.1 };
    Scene { style, background, objects: vec![object] }
}

fn distance(a: image::Rgb<u8>, b: image::Rgb<u8>) -> f32 {
    let square = |(a, b): (u8, u8)| (f32::from(a) - f32::from(b)).powi(2);
    a.0.into_iter().zip(b.0).map(square).sum::<f32>().sqrt()
}

/// Pixels that differ clearly.
fn changed(a: &image::RgbImage, b: &image::RgbImage) -> usize {
    a.pixels().zip(b.pixels()).filter(|&(a, b)| distance(*a, *b) > 30.0).count()
}

#[test]
fn a_sample_follows_from_seed_and_index() {
    assert_eq!(sample(1, 7), sample(1, 7));
    // MT19937 takes 32 bits of what seed and index are hashed to: in a few thousand samples none is the same.
    let captions_and_scenes: BTreeSet<String> = (0..3)
        .flat_map(|seed| (0..1000).map(move |index| sample(seed, index)))
        .map(|sample| serde_json::to_string(&sample.scene).unwrap())
        .collect();
    assert_eq!(captions_and_scenes.len(), 3000);
}

#[test]
fn siblings_differ_in_one_thing_each() {
    for family in 0..300 {
        let members: Vec<Sample> = (0..5).map(|member| sibling(5, family, member)).collect();
        let first = &members[0].scene;
        for (sample, &change) in members[1..].iter().zip(Change::ALL) {
            let Sample { scene, .. } = sample;
            assert_eq!(scene.style != first.style, change == Change::Style);
            assert_eq!(scene.background != first.background, change == Change::Background);
            for (a, b) in scene.objects.iter().zip(&first.objects) {
                assert_eq!(a.shape != b.shape, change == Change::Shapes);
                assert_eq!(a.colour != b.colour, change == Change::Colours);
                assert_eq!(Object { shape: b.shape, colour: b.colour, ..a.clone() }, *b);
            }
        }
        // What is said of the first is said of the others in the same words.
        let words = |sample: &Sample| sample.caption.split(' ').count();
        assert!(members[0].scene.style == Style::Flat || words(&members[0]) == words(&members[3]), "{members:?}");
    }
}

#[test]
fn the_pixels_are_these_on_every_machine() {
    let mut bytes = Vec::new();
    for i in 0..60 {
        let Sample { scene, caption } = sample(0, i);
        bytes.extend(scene.draw().into_raw());
        bytes.extend(caption.into_bytes());
    }
    assert_eq!(Sha256::of(&bytes).to_string(), "58a8dae2a7ae2be779bf854f2d58cb453985a230e41d56927503bec6b6e2b9e0");
}

#[test]
fn objects_stay_inside_and_apart() {
    for i in 0..20_000 {
        let scene = sample(1, i).scene;
        for (i, a) in scene.objects.iter().enumerate() {
            let Object { x, y, radius, .. } = *a;
            assert!(x.min(y) - radius >= 1.0 && x.max(y) + radius <= SIDE as f32 - 1.0, "{scene:?}");
            for b in &scene.objects[i + 1..] {
                assert!((a.x - b.x).hypot(a.y - b.y) >= a.radius + b.radius, "{scene:?}");
            }
        }
    }
}

#[test]
fn shapes_fill_their_circle_and_do_not_leave_it() {
    for &shape in Shape::ALL {
        let picture = plain(Style::Flat, Background::Black, shape, Colour::Yellow, 24.0).draw();
        let mut farthest = 0f32;
        let mut area = 0;
        for (x, y, pixel) in picture.enumerate_pixels() {
            if distance(*pixel, Background::Black.rgb()) > 60.0 {
                farthest = farthest.max((x as f32 + 0.5 - 32.0).hypot(y as f32 + 0.5 - 32.0));
                area += 1;
            }
        }
        assert!((21.0..=24.5).contains(&farthest), "{shape}: {farthest}");
        assert!((600..1600).contains(&area), "{shape}: {area}");
    }
}

#[test]
fn colours_are_far_from_each_other_and_from_backgrounds() {
    for (i, &colour) in Colour::ALL.iter().enumerate() {
        for &other in &Colour::ALL[i + 1..] {
            assert!(distance(colour.rgb(), other.rgb()) > 90.0, "{colour} {other}");
        }
        for &background in Background::ALL {
            assert!(distance(colour.rgb(), background.rgb()) > 90.0, "{colour} {background}");
        }
    }
    for (i, &background) in Background::ALL.iter().enumerate() {
        for &other in &Background::ALL[i + 1..] {
            assert!(distance(background.rgb(), other.rgb()) > 70.0, "{background} {other}");
        }
    }
}

#[test]
fn each_style_shape_and_colour_changes_the_picture() {
    for &background in Background::ALL {
        for radius in [9.0, 18.0] {
            for &shape in Shape::ALL {
                let draw = |style| plain(style, background, shape, Colour::Red, radius).draw();
                let pictures: Vec<_> = Style::ALL.iter().map(|&style| (style, draw(style))).collect();
                for (i, (a, first)) in pictures.iter().enumerate() {
                    for (b, second) in &pictures[i + 1..] {
                        let count = changed(first, second);
                        assert!(count > 20, "{a} {b} {shape} on {background} with radius {radius}: {count}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_colour_is_to_be_seen_in_every_style() {
    for &style in Style::ALL {
        for &colour in Colour::ALL {
            let picture = plain(style, Background::Grey, Shape::Circle, colour, 10.0).draw();
            let near = |pixel: &image::Rgb<u8>, colour: Colour| distance(*pixel, colour.rgb()) < 45.0;
            let count = |colour| picture.pixels().filter(|pixel| near(pixel, colour)).count();
            let own = count(colour);
            assert!(own > 30, "{style} {colour}: {own}");
            for &other in Colour::ALL {
                assert!(other == colour || count(other) < own / 2, "{style} {colour} {other}");
            }
        }
    }
}

#[test]
fn all_is_equally_likely() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut objects, mut total) = ([0usize; 3], 0);
    for i in 0..20_000 {
        let scene = sample(2, i).scene;
        objects[scene.objects.len() - 1] += 1;
        *counts.entry(format!("style {}", scene.style)).or_default() += 1;
        *counts.entry(format!("background {}", scene.background)).or_default() += 1;
        for object in &scene.objects {
            total += 1;
            *counts.entry(format!("shape {}", object.shape)).or_default() += 1;
            *counts.entry(format!("colour {}", object.colour)).or_default() += 1;
        }
    }
    assert!(objects.iter().zip([10_000, 6_000, 4_000]).all(|(&found, expected)| found.abs_diff(expected) < 350));
    for (kind, total, n) in [("style", 20_000, 6), ("background", 20_000, 4), ("shape", total, 8), ("colour", total, 8)]
    {
        let of_kind: Vec<_> = counts.iter().filter(|(name, _)| name.starts_with(kind)).collect();
        assert_eq!(of_kind.len(), n);
        for (name, &count) in of_kind {
            assert!(count.abs_diff(total / n) < total / n / 12, "{name}: {count}");
        }
    }
}

#[test]
fn captions_use_all_words_and_no_others() {
    let mut left: BTreeSet<&str> = words().into_iter().collect();
    let all = left.clone();
    let mut distinct = BTreeSet::new();
    for i in 0..20_000 {
        let Sample { scene, caption } = sample(3, i);
        for text in [&caption, &scene.canonical_caption()] {
            for word in text.split(' ') {
                let word = word.strip_suffix(',').unwrap_or(word);
                assert!(all.contains(word), "{word:?} in {text:?}");
                left.remove(word);
            }
        }
        distinct.insert(caption);
    }
    assert!(left.is_empty(), "never used: {left:?}");
    assert!(distinct.len() > 19_000, "{}", distinct.len());
}

#[test]
fn captions_say_what_is_to_be_seen() {
    let (mut plain, mut flat, mut backgrounds, mut places) = (0, 0, 0, 0);
    for i in 0..20_000 {
        let Sample { scene, caption } = sample(4, i);
        let words: BTreeSet<&str> = caption.split([' ', ',']).collect();
        let says = |word: &str| words.contains(word);
        for object in &scene.objects {
            assert!(says(object.colour.word()), "{caption}: {scene:?}");
        }
        for style in Style::ALL {
            assert!(*style == scene.style || !says(style.word()), "{caption}: {scene:?}");
        }
        if scene.style == Style::Flat {
            flat += 1;
            plain += usize::from(!says("flat"));
        } else {
            assert!(says(scene.style.word()), "{caption}");
        }
        for background in Background::ALL {
            assert!(*background == scene.background || !says(background.word()), "{caption}: {scene:?}");
        }
        backgrounds += usize::from(says(scene.background.word()));
        places += usize::from(["left", "right", "top", "bottom", "middle", "centre"].iter().any(|word| says(word)));
    }
    assert!((0.45..0.55).contains(&(plain as f32 / flat as f32)), "{plain} of {flat}");
    assert!((14_600..15_400).contains(&backgrounds) && (12_600..13_400).contains(&places), "{backgrounds} {places}");
}

#[test]
fn the_canonical_caption_says_all() {
    let mut scene = plain(Style::Outlined, Background::Black, Shape::Star, Colour::Orange, 10.0);
    assert_eq!(scene.canonical_caption(), "an orange star in the middle, black background, outlined style");
    let ring = Object { shape: Shape::Ring, colour: Colour::Blue, place: Place::TopLeft, ..scene.objects[0].clone() };
    scene.objects.push(ring);
    assert_eq!(
        scene.canonical_caption(),
        "an orange star in the middle and a blue ring at the top left, black background, outlined style"
    );
}

#[test]
fn the_truth_can_be_read_back() {
    let scene = sample(0, 3).scene;
    let json = serde_json::to_value(&scene).unwrap();
    assert_eq!(serde_json::from_value::<Scene>(json).unwrap(), scene);
    let mut scene = plain(Style::Flat, Background::Grey, Shape::Circle, Colour::Red, 8.0);
    scene.objects[0].place = Place::BottomRight;
    let truth = serde_json::json!({
        "style": "flat", "background": "grey",
        "objects": [{ "shape": "circle", "colour": "red", "place": "bottom_right", "x": 32.0, "y": 32.0, "radius": 8.0,
                      "angle": 0.1f32 }],
    });
    assert_eq!(serde_json::to_value(&scene).unwrap(), truth);
}
