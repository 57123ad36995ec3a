//! Preparing adapters.

use crate::model::{adapter, backend, paths, small};
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
    assert!(matches!(
        refusal(&|m| m.magnitude = Some(vec![1.0; 256]), 1.0),
        PrepareError::Unsupported("DoRA")
    ));
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
