//! The outlines, as signed distances: negative inside, zero on the outline, positive outside.
//!
//! Formulas after Inigo Quilez, <https://iquilezles.org/articles/distfunctions2d/>. They are exact, or nearly so, which
//! makes contours of even width and halos that follow the outline.

use super::Shape;

type Point = (f32, f32);

impl Shape {
    /// Distance from the outline of this shape with radius 1 and the y axis downwards.
    pub(super) fn distance(self, (x, y): Point) -> f32 {
        let ax = x.abs();
        match self {
            Self::Circle => length((x, y)) - 0.92,
            Self::Ring => (length((x, y)) - 0.70).abs() - 0.25,
            Self::Square => rectangle((ax, y.abs()), 0.64) - 0.08,
            Self::Triangle => triangle((ax, 0.1 - y), 0.80) - 0.06,
            Self::Star => star((ax, -y), 0.97) - 0.03,
            Self::Cross => cross((ax, y.abs()), 0.90, 0.26) - 0.06,
            // From the origin of the formula, its tip, to the middle of the heart.
            Self::Heart => heart((ax * HEART, 0.53 - y * HEART)) / HEART,
            Self::Diamond => diamond((ax, y.abs()), 0.70, 0.96) - 0.03,
        }
    }

    /// Distance from the outline to the innermost point.
    pub(super) fn depth(self) -> f32 {
        match self {
            Self::Circle => 0.92,
            Self::Square => 0.72,
            Self::Triangle | Self::Heart => 0.52,
            Self::Star => 0.46,
            Self::Ring => 0.25,
            Self::Cross => 0.40,
            Self::Diamond => 0.60,
        }
    }
}

/// Size of the heart of the formula to one of radius 1.
const HEART: f32 = 0.68;

fn length((x, y): Point) -> f32 {
    (x * x + y * y).sqrt()
}

fn dot(a: Point, b: Point) -> f32 {
    a.0 * b.0 + a.1 * b.1
}

fn rectangle((x, y): Point, half: f32) -> f32 {
    let (x, y) = (x - half, y - half);
    length((x.max(0.0), y.max(0.0))) + x.max(y).min(0.0)
}

/// Equilateral, with this distance from the centre to the corners.
fn triangle((x, y): Point, radius: f32) -> f32 {
    let root = 3f32.sqrt();
    let half = radius * root / 2.0;
    let (mut x, mut y) = (x - half, y + half / root);
    if x + root * y > 0.0 {
        (x, y) = ((x - root * y) / 2.0, (-root * x - y) / 2.0);
    }
    x -= x.clamp(-2.0 * half, 0.0);
    -length((x, y)).copysign(y)
}

/// With five points.
fn star((x, y): Point, radius: f32) -> f32 {
    /// Cosine and sine of 36 degrees.
    const C: f32 = 0.809_017;
    const S: f32 = 0.587_785_25;
    /// Of the inner corners' radius to the outer one's, in the terms of the formula.
    const INNER: f32 = 0.52;
    let mut p = (x, y);
    for axis in [(C, -S), (-C, -S)] {
        let over = 2.0 * dot(axis, p).max(0.0);
        p = (p.0 - over * axis.0, p.1 - over * axis.1);
    }
    let p = (p.0.abs(), p.1 - radius);
    let edge = (INNER * S, INNER * C - 1.0);
    let along = (dot(p, edge) / dot(edge, edge)).clamp(0.0, radius);
    length((p.0 - edge.0 * along, p.1 - edge.1 * along)).copysign(p.1 * edge.0 - p.0 * edge.1)
}

fn cross((x, y): Point, long: f32, wide: f32) -> f32 {
    let (x, y) = if y > x { (y, x) } else { (x, y) };
    let q = (x - long, y - wide);
    let inside = q.0.max(q.1);
    let w = if inside > 0.0 { q } else { (wide - x, -inside) };
    length((w.0.max(0.0), w.1.max(0.0))).copysign(inside)
}

/// The tip at the origin, the y axis upwards.
fn heart((x, y): Point) -> f32 {
    if x + y > 1.0 {
        return length((x - 0.25, y - 0.75)) - 2f32.sqrt() / 4.0;
    }
    let across = (x + y).max(0.0) / 2.0;
    length((x, y - 1.0)).min(length((x - across, y - across))).copysign(x - y)
}

fn diamond((x, y): Point, wide: f32, high: f32) -> f32 {
    let along = ((wide - 2.0 * x) * wide - (high - 2.0 * y) * high) / (wide * wide + high * high);
    let along = along.clamp(-1.0, 1.0);
    let d = length((x - wide * (1.0 - along) / 2.0, y - high * (1.0 + along) / 2.0));
    d.copysign(x * high + y * wide - wide * high)
}
