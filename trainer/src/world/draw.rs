//! Scenes to pictures.
//!
//! Each pixel is the mean of four by four samples. Only arithmetic that is exact everywhere, so that a scene has the same
//! bytes on every machine: square roots, and sine and cosine from libm.

use super::{Object, SIDE, Scene, Shape, Style};
use crate::random::Random;
use image::{Rgb, RgbImage};

/// Samples of a pixel in each direction.
const FINE: i32 = 4;
/// Pixels of a stripe and its neighbour.
const STRIPES: f32 = 7.0;
/// Pixels from a dot to the next, in a large object.
const DOTS: f32 = 7.0;
/// Pixels of a dot's radius, in a large object.
const DOT: f32 = 2.1;
/// Pixels inside the outline that dots leave free: light dots must not eat into an object on a light background.
const RIM: f32 = 1.0;

type Tone = [f32; 3];

impl Scene {
    /// The picture, [`SIDE`] pixels wide and high.
    pub fn draw(&self) -> RgbImage {
        let mut picture = RgbImage::from_pixel(SIDE, SIDE, self.background.rgb());
        for object in &self.objects {
            Brush::new(object, self.style).paint(&mut picture);
        }
        picture
    }
}

/// An object in a style, ready to be asked for its tone at any point.
struct Brush<'a> {
    object: &'a Object,
    style: Style,
    tone: Tone,
    /// Sine and cosine of the angle.
    turn: (f32, f32),
    /// Pixels of a cell.
    cell: f32,
    /// Size of dots.
    dots: f32,
    /// Pixels that the halo reaches.
    halo: f32,
    /// Pixels of a contour.
    contour: f32,
}

impl<'a> Brush<'a> {
    fn new(object: &'a Object, style: Style) -> Self {
        let radius = object.radius;
        let (sin, cos) = libm::sincosf(object.angle);
        Self {
            object,
            style,
            tone: tone(object.colour.rgb()),
            turn: (sin, cos),
            // So many of them that each shape keeps what it is known by, above all the heart its notch.
            cell: radius / if radius < 15.0 { 3.4 } else { 4.5 },
            dots: (radius / 16.0).clamp(0.78, 1.0),
            halo: (0.55 * radius).min(9.0),
            // A ring has two, with something between them.
            contour: if object.shape == Shape::Ring { 0.16 * radius } else { (0.2 * radius).clamp(2.0, 3.2) },
        }
    }

    fn paint(&self, picture: &mut RgbImage) {
        let Object { x, y, radius, .. } = *self.object;
        let reach = radius + if self.style == Style::Glowing { self.halo } else { 1.0 };
        let span = |centre: f32| {
            let (first, last) = ((centre - reach).floor().max(0.0), (centre + reach).ceil().min(SIDE as f32));
            first as u32..last as u32
        };
        for row in span(y) {
            for column in span(x) {
                self.blend(column as f32, row as f32, picture.get_pixel_mut(column, row));
            }
        }
    }

    /// Lays the mean of a pixel's samples over it.
    fn blend(&self, column: f32, row: f32, pixel: &mut Rgb<u8>) {
        let (mut sum, mut cover) = ([0.0; 3], 0.0);
        for i in 0..FINE * FINE {
            let offset = |i: i32| (i as f32 + 0.5) / FINE as f32;
            let (x, y) = (column + offset(i % FINE) - self.object.x, row + offset(i / FINE) - self.object.y);
            let (tone, alpha) = self.at(x, y);
            cover += alpha;
            for (sum, tone) in sum.iter_mut().zip(tone) {
                *sum += tone * alpha;
            }
        }
        if cover > 0.0 {
            let samples = (FINE * FINE) as f32;
            for (value, sum) in pixel.0.iter_mut().zip(sum) {
                *value = (f32::from(*value) * (1.0 - cover / samples) + sum / samples + 0.5) as u8;
            }
        }
    }

