//! DoRA: what an adapter's rows are scaled by, from section 6.
//!
//! ```text
//! g = magnitude / ‖W + w·scale·B·A‖ of a row        y = rn(g · rn(y + δ)), then the bias
//! ```
//!
//! W is the row as section 7 reads one of the embedding, w·scale·B in f32 as it is quantised, A in f32; from there on f64: products and
//! sums rounded one by one, parts of the rank ascending, then squares with k ascending, one square root, one division, rounded to f32
//! once. It is done while an adapter is prepared, so no step pays for it.

use crate::{
    blocks::{BLOCK, block},
    packed::Layout,
};
use tributary_adapters::LoraModule;
use tributary_weights::Matrix;

/// g of every row, with W as a file has it; `None` where one is not finite, as that of a row of zeros. `scaled` is w·scale·B. The sizes have
/// to fit each other.
pub fn gains_of(base: &Matrix, module: &LoraModule, scaled: &[f32], magnitude: &[f32]) -> Option<Vec<f32>> {
    let has_min = Layout::of(base.format()).has_min();
    let row = |index: usize, out: &mut [f32]| {
        for (b, values) in out.chunks_exact_mut(BLOCK).enumerate() {
            block(base, index, b).dequantize(has_min, values);
        }
    };
    gains(row, module, scaled, magnitude)
}

/// The same with W as `base` gives its rows.
pub(crate) fn gains(
    base: impl Fn(usize, &mut [f32]),
    module: &LoraModule,
    scaled: &[f32],
    magnitude: &[f32],
) -> Option<Vec<f32>> {
    let (rank, inputs) = (module.rank as usize, module.inputs as usize);
    let a: Vec<f64> = module.a.iter().map(|value| f64::from(*value)).collect();
    let (mut row, mut merged) = (vec![0.0f32; inputs], vec![0.0f64; inputs]);
    let gains = magnitude.iter().zip(scaled.chunks_exact(rank)).enumerate().map(|(index, (magnitude, b))| {
        base(index, &mut row);
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
