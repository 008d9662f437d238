//! Two sheets to look at: every shape in every style, and samples with their captions.
//!
//! `cargo run --release -p pleach-trainer --example world_grid -- FOLDER`

use image::{RgbImage, imageops};
use pleach_trainer::world::{Background, Colour, Object, Place, SIDE, Scene, Shape, Style, sample};
use std::{error::Error, fs, path::PathBuf};

/// Each pixel is drawn as a square of so many.
const ZOOM: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("give the folder to write into")?);
    fs::create_dir_all(&folder)?;
    sheet(&every_style(), Shape::ALL.len()).save(folder.join("styles.png"))?;
    let samples: Vec<_> = (0..40).map(|index| sample(0, index)).collect();
    let scenes: Vec<_> = samples.iter().map(|sample| sample.scene.clone()).collect();
    sheet(&scenes, 8).save(folder.join("samples.png"))?;
    let captions: Vec<_> = samples.into_iter().map(|sample| sample.caption).collect();
    fs::write(folder.join("samples.txt"), captions.join("\n") + "\n")?;
    Ok(())
}

/// Rows are styles, columns are shapes; colours and backgrounds take turns.
fn every_style() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (row, &style) in Style::ALL.iter().enumerate() {
        for (column, &shape) in Shape::ALL.iter().enumerate() {
            let background = Background::ALL[(row + column) % Background::ALL.len()];
            let colour = Colour::ALL[(column + 3 * row) % Colour::ALL.len()];
            let object = |x, y, radius| Object { shape, colour, place: Place::Middle, x, y, radius, angle: 0.1 };
            let objects = vec![object(22.0, 22.0, 18.0), object(51.0, 51.0, 9.0)];
            scenes.push(Scene { style, background, objects });
        }
    }
    scenes
}

fn sheet(scenes: &[Scene], columns: usize) -> RgbImage {
    let side = SIDE * ZOOM + 4;
    let (width, height) = (columns as u32 * side, scenes.len().div_ceil(columns) as u32 * side);
    let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([180, 180, 180]));
    for (i, scene) in scenes.iter().enumerate() {
        let picture = imageops::resize(&scene.draw(), SIDE * ZOOM, SIDE * ZOOM, imageops::FilterType::Nearest);
        let (x, y) = (i % columns, i / columns);
        imageops::replace(&mut sheet, &picture, x as i64 * i64::from(side), y as i64 * i64::from(side));
    }
    sheet
}