    /// Distance from the outline in pixels, of a point given from the object's centre.
    fn distance(&self, (x, y): (f32, f32)) -> f32 {
        let radius = self.object.radius;
        self.object.shape.distance((x / radius, y / radius)) * radius
    }

    /// To the object's own axes.
    fn turned(&self, x: f32, y: f32) -> (f32, f32) {
        let (sin, cos) = self.turn;
        (x * cos + y * sin, y * cos - x * sin)
    }

    /// Tone and cover at a point given from the object's centre.
    fn at(&self, x: f32, y: f32) -> (Tone, f32) {
        if self.style == Style::Pixelated {
            return self.cell_at(x, y);
        }
        let point = self.turned(x, y);
        let distance = self.distance(point);
        let cover = f32::from(u8::from(distance < 0.0));
        match self.style {
            Style::Striped if stripe(point) => (mix(self.tone, [0.0; 3], 0.58), cover),
            Style::Dotted if distance < -RIM && dot((point.0 / self.dots, point.1 / self.dots)) => {
                (mix(self.tone, [255.0; 3], 0.88), cover)
            }
            Style::Outlined => (self.tone, if distance < -self.contour { 0.0 } else { cover }),
            Style::Glowing if distance < 0.0 => {
                let depth = (-distance / (self.object.shape.depth() * self.object.radius)).min(1.0);
                (mix(self.tone, [255.0; 3], 0.9 * smooth((depth - 0.15) / 0.85)), 1.0)
            }
            Style::Glowing => {
                let near = (1.0 - distance / self.halo).max(0.0);
                (self.tone, 0.75 * near * near)
            }
            Style::Flat | Style::Striped | Style::Dotted | Style::Pixelated => (self.tone, cover),
        }
    }

    /// Upright cells of an upright object: a cell is filled where its centre is inside the object, or nearly so.
    fn cell_at(&self, x: f32, y: f32) -> (Tone, f32) {
        let index = |v: f32| (v / self.cell + 0.5).floor();
        let (column, row) = (index(x), index(y));
        // So much that the lobes of a heart become a row of their own, while its tip stays sharp.
        let slack = if self.object.shape == Shape::Heart { 0.068 } else { 0.02 };
        if self.distance((column * self.cell, row * self.cell)) > slack * self.object.radius {
            return (self.tone, 0.0);
        }
        // A shade of its own for each cell of each object.
        let place = ((column as i64 as u64) << 32) ^ (row as i64 as u64) ^ (u64::from(self.object.x.to_bits()) << 16);
        let shade = (Random::new(&[place]).bits() >> 40) as f32 * 2f32.powi(-24);
        let tone = if shade < 0.5 {
            mix(self.tone, [0.0; 3], 0.5 * (0.5 - shade))
        } else {
            mix(self.tone, [255.0; 3], 0.6 * (shade - 0.5))
        };
        (tone, 1.0)
    }
}

fn tone(Rgb(rgb): Rgb<u8>) -> Tone {
    rgb.map(f32::from)
}

fn mix(from: Tone, to: Tone, share: f32) -> Tone {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * share)
}

fn smooth(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Whether a dark stripe, rising to the right, passes through the point.
fn stripe((x, y): (f32, f32)) -> bool {
    let across = (x + y) * std::f32::consts::FRAC_1_SQRT_2 / STRIPES + 0.25;
    across - across.floor() < 0.5
}

/// Whether the point is on a dot: one at the centre, the others around it in rows that are shifted by half.
fn dot((x, y): (f32, f32)) -> bool {
    /// From row to row, for equal distances.
    const ROW: f32 = 0.866_025_4 * DOTS;
    let row = (y / ROW).round();
    let shift = if row.rem_euclid(2.0) == 1.0 { DOTS / 2.0 } else { 0.0 };
    let (dx, dy) = (x - shift - ((x - shift) / DOTS).round() * DOTS, y - row * ROW);
    dx * dx + dy * dy < DOT * DOT
}
