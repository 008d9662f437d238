//! OpenCV's `resize` with `INTER_LINEAR` on bytes (`imgproc/src/resize.cpp`): weights of 11 bits, and sums that lose their last bits
//! on the way.

use image::RgbImage;

/// 1 as a weight.
const ONE: f32 = 2048.0;

/// What one position is made of: two neighbours and their weights.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

/// The pairs of one direction. Beyond the border, columns stay where they are, with all the weight on one; rows keep their weights, of
/// the same row twice, which rounds alike.
fn pairs(from: u32, to: u32, columns: bool) -> Vec<Pair> {
    // As OpenCV has it: the inverse of the inverse.
    let scale = 1.0 / (f64::from(to) / f64::from(from));
    let last = i64::from(from) - 1;
    let pair = |i: u32| {
        let at = ((f64::from(i) + 0.5) * scale - 0.5) as f32;
        let mut first = at.floor() as i64;
        let mut rest = at - first as f32;
        if columns && (first < 0 || first >= last) {
            (first, rest) = (first.clamp(0, last), 0.0);
        }
        let weight = |share: f32| (share * ONE).round_ties_even() as i32;
        let inside = |position: i64| position.clamp(0, last) as usize;
        Pair { first: inside(first), second: inside(first + 1), weights: [weight(1.0 - rest), weight(rest)] }
    };
    (0..to).map(pair).collect()
}

/// Resizes a picture. One without pixels, or to none, becomes black.
pub fn linear(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let mut resized = RgbImage::new(width, height);
    if picture.is_empty() || resized.is_empty() {
        return resized;
    }
    let across = pairs(picture.width(), width, true);
    let row_bytes = 3 * picture.width() as usize;
    let widen = |row: usize| -> Vec<i32> {
        let row = &picture.as_raw()[row * row_bytes..][..row_bytes];
        let mixed = |pair: &Pair| {
            let (pair, row) = (*pair, row);
            [0, 1, 2].map(|channel| {
                i32::from(row[3 * pair.first + channel]) * pair.weights[0]
                    + i32::from(row[3 * pair.second + channel]) * pair.weights[1]
            })
        };
        across.iter().flat_map(mixed).collect()
    };
    // Two rows are needed at a time, and most are needed again.
    let mut kept: [Option<(usize, Vec<i32>)>; 2] = [None, None];
    for (pair, to) in
        pairs(picture.height(), height, false).into_iter().zip(resized.chunks_exact_mut(3 * width as usize))
    {
        let [mut first, mut second] = kept;
        if second.as_ref().is_some_and(|(row, _)| *row == pair.first) {
            std::mem::swap(&mut first, &mut second);
        }
        let first = first.filter(|(row, _)| *row == pair.first).unwrap_or_else(|| (pair.first, widen(pair.first)));
        let second = second.filter(|(row, _)| *row == pair.second).unwrap_or_else(|| (pair.second, widen(pair.second)));
        let [above, below] = pair.weights;
        for ((to, a), b) in to.iter_mut().zip(&first.1).zip(&second.1) {
            let sum = ((above * (a >> 4)) >> 16) + ((below * (b >> 4)) >> 16);
            *to = ((sum + 2) >> 2).clamp(0, 255) as u8;
        }
        kept = [Some(first), Some(second)];
    }
    resized
}
