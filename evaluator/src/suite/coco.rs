//! COCO's captions: one prompt per image, its caption with the lowest number, images in the order of theirs.

use super::{Error, Result, Row, error::unquoted};
use pleach_model::files::json_object;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
};

#[derive(Deserialize)]
struct Captions {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
}

#[derive(Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    caption: String,
}

pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    let wrong = |reason: String| Error::Coco { path: path.to_owned(), reason };
    let Captions { images, annotations } = json_object(bytes).map_err(|error| wrong(unquoted(&error.to_string())))?;
    let mut first: BTreeMap<u64, Option<Annotation>> = images.iter().map(|image| (image.id, None)).collect();
    for annotation in annotations {
        let Annotation { id, image_id, .. } = annotation;
        match first.entry(image_id) {
            Entry::Vacant(_) => {
                return Err(wrong(format!("annotation {id} describes image {image_id}, which is not there")));
            }
            Entry::Occupied(mut entry) => {
                let earlier = entry.get_mut();
                if earlier.as_ref().is_none_or(|earlier| id < earlier.id) {
                    *earlier = Some(annotation);
                }
            }
        }
    }
    let row = |(index, (image_id, annotation)): (usize, (u64, Option<Annotation>))| {
        let annotation = annotation.ok_or_else(|| wrong(format!("image {image_id} has no caption")))?;
        let prompt = annotation.caption.split_whitespace().collect::<Vec<_>>().join(" ");
        if prompt.is_empty() {
            return Err(wrong(format!("annotation {} is empty", annotation.id)));
        }
        Ok(Row { index, prompt, image_id: Some(image_id), ..Row::default() })
    };
    first.into_iter().enumerate().map(row).collect()
}
