//! From a YOLOv8 detector's output to boxes, in the arithmetic of NudeNet's package (numpy in single precision) and of OpenCV's
//! `NMSBoxes`.

use super::{
    Found, Yolo,
    prepare::{Frame, Placed},
};

/// A box with the class of its best score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    class: usize,
    score: f32,
    bounds: [f32; 4],
}

impl Yolo {
    /// The boxes that `values`, `[4 + labels, anchors]`, hold, the highest score first.
    pub(super) fn boxes(&self, values: &[f32], frame: &Frame) -> Vec<Found> {
        let anchors = values.len() / (4 + self.labels.len());
        let value = |row: usize, anchor: usize| values[row * anchors + anchor];
        let mut candidates = Vec::new();
        for anchor in 0..anchors {
            // The first of several that are equal, as numpy's argmax.
            let mut class = 0;
            for other in 1..self.labels.len() {
                if value(4 + other, anchor) > value(4 + class, anchor) {
                    class = other;
                }
            }
            let score = value(4 + class, anchor);
            if score >= self.candidate {
                let bounds = self.place([0, 1, 2, 3].map(|row| value(row, anchor)), frame);
                candidates.push(Candidate { class, score, bounds });
            }
        }
        let kept = suppress(candidates, self.floor, self.overlap).into_iter();
        kept.map(|Candidate { class, score, bounds }| Found {
            label: self.labels[class].clone(),
            score,
            // Adding 0 makes -0 of the clipping 0.
            bounds: bounds.map(|value| value.trunc() + 0.0),
        })
        .collect()
    }

    /// From centre and size in the input to left, top and size in the picture.
    fn place(&self, [x, y, w, h]: [f32; 4], frame: &Frame) -> [f32; 4] {
        match frame.placed {
            Placed::Corner { across, down } => {
                let scale = |value: f32, from: u32, to: u32| value * from as f32 / to as f32;
                let (width, height) = (frame.width as f32, frame.height as f32);
                let left = scale(x - w / 2.0, across, self.input.width).min(width).max(0.0);
                let top = scale(y - h / 2.0, down, self.input.height).min(height).max(0.0);
                let w = scale(w, across, self.input.width).min(width - left);
                let h = scale(h, down, self.input.height).min(height - top);
                [left, top, w, h]
            }
            Placed::Centered { left, top, factor } => {
                let factor = factor as f32;
                let place = |center: f32, size: f32, before: u32| (center - size * 0.5 - before as f32) * factor;
                [place(x, w, left), place(y, h, top), w * factor, h * factor].map(f32::round_ties_even)
            }
            // Descriptions with it are refused.
            Placed::Cropped => [x - w / 2.0, y - h / 2.0, w, h],
        }
    }
}

/// OpenCV's `NMSBoxes`: of those with a score above `floor`, from the highest on, each that overlaps with none that is kept by more
/// than `overlap`.
fn suppress(mut candidates: Vec<Candidate>, floor: f32, overlap: f32) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.score > floor);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|other| intersection_over_union(&candidate.bounds, &other.bounds) <= overlap) {
            kept.push(candidate);
        }
    }
    kept
}

/// As OpenCV's `rectOverlap`: boxes without an area overlap wholly.
fn intersection_over_union(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let [a, b] = [a, b].map(|bounds| bounds.map(f64::from));
    let (area_a, area_b) = (a[2] * a[3], b[2] * b[3]);
    if area_a + area_b <= f64::EPSILON {
        return 1.0;
    }
    let common = |axis: usize| (a[axis] + a[2 + axis]).min(b[axis] + b[2 + axis]) - a[axis].max(b[axis]);
    let (width, height) = (common(0), common(1));
    let shared = if width > 0.0 && height > 0.0 { width * height } else { 0.0 };
    let distance = 1.0 - shared / (area_a + area_b - shared);
    1.0 - distance as f32
}
