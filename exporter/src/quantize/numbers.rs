//! Numbers rounded to fewer bits, and what makes them wide again.

use super::BLOCK;

/// Rows of 8-bit numbers, `scale q`, symmetric: the largest of a row is 127.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// One of each row.
    pub scales: Vec<f32>,
    /// In row-major order.
    pub numbers: Vec<i8>,
}

impl Rows {
    /// Rows of `length` numbers.
    pub fn of(values: &[f32], length: usize) -> Self {
        let rows = values.chunks_exact(length.max(1));
        let scales: Vec<f32> = rows.clone().map(scale).collect();
        let round = |(row, &scale): (&[f32], &f32)| {
            row.iter().map(|x| (x / scale).round().clamp(-127.0, 127.0) as i8).collect::<Vec<_>>()
        };
        Self { numbers: rows.zip(&scales).flat_map(round).collect(), scales }
    }

    /// What they stand for.
    pub fn wide(&self) -> Vec<f32> {
        let length = self.numbers.len() / self.scales.len().max(1);
        let rows = self.numbers.chunks_exact(length.max(1)).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |&q| f32::from(q) * scale)).collect()
    }
}

/// Step of a row of 8-bit numbers; 1 where they are all zero.
pub fn scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

/// Rows of 4-bit numbers in blocks, `scale (q - zero)`: the least of a block is 0 and the largest 15, and zero is one of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// One of each block, row by row.
    pub scales: Vec<f32>,
    /// The same; two in a byte, the first in its lower half.
    pub zeros: Vec<u8>,
    /// In row-major order, two in a byte.
    pub numbers: Vec<u8>,
}

impl Blocks {
    /// Rows that fall into pairs of blocks.
    pub fn of(values: &[f32]) -> Self {
        let (mut scales, mut zeros, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for block in values.chunks(BLOCK) {
            let low = block.iter().fold(0.0_f32, |low, x| low.min(*x));
            let high = block.iter().fold(0.0_f32, |high, x| high.max(*x));
            let scale = if high > low { (high - low) / 15.0 } else { 1.0 };
            let zero = (-low / scale).round().clamp(0.0, 15.0);
            numbers.extend(block.iter().map(|x| ((x / scale).round() + zero).clamp(0.0, 15.0) as u8));
            scales.push(scale);
            zeros.push(zero as u8);
        }
        Self { scales, zeros: pairs(&zeros), numbers: pairs(&numbers) }
    }

    /// What they stand for.
    pub fn wide(&self) -> Vec<f32> {
        let (numbers, zeros) = (single(&self.numbers), single(&self.zeros));
        let blocks = numbers.chunks(BLOCK).zip(self.scales.iter().zip(zeros));
        blocks
            .flat_map(|(block, (scale, zero))| block.iter().map(move |&q| (f32::from(q) - f32::from(zero)) * scale))
            .collect()
    }
}

/// Two 4-bit numbers in each byte, the first in its lower half.
fn pairs(numbers: &[u8]) -> Vec<u8> {
    numbers.chunks(2).map(|pair| pair.iter().rev().fold(0, |byte, number| byte << 4 | number)).collect()
}

fn single(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect()
}

/// A bias as a sum of 8-bit products has it: in steps of the input's times each row's.
pub fn bias(bias: &[f32], input: f32, scales: &[f32]) -> Vec<i32> {
    bias.iter()
        .zip(scales)
        .map(|(b, scale)| (f64::from(*b) / (f64::from(input) * f64::from(*scale))).round() as i32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::noise::Generator;

    #[test]
    fn rows_by_hand() {
        let rows = Rows::of(&[1.27, -0.64, 0.0, 0.0, 0.0, 0.0, -254.0, 1.1, 127.0], 3);
        assert_eq!(rows.numbers, [127, -64, 0, 0, 0, 0, -127, 1, 64]);
        assert_eq!(rows.scales, [0.01, 1.0, 2.0]);
        assert_eq!(rows.wide()[6..], [-254.0, 2.0, 128.0]);
    }

    #[test]
    fn blocks_by_hand() {
        let mut values = vec![0.0; 2 * BLOCK];
        values[..4].copy_from_slice(&[-0.5, 1.0, 0.24, -0.1]);
        values[BLOCK] = 3.0;
        let blocks = Blocks::of(&values);
        // Steps of 0.1 from -0.5, zero is the fifth; steps of 0.2 from 0.
        assert!((blocks.scales[0] - 0.1).abs() < 1e-7 && (blocks.scales[1] - 0.2).abs() < 1e-7);
        assert_eq!(blocks.zeros, [0x05]);
        assert_eq!(blocks.numbers[..3], [0xf0, 0x47, 0x55]);
        assert_eq!((blocks.numbers[BLOCK / 2], blocks.numbers.len()), (0x0f, BLOCK));
        let wide = blocks.wide();
        assert!((wide[2] - 0.2).abs() < 1e-7 && wide[4] == 0.0 && (wide[BLOCK] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_further_off_than_half_a_step() {
        let values = Generator::new(3).randn(64 * 64);
        let rows = Rows::of(&values, 64);
        for (row, (scale, wide)) in values.chunks(64).zip(rows.scales.iter().zip(rows.wide().chunks(64))) {
            assert!(row.iter().zip(wide).all(|(a, b)| (a - b).abs() <= 0.5001 * scale));
        }
        let blocks = Blocks::of(&values);
        let wide = blocks.wide();
        for (i, (block, scale)) in values.chunks(BLOCK).zip(&blocks.scales).enumerate() {
            // The zero point is rounded too.
            assert!(block.iter().zip(&wide[i * BLOCK..]).all(|(a, b)| (a - b).abs() <= 1.0001 * scale));
        }
    }

    #[test]
    fn biases_are_in_steps_of_the_products() {
        assert_eq!(bias(&[0.5, -0.25], 0.1, &[0.5, 0.01]), [10, -250]);
    }
}
