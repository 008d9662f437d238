//! Decoding latents in overlapping tiles, so that memory depends on the tile and not on the picture.
//!
//! Along each axis all tiles have one length and are spread evenly. Where two overlap, a quarter of the overlap at either end
//! belongs to the tile that has more picture beyond it (near its edge a tile sees the padding of the convolutions instead of
//! the picture), and in the half between them one tile fades into the other with a continuous slope, so no seam shows.

/// Shortest side of a tile, in latents.
pub const SHORTEST: usize = 16;

/// Latents that neighbouring tiles of this side share at least.
fn overlap(side: usize) -> usize {
    (side / 4).max(SHORTEST / 2)
}

/// One axis of a picture in tiles, in latents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    length: usize,
    side: usize,
    starts: Vec<usize>,
}

impl Axis {
    /// `length` latents in tiles of `side`, or in one tile where it is no longer than that.
    pub fn new(length: usize, side: usize) -> Self {
        if length <= side {
            return Self { length, side: length, starts: vec![0] };
        }
        let side = side.max(SHORTEST);
        let steps = (length - side).div_ceil(side - overlap(side)).max(1);
        let starts = (0..=steps).map(|i| (i * (length - side) + steps / 2) / steps).collect();
        Self { length, side, starts }
    }

    /// Latents of the whole axis.
    pub fn length(&self) -> usize {
        self.length
    }

    /// First latent of each tile.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The share of tile number `tile` in each of its pixels, `factor` of them to a latent. Over all tiles the shares of a
    /// pixel of the picture sum to 1.
    pub fn shares(&self, tile: usize, factor: usize) -> Vec<f32> {
        let Some(&start) = self.starts.get(tile) else { return Vec::new() };
        let end = start + self.side;
        let before = tile.checked_sub(1).and_then(|i| self.starts.get(i)).map(|s| (start, s + self.side));
        let after = self.starts.get(tile + 1).map(|&s| (s, end));
        // how far into the shared part, 0 to 1, the second of two tiles has taken over
        let taken = |pixel: usize, shared: Option<(usize, usize)>| {
            let (from, to) = shared?;
            let (from, to) = ((from * factor) as f32, (to * factor) as f32);
            let x = ((pixel as f32 + 0.5 - (from + to) / 2.0) / (overlap(self.side) * factor) as f32 * 2.0 + 0.5)
                .clamp(0.0, 1.0);
            Some(x * x * (3.0 - 2.0 * x))
        };
        (start * factor..end * factor)
            .map(|pixel| taken(pixel, before).unwrap_or(1.0) * (1.0 - taken(pixel, after).unwrap_or(0.0)))
            .collect()
    }
}

/// A picture in tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// From top to bottom.
    pub rows: Axis,
    /// From left to right.
    pub columns: Axis,
}

impl Tiling {
    /// Latents of `height` and `width` in one piece.
    pub fn whole(height: usize, width: usize) -> Self {
        Self { rows: Axis::new(height, height), columns: Axis::new(width, width) }
    }

    /// Latents of `height` and `width` in the largest tiles that fit, as square as they can be; `None` where even the smallest
    /// do not. `fits` is asked with a tile's height and width.
    pub fn largest(height: usize, width: usize, fits: impl Fn(usize, usize) -> bool) -> Option<Self> {
        let longest = height.max(width);
        let shorter = (SHORTEST..longest).rev().filter(|side| side % 8 == 0);
        std::iter::once(longest)
            .chain(shorter)
            .find(|&side| fits(height.min(side), width.min(side)))
            .map(|side| Self { rows: Axis::new(height, side), columns: Axis::new(width, side) })
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.rows.starts.len() * self.columns.starts.len()
    }

    /// Height and width of each tile, in latents.
    pub fn tile(&self) -> (usize, usize) {
        (self.rows.side, self.columns.side)
    }
}

/// A picture put together from tiles, `[3, height, width]` in pixels.
pub struct Canvas<'a> {
    tiling: &'a Tiling,
    factor: usize,
    planes: Vec<f32>,
}

impl<'a> Canvas<'a> {
    /// An empty canvas; `factor` pixels to a latent.
    pub fn new(tiling: &'a Tiling, factor: usize) -> Self {
        let pixels = tiling.rows.length * tiling.columns.length * factor * factor;
        Self { tiling, factor, planes: vec![0.0; 3 * pixels] }
    }

