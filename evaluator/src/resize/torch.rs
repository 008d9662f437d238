//! PyTorch's `interpolate(mode="bilinear", align_corners=False)` in single precision.

use image::RgbImage;

/// What one position is made of: two neighbours and their weights.
struct Pair {
    first: usize,
    second: usize,
    weights: [f32; 2],
}

fn pairs(from: u32, to: u32) -> Vec<Pair> {
    let scale = from as f32 / to as f32;
    let last = from as usize - 1;
    let pair = |i: u32| {
        // PyTorch is compiled with fused multiplications, here and below.
        let at = scale.mul_add(i as f32 + 0.5, -0.5).max(0.0);
        let first = (at as usize).min(last);
        let rest = (at - first as f32).clamp(0.0, 1.0);
        Pair { first, second: (first + 1).min(last), weights: [1.0 - rest, rest] }
    };
    (0..to).map(pair).collect()
}

/// Resizes a picture to `[3, height, width]`, values 0 to 255. Where a side is 0, there are no values.
pub fn bilinear(picture: &RgbImage, width: u32, height: u32) -> Vec<f32> {
    if picture.is_empty() {
        return vec![0.0; 3 * width as usize * height as usize];
    }
    let (across, down) = (pairs(picture.width(), width), pairs(picture.height(), height));
    let row_bytes = 3 * picture.width() as usize;
    let row = |y: usize| &picture.as_raw()[y * row_bytes..][..row_bytes];
    let mut values = Vec::with_capacity(3 * across.len() * down.len());
    for channel in 0..3 {
        for vertical in &down {
            let rows = [row(vertical.first), row(vertical.second)];
            for horizontal in &across {
                let [above, below] = rows.map(|row| {
                    let value = |x: usize| f32::from(row[3 * x + channel]);
                    value(horizontal.first) * horizontal.weights[0] + value(horizontal.second) * horizontal.weights[1]
                });
                values.push(above * vertical.weights[0] + below * vertical.weights[1]);
            }
        }
    }
    values
}
