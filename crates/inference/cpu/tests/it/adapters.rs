//! Preparing adapters.

use crate::model::{adapter, backend, dora, paths, small};
use tributary_adapters::Projection;
use tributary_engine::{InferenceBackend, PrepareError};
use tributary_weights::{Architecture, Format};

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (config, weights) = small(41, Format::Q4_1, Architecture::Llama);
    let preparer = backend(&config, &weights, paths()[0], 1).preparer();
    let good = adapter(&config, 1, 4, &[Projection::Q]);
    assert!(preparer.prepare(&good, 1.0).is_ok());
    let refusal = |edit: &dyn Fn(&mut tributary_adapters::LoraModule), weight: f32| {
        let mut bad = good.clone();
        edit(&mut bad.modules[1]);
        preparer.prepare(&bad, weight).unwrap_err()
    };
    assert!(matches!(refusal(&|m| m.outputs = 128, 1.0), PrepareError::Mismatch(_)));
    assert!(matches!(refusal(&|m| m.layer = 2, 1.0), PrepareError::Mismatch(_)));
    assert!(matches!(refusal(&|m| m.a.truncate(9), 1.0), PrepareError::Mismatch(_)));
    assert!(matches!(refusal(&|m| m.rank = 0, 1.0), PrepareError::Mismatch(_)));
    assert!(matches!(refusal(&|m| m.scale = 1e38, 1e20), PrepareError::NonFinite(_)));
    assert!(matches!(refusal(&|m| m.a[3] = f32::NAN, 1.0), PrepareError::NonFinite(_)));
    assert!(matches!(refusal(&|m| m.magnitude = Some(vec![1.0; 255]), 1.0), PrepareError::Mismatch(_)));
    for magnitude in [f32::NAN, f32::INFINITY] {
        let refused = refusal(&|m| m.magnitude = Some(vec![magnitude; 256]), 1.0);
        assert!(matches!(&refused, PrepareError::NonFinite(what) if what.contains("magnitude")), "{refused}");
    }
}

#[test]
fn size_is_what_int8_costs() {
    let (config, weights) = small(42, Format::Q4_1, Architecture::Llama);
    let preparer = backend(&config, &weights, paths()[0], 1).preparer();
    let prepared = preparer.prepare(&adapter(&config, 1, 16, &Projection::ALL), 1.0).unwrap();
    let values: usize =
        adapter(&config, 1, 16, &Projection::ALL).modules.iter().map(|m| m.a.len() + m.b.len()).sum();
    assert!(prepared.bytes() < values * 5 / 4, "{} bytes for {values} values", prepared.bytes());
}

#[test]
fn a_row_of_zeros_has_no_direction() {
    let (config, mut weights) = small(43, Format::F32, Architecture::Llama);
    let zeros = vec![0; 256 * 256 * 4];
    weights.layers[1].q = tributary_weights::Matrix::new(Format::F32, 256, 256, zeros).unwrap();
    let preparer = backend(&config, &weights, paths()[0], 1).preparer();
    let mut adapter = dora(&config, 1, 4, &[Projection::Q]);
    preparer.prepare(&adapter, 1.0).unwrap();
    adapter.modules[1].b.fill(0.0);
    let refused = preparer.prepare(&adapter, 1.0).unwrap_err();
    assert!(matches!(&refused, PrepareError::NonFinite(what) if what.contains("layer 1")), "{refused}");
}
