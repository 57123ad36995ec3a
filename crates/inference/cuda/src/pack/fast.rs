//! Packing for the fast tier: bf16, or e4m3 with a scale for each row, as `kernels/fast.cuh` says.

use super::layout::{Layout, Shape, TILE};
use half::bf16;

/// The largest value of e4m3.
const MOST: f32 = 448.0;
/// Bytes of a row's part of a chunk, and of a tile's chunk.
const CHUNK: usize = 32;
const TILE_CHUNK: usize = TILE * CHUNK;

/// Packs the rows that `row` fills in into `out`, which has the shape's size and is zero. Large matrices are shared out to threads. False if
/// a value has no place in the form: one that is not finite, or in bf16 would not be.
pub fn pack_fast(shape: Shape, out: &mut [u8], row: &(dyn Fn(usize, &mut [f32]) + Sync)) -> bool {
    let (codes, scales) = out.split_at_mut(shape.scales_at());
    let threads = if shape.rows * shape.columns < 1 << 20 {
        1
    } else {
        std::thread::available_parallelism().map_or(1, usize::from)
    };
    let each = shape.tiles().div_ceil(threads).max(1);
    let tile_bytes = (shape.blocks() * TILE_CHUNK).max(1);
    let mut scales = scales.chunks_mut(each * TILE * 4);
    std::thread::scope(|scope| {
        let parts = codes.chunks_mut(each * tile_bytes).enumerate().map(|(index, codes)| {
            let scales = scales.next().unwrap_or_default();
            let mut work = move || {
                let rows = index * each * TILE..shape.rows.min((index + 1) * each * TILE);
                let mut part = Part { shape, codes, scales };
                let mut values = vec![0.0; shape.columns];
                rows.enumerate().all(|(at, index)| {
                    row(index, &mut values);
                    part.row(at, &values)
                })
            };
            if threads == 1 { Ok(work()) } else { Err(scope.spawn(work)) }
        });
        // All are begun before the first is waited for.
        let parts: Vec<_> = parts.collect();
        parts
            .into_iter()
            .map(|part| part.unwrap_or_else(|thread| thread.join().unwrap_or(false)))
            .fold(true, |all, one| all & one)
    })
}

/// Some tiles.
struct Part<'a> {
    shape: Shape,
    codes: &'a mut [u8],
    scales: &'a mut [u8],
}

impl Part<'_> {
    fn row(&mut self, row: usize, values: &[f32]) -> bool {
        match self.shape.layout {
            Layout::Eight => self.eights(row, values),
            _ => self.brains(row, values),
        }
    }

    fn brains(&mut self, row: usize, values: &[f32]) -> bool {
        values.iter().enumerate().fold(true, |good, (k, value)| {
            let value = bf16::from_f32(*value);
            let at = self.place(row, k * 2);
            self.codes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            good & value.is_finite()
        })
    }

    fn eights(&mut self, row: usize, values: &[f32]) -> bool {
        let most = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // Smaller ones would not be seen beside anything, and their inverse overflows.
        let inverse = if most < 1e-30 { 0.0 } else { MOST / most };
        for (k, value) in values.iter().enumerate() {
            let at = self.place(row, k);
            self.codes[at] = e4m3(value * inverse);
        }
        let scale = if inverse == 0.0 { 0.0 } else { most / MOST };
        self.scales[row * 4..row * 4 + 4].copy_from_slice(&scale.to_le_bytes());
        values.iter().all(|value| value.is_finite())
    }

    /// Where byte `byte` of a row lies.
    fn place(&self, row: usize, byte: usize) -> usize {
        let (tile, row, chunk, byte) = (row / TILE, row % TILE, byte / CHUNK, byte % CHUNK);
        let lane = row % 8 * 4 + byte / 8;
        let word = byte % 8 / 4 * 2 + row / 8;
        (tile * self.shape.blocks() + chunk) * TILE_CHUNK + lane * 16 + word * 4 + byte % 4
    }
}

/// A value in e4m3, rounded to nearest even; what is too large becomes 448.
pub fn e4m3(value: f32) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    if value.is_nan() {
        return sign | 0x7f;
    }
    let most = value.abs();
    if most >= MOST {
        return sign | 0x7e;
    }
    // Units of the last place: eight make the next exponent's first. Below 2⁻⁶ they are 2⁻⁹.
    let exponent = ((most.to_bits() >> 23) as i32 - 127).max(-6);
    let units = (most * 2f32.powi(3 - exponent)).round_ties_even() as u8;
    sign | ((((exponent + 6) as u8) << 3) + units)
}

#[cfg(test)]
mod tests {
    use super::e4m3;

    fn value(code: u8) -> f32 {
        let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
        let most = if exponent == 0 {
            fraction * 2f32.powi(-9)
        } else {
            (8.0 + fraction) * 2f32.powi(exponent - 10)
        };
        if code & 0x80 == 0 { most } else { -most }
    }

    #[test]
    fn every_code_is_itself_and_what_lies_between_goes_to_the_nearer() {
        for code in (0..=255u8).filter(|code| code & 0x7f != 0x7f) {
            assert_eq!(e4m3(value(code)), code);
        }
        for code in 0..0x7eu8 {
            let (low, high) = (value(code), value(code + 1));
            let middle = (low + high) / 2.0;
            let even = if code % 2 == 0 { code } else { code + 1 };
            assert_eq!(e4m3(middle), even, "between {low} and {high}");
            assert_eq!(e4m3(middle.next_down()), code);
            assert_eq!(e4m3(-middle.next_up()), 0x80 | (code + 1));
        }
        assert_eq!((e4m3(449.0), e4m3(f32::INFINITY), e4m3(-1e30)), (0x7e, 0x7e, 0xfe));
        assert_eq!(e4m3(f32::NAN) & 0x7f, 0x7f);
    }
}
