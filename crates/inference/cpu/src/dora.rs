//! DoRA: what an adapter's rows are scaled by, from section 6.
//!
//! ```text
//! g = magnitude / ‖W + w·scale·B·A‖ of a row        y = rn(g · rn(y + δ)), then the bias
//! ```
//!
//! W is the row as section 7 reads one of the embedding, w·scale·B in f32 as it is quantised, A in f32; from there on f64: products and
//! sums rounded one by one, parts of the rank ascending, then squares with k ascending, one square root, one division, rounded to f32
//! once. It is done while an adapter is prepared, so no step pays for it.

use crate::packed::Packed;
use tributary_adapters::LoraModule;

/// g of every row; `None` where one is not finite, as that of a row of zeros.
pub(crate) fn gains(
    base: &Packed,
    module: &LoraModule,
    scaled: &[f32],
    magnitude: &[f32],
) -> Option<Vec<f32>> {
    let (rank, inputs) = (module.rank as usize, module.inputs as usize);
    let a: Vec<f64> = module.a.iter().map(|value| f64::from(*value)).collect();
    let (mut row, mut merged) = (vec![0.0f32; inputs], vec![0.0f64; inputs]);
    let gains = magnitude.iter().zip(scaled.chunks_exact(rank)).enumerate().map(|(index, (magnitude, b))| {
        base.dequantize_row(index, &mut row);
        for (merged, value) in merged.iter_mut().zip(&row) {
            *merged = f64::from(*value);
        }
        for (b, a) in b.iter().zip(a.chunks_exact(inputs)) {
            let b = f64::from(*b);
            for (merged, a) in merged.iter_mut().zip(a) {
                *merged += b * a;
            }
        }
        let squares = merged.iter().fold(0.0f64, |sum, value| sum + value * value);
        let gain = (f64::from(*magnitude) / squares.sqrt()) as f32;
        gain.is_finite().then_some(gain)
    });
    gains.collect()
}
