use super::*;
use crate::data::{Crop, testing::Made};
use std::{sync::atomic::Ordering, time::Duration};

const TRANSFORM: Transform = Transform { resolution: 6, crop: Crop::Random, flip: true };

fn options(workers: usize) -> LoaderOptions {
    LoaderOptions { batch: 4, seed: 3, workers, prefetch: 2 }
}

fn start(dataset: Made, options: LoaderOptions, position: Position) -> Loader {
    Loader::start(Arc::new(dataset), TRANSFORM, options, position).unwrap()
}

fn batches(loader: &mut Loader, n: usize) -> Vec<Batch> {
    (0..n).map(|_| loader.next().unwrap()).collect()
}

#[test]
fn batches_do_not_depend_on_the_threads() {
    let all = [1, 4].map(|workers| batches(&mut start(Made::new(10), options(workers), Position::default()), 12));
    assert_eq!(all[0], all[1]);
    let other = LoaderOptions { seed: 4, ..options(2) };
    assert_ne!(batches(&mut start(Made::new(10), other, Position::default()), 2), all[0][..2]);
}

#[test]
fn batches_are_full_and_epochs_complete() {
    let batches = batches(&mut start(Made::new(10), options(3), Position::default()), 5);
    assert!(batches.iter().all(|batch| batch.pictures.len() == 4 * 3 * 36 && batch.captions.len() == 4));
    let indices: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
    for epoch in indices.chunks(10) {
        let mut epoch = epoch.to_vec();
        epoch.sort_unstable();
        assert!(epoch.into_iter().eq(0..10));
    }
    assert_eq!(batches[2].next, Position { epoch: 1, offset: 2 });
    let captions: Vec<&String> = batches.iter().flat_map(|batch| &batch.captions).collect();
    let short = captions.iter().filter(|caption| !caption.starts_with("the")).count();
    assert!((1..20).contains(&short), "{short} of 20");
}

#[test]
fn choices_are_made_anew_in_every_epoch() {
    let one = |epoch| {
        let loader = LoaderOptions { batch: 10, ..options(2) };
        let batch = start(Made::new(10), loader, Position { epoch, offset: 0 }).next().unwrap();
        let mut examples: Vec<_> = batch.indices.iter().zip(batch.pictures.chunks(3 * 36)).collect();
        examples.sort_by_key(|(index, _)| **index);
        examples.into_iter().map(|(_, picture)| picture.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(one(5), one(5));
    let same = one(5).iter().zip(one(6)).filter(|(a, b)| **a == *b).count();
    assert!(same < 10, "no picture was cropped or mirrored in another way");
}

#[test]
fn any_position_goes_on_the_same_way() {
    let made = || Made { broken: vec![2, 7], ..Made::new(230) };
    let whole = batches(&mut start(made(), options(3), Position::default()), 140);
    for i in (0..139).step_by(7) {
        let text = serde_json::to_string(&whole[i].next).unwrap();
        let mut resumed = start(made(), options(2), serde_json::from_str(&text).unwrap());
        assert_eq!(resumed.position(), whole[i].next);
        for (expected, mut found) in whole[i + 1..].iter().take(3).zip(batches(&mut resumed, 3)) {
            // A loader tells of a picture once; what it gives is the same.
            found.broken.clone_from(&expected.broken);
            assert_eq!(found, *expected);
        }
    }
}

#[test]
fn what_cannot_be_used_is_told_once_and_passed_over() {
    let mut loader = start(Made { broken: vec![2, 7], ..Made::new(230) }, options(3), Position::default());
    let batches = batches(&mut loader, 180);
    assert!(batches.iter().all(|batch| batch.indices.len() == 4 && !batch.indices.iter().any(|i| [2, 7].contains(i))));
    let mut told: Vec<String> = batches.iter().flat_map(|batch| &batch.broken).map(ToString::to_string).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "2.png is not a picture in a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP)",
            "7.png cannot be decoded: the decoder failed: decoders can panic",
        ]
    );
}

#[test]
fn more_than_one_of_a_hundred_ends_the_run() {
    let mut loader = start(Made { broken: vec![0, 4, 6], ..Made::new(230) }, options(2), Position::default());
    let error = loop {
        match loader.next() {
            Ok(batch) => assert!(batch.next.epoch == 0),
            Err(error) => break error,
        }
    };
    let reason = "is not a picture in a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP)";
    assert_eq!(
        error.to_string(),
        format!("3 of 230 pictures cannot be used, more than 1 %: 0.png {reason}; 4.png {reason}; 6.png {reason}")
    );
}

#[test]
fn no_more_is_decoded_ahead_than_was_asked_for() {
    let dataset = Arc::new(Made::new(50));
    let mut loader = Loader::start(dataset.clone(), TRANSFORM, options(4), Position::default()).unwrap();
    let settled = |least: usize| {
        for _ in 0..500 {
            if dataset.decoded.load(Ordering::SeqCst) >= least {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(50));
        dataset.decoded.load(Ordering::SeqCst)
    };
    assert_eq!(settled(8), 8);
    loader.next().unwrap();
    assert_eq!(settled(12), 12);
    batches(&mut loader, 20);
    assert_eq!(loader.shared.lock().most, 8);
}

#[test]
fn dropping_it_ends_the_threads() {
    let dataset: Arc<dyn Dataset> = Arc::new(Made::new(50));
    drop(Loader::start(dataset.clone(), TRANSFORM, options(4), Position::default()).unwrap());
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn a_loader_of_nothing_is_refused() {
    let error = |len, batch, offset| {
        let options = LoaderOptions { batch, ..options(1) };
        Loader::start(Arc::new(Made::new(len)), TRANSFORM, options, Position { epoch: 0, offset }).err().unwrap()
    };
    let message = "a loader needs pictures and a batch: the data set has 0, the batch 4";
    assert_eq!(error(0, 4, 0).to_string(), message);
    let message = "a loader needs pictures and a batch: the data set has 9, the batch 0";
    assert_eq!(error(9, 0, 0).to_string(), message);
    assert!(matches!(error(9, 4, 10), Error::Position { offset: 10, pictures: 9 }));
}
