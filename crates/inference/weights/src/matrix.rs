//! A weight matrix as stored.

use crate::{Format, WeightsError};

/// Rows of blocks, row after row, in Hugging Face order.
#[derive(Clone, PartialEq)]
pub struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    data: Vec<u8>,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix({} × {} {})", self.rows, self.columns, self.format)
    }
}

impl Matrix {
    /// From stored bytes. Checks the size and that every scale is finite.
    pub fn new(format: Format, rows: usize, columns: usize, data: Vec<u8>) -> Result<Self, WeightsError> {
        if format.bytes(rows as u64, columns as u64) != Some(data.len() as u64) {
            let reason = format!("{} bytes for {rows} × {columns} in {format}", data.len());
            return Err(WeightsError::Inconsistent(reason));
        }
        if !data.chunks_exact(format.block_bytes()).all(|block| format.block_is_finite(block)) {
            return Err(WeightsError::Inconsistent("a weight is not finite".into()));
        }
        Ok(Self { format, rows, columns, data })
    }

    /// From floats, row-major.
    pub fn from_f32(rows: usize, columns: usize, values: &[f32]) -> Result<Self, WeightsError> {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(Format::F32, rows, columns, data)
    }

    /// Block format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Output width.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Input width.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The stored bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The stored bytes of a row.
    pub fn row(&self, row: usize) -> &[u8] {
        let bytes = self.row_bytes();
        &self.data[row * bytes..(row + 1) * bytes]
    }

    /// Dequantises a row into `out`, which has [`columns`](Self::columns) values.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let blocks = self.row(row).chunks_exact(self.format.block_bytes());
        for (block, values) in blocks.zip(out.chunks_exact_mut(self.format.block_len())) {
            self.format.dequantize_block(block, values);
        }
    }

    /// Dequantises the whole matrix, row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.columns];
        for (row, out) in values.chunks_exact_mut(self.columns).enumerate() {
            self.dequantize_row(row, out);
        }
        values
    }

    /// Undoes GGUF's rotary permutation: its rows interleave the two halves of each head.
    #[must_use]
    pub(crate) fn unpermuted(self, heads: usize) -> Self {
        let (bytes, head) = (self.row_bytes(), self.rows / heads);
        let mut data = Vec::with_capacity(self.data.len());
        for first in (0..self.rows).step_by(head) {
            for half in 0..2 {
                for pair in 0..head / 2 {
                    let row = first + pair * 2 + half;
                    data.extend_from_slice(&self.data[row * bytes..(row + 1) * bytes]);
                }
            }
        }
        Self { data, ..self }
    }

    const fn row_bytes(&self) -> usize {
        self.columns / self.format.block_len() * self.format.block_bytes()
    }
}
