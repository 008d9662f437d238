//! Curves as PNG pictures.

use super::{Error, Result};
use image::RgbImage;
use plotters::{
    coord::Shift,
    prelude::{
        BitMapBackend, ChartBuilder, DrawingArea, IntoDrawingArea, IntoLogRange, LineSeries, PathElement,
        SeriesLabelPosition,
    },
    style::{BLACK, Color, IntoFont, Palette, Palette99, WHITE, register_font},
};
use std::path::Path;

/// Latin letters of DejaVu Sans: plots look the same on machines without fonts.
const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
const SIZE: (u32, u32) = (960, 540);

/// A named curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Curves over one axis, logarithmic upwards if asked for and all values are positive.
///
/// # Errors
/// What the drawing library says.
pub fn plot(x_label: &str, y_label: &str, series: &[Series], logarithmic: bool) -> Result<RgbImage> {
    canvas(y_label, SIZE, |pixels| draw(pixels, x_label, y_label, series, logarithmic))
}

/// A white picture of this size that `draw` draws on. `what` is for errors.
pub(super) fn canvas(
    what: &str,
    (width, height): (u32, u32),
    draw: impl FnOnce(&mut [u8]) -> Result<(), String>,
) -> Result<RgbImage> {
    let mut pixels = vec![255; (width * height * 3) as usize];
    // A second registration under the same name changes nothing that matters.
    let _ = register_font("sans-serif", plotters::style::FontStyle::Normal, FONT);
    let wrong = |reason| Error::Picture { path: Path::new(what).to_owned(), reason };
    draw(&mut pixels).map_err(wrong)?;
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| wrong("wrong size".into()))
}

fn draw(pixels: &mut [u8], x: &str, y: &str, series: &[Series], logarithmic: bool) -> Result<(), String> {
    let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!logarithmic || *y > 0.0);
    let points: Vec<(f64, f64)> = series.iter().flat_map(|series| &series.points).copied().filter(finite).collect();
    let area = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    if points.is_empty() {
        return Ok(());
    }
    let range = |values: Vec<f64>| {
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        if low < high { (low, high) } else { (low - low.abs() * 0.1 - 1e-6, high + high.abs() * 0.1 + 1e-6) }
    };
    let (left, right) = range(points.iter().map(|(x, _)| *x).collect());
    let (bottom, top) = range(points.iter().map(|(_, y)| *y).collect());
    let mut chart = ChartBuilder::on(&area);
    chart.margin(16).x_label_area_size(44).y_label_area_size(72);
    let font = |size| ("sans-serif", size).into_font();
    macro_rules! draw {
        ($vertical:expr) => {{
            let mut chart = chart.build_cartesian_2d(left..right, $vertical).map_err(|error| error.to_string())?;
            let mut mesh = chart.configure_mesh();
            mesh.x_desc(x).y_desc(y).label_style(font(15)).axis_desc_style(font(16)).light_line_style(WHITE);
            mesh.x_label_formatter(&|value| label(*value)).y_label_formatter(&|value| label(*value));
            mesh.draw().map_err(|error| error.to_string())?;
            for (i, series) in series.iter().enumerate() {
                let colour = Palette99::pick(i).to_rgba();
                let points = series.points.iter().copied().filter(finite);
                let line = LineSeries::new(points, colour.stroke_width(2));
                let drawn = chart.draw_series(line).map_err(|error| error.to_string())?;
                drawn
                    .label(series.name.as_str())
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
            }
            let mut legend = chart.configure_series_labels();
            legend
                .position(SeriesLabelPosition::LowerLeft)
                .label_font(font(15))
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3));
            legend.draw().map_err(|error| error.to_string())?;
        }};
    }
    if logarithmic {
        draw!((bottom..top).log_scale());
    } else {
        draw!(bottom..top);
    }
    present(&area)
}

fn present(area: &DrawingArea<BitMapBackend<'_>, Shift>) -> Result<(), String> {
    area.present().map_err(|error| error.to_string())
}

/// A number with as few digits as tell it.
fn label(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (0.01..100_000.0).contains(&magnitude) {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.1e}")
    }
}
