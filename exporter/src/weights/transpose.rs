//! Matrices transposed while they are copied.

use std::io::{self, Write};

/// Size of what is transposed before it is written: large beside the pieces of a row that it is made of, small beside memory.
const PANEL: usize = 8 << 20;
/// Rows and columns of a block: a cache line each way for elements of 4 bytes.
const BLOCK: usize = 16;

/// Writes a row-major matrix of `columns` columns, of elements of `N` bytes, column by column.
pub(super) fn transpose<const N: usize>(matrix: &[u8], columns: usize, out: &mut dyn Write) -> io::Result<()> {
    let (elements, rest) = matrix.as_chunks::<N>();
    if columns == 0 || !rest.is_empty() || elements.len() % columns != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the matrix has an unfinished row"));
    }
    let rows = elements.len() / columns;
    let width = (PANEL / (rows * N).max(1)).next_multiple_of(BLOCK).min(columns);
    let mut panel = vec![[0; N]; width * rows];
    for first in (0..columns).step_by(width) {
        let width = width.min(columns - first);
        let panel = &mut panel[..width * rows];
        for (block, lines) in elements.chunks(columns * BLOCK).enumerate() {
            for left in (0..width).step_by(BLOCK) {
                let right = (left + BLOCK).min(width);
                for (i, line) in lines.chunks_exact(columns).enumerate() {
                    let row = block * BLOCK + i;
                    for (column, element) in (left..right).zip(&line[first + left..]) {
                        panel[column * rows + row] = *element;
                    }
                }
            }
        }
        out.write_all(panel.as_flattened())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        for (rows, columns) in [(1, 1), (3, 5), (16, 16), (17, 33), (40, 1), (1, 40), (700, 3000)] {
            let element = |row: usize, column: usize| ((row * columns + column) as u32).to_le_bytes();
            let matrix: Vec<u8> = (0..rows).flat_map(|r| (0..columns).flat_map(move |c| element(r, c))).collect();
            let wanted: Vec<u8> = (0..columns).flat_map(|c| (0..rows).flat_map(move |r| element(r, c))).collect();
            let mut out = Vec::new();
            transpose::<4>(&matrix, columns, &mut out).unwrap();
            assert_eq!(out, wanted, "{rows} x {columns}");
        }
    }

    #[test]
    fn more_than_one_panel() {
        let (rows, columns) = (3000, 1200);
        let matrix: Vec<u8> = (0..rows * columns).flat_map(|i| (i as u32).to_le_bytes()).collect();
        assert!(matrix.len() > PANEL);
        let mut out = Vec::new();
        transpose::<4>(&matrix, columns, &mut out).unwrap();
        let at = |row: usize, column: usize| u32::from_le_bytes(out.as_chunks().0[column * rows + row]) as usize;
        for (row, column) in [(0, 0), (2999, 1199), (17, 700), (1500, 699)] {
            assert_eq!(at(row, column), row * columns + column);
        }
    }

    #[test]
    fn an_unfinished_row_is_an_error() {
        assert!(transpose::<4>(&[0; 28], 3, &mut Vec::new()).is_err());
        assert!(transpose::<4>(&[0; 27], 3, &mut Vec::new()).is_err());
    }
}
