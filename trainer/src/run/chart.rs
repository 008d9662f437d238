//! Tables of shares and distributions as PNG pictures.

use super::{Result, plot::canvas};
use image::RgbImage;
use plotters::{
    prelude::{BitMapBackend, ChartBuilder, IntoDrawingArea, Rectangle},
    style::{BLACK, Color, IntoFont, RGBColor, WHITE, text_anchor::*},
};

/// A table of shares, drawn in colours.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Stands above it.
    pub title: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Row by row, in 0..=1; none where there is nothing.
    pub cells: Vec<Vec<Option<f64>>>,
}

/// Width and height of a cell.
const CELL: (i32, i32) = (104, 22);
/// Width of the rows' names.
const NAMES: i32 = 290;
/// Height of title and columns' names.
const HEAD: i32 = 54;
/// Around a table.
const MARGIN: i32 = 14;
/// All of it.
const WHOLE: [f64; 3] = [21.0, 115.0, 75.0];
/// Nothing of it.
const GONE: [f64; 3] = [250.0, 244.0, 236.0];

/// The tables one below the other.
///
/// # Errors
/// What the drawing library says.
pub fn heatmaps(maps: &[Heatmap]) -> Result<RgbImage> {
    let columns = maps.iter().map(|map| map.columns.len()).max().unwrap_or(0) as i32;
    let height = |map: &Heatmap| HEAD + map.rows.len() as i32 * CELL.1 + MARGIN;
    let size = (2 * MARGIN + NAMES + columns * CELL.0, MARGIN + maps.iter().map(height).sum::<i32>());
    canvas("heatmap", (size.0 as u32, size.1 as u32), |pixels| {
        let area = BitMapBackend::with_buffer(pixels, (size.0 as u32, size.1 as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let text = |text: &str, size: i32, colour: RGBColor, (h, at): (HPos, (i32, i32))| {
            let style = ("sans-serif", size).into_font().color(&colour).pos(Pos::new(h, VPos::Center));
            area.draw_text(text, &style, at).map_err(|error| error.to_string())
        };
        let mut top = MARGIN;
        for map in maps {
            text(&map.title, 16, BLACK, (HPos::Left, (MARGIN, top + 10)))?;
            let left = MARGIN + NAMES;
            for (x, name) in (0..).zip(&map.columns) {
                text(name, 13, BLACK, (HPos::Center, (left + x * CELL.0 + CELL.0 / 2, top + HEAD - 12)))?;
            }
            for (y, (name, cells)) in (0..).zip(map.rows.iter().zip(&map.cells)) {
                let row = top + HEAD + y * CELL.1;
                text(name, 13, BLACK, (HPos::Right, (left - 8, row + CELL.1 / 2)))?;
                for (x, share) in (0..).zip(cells).filter_map(|(x, cell)| Some((x, (*cell)?))) {
                    let corner = (left + x * CELL.0, row);
                    let mixed = |i: usize| (GONE[i] + (WHOLE[i] - GONE[i]) * share.clamp(0.0, 1.0)) as u8;
                    let colour = RGBColor(mixed(0), mixed(1), mixed(2));
                    let cell = [(corner.0 + 1, corner.1 + 1), (corner.0 + CELL.0 - 1, corner.1 + CELL.1 - 1)];
                    area.draw(&Rectangle::new(cell, colour.filled())).map_err(|error| error.to_string())?;
                    let ink = if share > 0.55 { WHITE } else { BLACK };
                    let middle = (corner.0 + CELL.0 / 2, corner.1 + CELL.1 / 2);
                    text(&format!("{:.0} %", 100.0 * share), 13, ink, (HPos::Center, middle))?;
                }
            }
            top += height(map);
        }
        area.present().map_err(|error| error.to_string())
    })
}

/// Size of a histogram.
const SIZE: (u32, u32) = (720, 360);

/// How often values fall into each of `bins` equal parts of their range.
///
/// # Errors
/// What the drawing library says.
pub fn histogram(x_label: &str, values: &[f64], bins: usize) -> Result<RgbImage> {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
    let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) };
    let width = (high - low) / bins.max(1) as f64;
    let mut counts = vec![0_u32; bins.max(1)];
    for value in values {
        let bin = ((value - low) / width) as usize;
        counts[bin.min(bins.max(1) - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    canvas(x_label, SIZE, |pixels| {
        let area = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let mut chart = ChartBuilder::on(&area);
        chart.margin(14).x_label_area_size(42).y_label_area_size(56);
        let mut chart = chart.build_cartesian_2d(low..high, 0..most).map_err(|error| error.to_string())?;
        let font = |size| ("sans-serif", size).into_font();
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(x_label).y_desc("prompts").label_style(font(14)).axis_desc_style(font(15)).light_line_style(WHITE);
        mesh.draw().map_err(|error| error.to_string())?;
        let [red, green, blue] = WHOLE.map(|part| part as u8);
        let bars = (0..).zip(&counts).map(|(i, count)| {
            let left = low + f64::from(i) * width;
            let mut bar = Rectangle::new([(left, 0), (left + width, *count)], RGBColor(red, green, blue).filled());
            bar.set_margin(0, 0, 1, 1);
            bar
        });
        chart.draw_series(bars).map_err(|error| error.to_string())?;
        drop(chart);
        area.present().map_err(|error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a picture has pixels of this colour, nearly.
    fn has(picture: &RgbImage, colour: [f64; 3]) -> bool {
        picture.pixels().any(|pixel| pixel.0.iter().zip(colour).all(|(a, b)| (f64::from(*a) - b).abs() < 3.0))
    }

    #[test]
    fn shares_are_drawn_as_colours() {
        let map = |cells: Vec<Vec<Option<f64>>>| {
            let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
            Heatmap { title: "expert".into(), rows: names(cells.len()), columns: names(cells[0].len()), cells }
        };
        let (all, nothing) = (map(vec![vec![Some(1.0), None]]), map(vec![vec![Some(0.0)], vec![Some(0.0)]]));
        let both = heatmaps(&[all.clone(), nothing.clone()]).unwrap();
        assert_eq!(both.dimensions().0, (2 * MARGIN + NAMES + 2 * CELL.0) as u32);
        assert!(has(&both, WHOLE) && has(&both, GONE));
        assert!(!has(&heatmaps(&[nothing]).unwrap(), WHOLE) && !has(&heatmaps(&[all]).unwrap(), GONE));
        assert!(heatmaps(&[]).unwrap().dimensions().1 > 0);
    }

    #[test]
    fn distributions_of_many_and_of_none() {
        for values in [vec![], vec![0.5], vec![0.0, 0.1, 0.1, 1.0]] {
            let drawn = histogram("margin", &values, 10).unwrap();
            assert_eq!(has(&drawn, WHOLE), !values.is_empty(), "{values:?}");
        }
    }
}