    /// Adds the decoded tile (`[3, height, width]`) of a row and a column of tiles.
    pub fn add(&mut self, row: usize, column: usize, tile: &[f32]) {
        let (rows, columns) = (&self.tiling.rows, &self.tiling.columns);
        let (Some(&top), Some(&left)) = (rows.starts.get(row), columns.starts.get(column)) else { return };
        let (down, across) = (rows.shares(row, self.factor), columns.shares(column, self.factor));
        let width = columns.length * self.factor;
        let first = top * self.factor * width + left * self.factor;
        let plane = rows.length * self.factor * width;
        let channels = self.planes.chunks_exact_mut(plane).zip(tile.chunks_exact(down.len() * across.len()));
        for (plane, tile) in channels {
            let lines = plane.get_mut(first..).unwrap_or_default().chunks_mut(width);
            for ((line, values), down) in lines.zip(tile.chunks_exact(across.len())).zip(&down) {
                for ((pixel, value), across) in line.iter_mut().zip(values).zip(&across) {
                    *pixel += down * across * value;
                }
            }
        }
    }

    /// The planes, once every tile was added.
    pub fn into_planes(self) -> Vec<f32> {
        self.planes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_axis_and_overlap_enough() {
        for length in 1..300 {
            for side in (16..200).step_by(8) {
                let axis = Axis::new(length, side);
                assert_eq!((axis.starts[0], axis.starts[axis.starts.len() - 1] + axis.side), (0, length));
                assert!(axis.starts.windows(2).all(|s| s[1] > s[0] && s[1] - s[0] <= axis.side - overlap(axis.side)));
            }
        }
        assert_eq!(Axis::new(96, 64), Axis { length: 96, side: 64, starts: vec![0, 32] });
        assert_eq!(Axis::new(64, 64).starts, [0]);
    }

    #[test]
    fn shares_sum_to_one_and_fade() {
        for (length, side) in [(17, 16), (96, 64), (129, 64), (200, 40), (65, 64), (110, 64), (64, 64)] {
            for factor in [1, 2, 8] {
                let axis = Axis::new(length, side);
                let mut sums = vec![0.0; length * factor];
                for (tile, start) in axis.starts.iter().enumerate() {
                    let shares = axis.shares(tile, factor);
                    assert_eq!(shares.len(), axis.side * factor);
                    shares.iter().enumerate().for_each(|(i, share)| sums[start * factor + i] += share);
                    let slope = 1.5 / (overlap(side) * factor / 2) as f32 + 1e-6;
                    assert!(shares.windows(2).all(|s| (s[0] - s[1]).abs() <= slope), "{length} {side} {factor}");
                    // what a tile sees at its edge is not used
                    let unused = overlap(side) * factor / 4;
                    let inner = |edge: bool, shares: &[f32]| edge || shares.iter().all(|&s| s == 0.0);
                    assert!(inner(tile == 0, &shares[..unused]));
                    assert!(inner(tile + 1 == axis.starts.len(), &shares[shares.len() - unused..]));
                }
                assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{length} {side} {factor}: {sums:?}");
            }
        }
    }

    #[test]
    fn the_largest_tile_that_fits() {
        let sides = |height, width, most| {
            let tiling = Tiling::largest(height, width, |h, w| h * w <= most)?;
            Some((tiling.tile(), tiling.count()))
        };
        assert_eq!(sides(64, 64, 4096), Some(((64, 64), 1)));
        assert_eq!(sides(64, 64, 4095), Some(((56, 56), 4)));
        assert_eq!(sides(20, 100, 400), Some(((16, 16), 24)));
        assert_eq!(sides(20, 100, 480), Some(((20, 24), 6)));
        assert_eq!(sides(8, 8, 64), Some(((8, 8), 1)));
        assert_eq!(sides(64, 64, 100), None);
    }

    /// A picture that is the same in every tile comes back.
    #[test]
    fn a_canvas_puts_the_tiles_together() {
        let tiling = Tiling::largest(40, 56, |h, w| h * w <= 1024).unwrap();
        let picture = |channel: usize, y: usize, x: usize| (channel * 7919 + y * 31 + x) as f32;
        let mut canvas = Canvas::new(&tiling, 2);
        let (height, width) = tiling.tile();
        for (row, top) in tiling.rows.starts().iter().enumerate() {
            for (column, left) in tiling.columns.starts().iter().enumerate() {
                let pixels = (0..3 * height * width * 4).map(|i| {
                    let (channel, y, x) = (i / (height * width * 4), i / (width * 2) % (height * 2), i % (width * 2));
                    picture(channel, top * 2 + y, left * 2 + x)
                });
                canvas.add(row, column, &pixels.collect::<Vec<_>>());
            }
        }
        let planes = canvas.into_planes();
        assert_eq!(planes.len(), 3 * 80 * 112);
        for (i, value) in planes.iter().enumerate() {
            let expected = picture(i / (80 * 112), i / 112 % 80, i % 112);
            assert!((value - expected).abs() < 0.01, "{i}: {value} is not {expected}");
        }
    }
}
