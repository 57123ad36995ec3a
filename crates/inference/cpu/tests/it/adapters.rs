//! Preparing adapters.

use crate::model::{HASHES, Sequence, adapter, alone, backend, dora, paths, small};
use tributary_adapters::Projection;
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{InferenceBackend, LoraPart, PrepareError};
use tributary_weights::{Architecture, Format, Hashes};

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

/// One backend prepares and keeps, another finds, and a third has never kept anything: the same bits, and as much memory.
#[test]
fn kept_adapters_answer_as_prepared_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (config, weights) = small(44, Format::Q4_1, Architecture::Qwen2);
    let hashes = Hashes { weights: weights.hash(&config), ..HASHES };
    for path in paths() {
        let options = Options { threads: 2, path: Some(path), cache_tokens: 64, ..Options::default() };
        let start =
            || CpuBackend::cached(config.clone(), weights.clone(), &hashes, &options, folder.path()).unwrap();
        for (seed, adapter) in [
            (1, adapter(&config, 1, 8, &Projection::ALL)),
            (2, adapter(&config, 2, 16, &[Projection::Q, Projection::Down])),
            (3, dora(&config, 3, 8, &Projection::ALL)),
            (4, dora(&config, 4, 40, &[Projection::K])),
        ] {
            let plain = backend(&config, &weights, path, 1).preparer();
            let fresh = plain.prepare(&adapter, 0.75).unwrap();
            plain.keep(adapter.hash, 0.75, fresh.as_ref());
            assert!(plain.kept(adapter.hash, 0.75).is_none(), "without a folder nothing is kept");
            start().preparer().keep(adapter.hash, 0.75, fresh.as_ref());
            let mut later = start();
            let kept = later.preparer().kept(adapter.hash, 0.75).unwrap();
            assert_eq!((kept.bytes(), kept.rank()), (fresh.bytes(), fresh.rank()));
            assert_eq!(kept.composes(), fresh.composes());
            let mut answer = |prepared| {
                let lora = vec![LoraPart { hash: adapter.hash, weight: 0.75, prepared }];
                let sequence = Sequence { id: seed, tokens: (0..40).collect(), pages: vec![0, 1, 2], lora };
                alone(&mut later, &sequence, 40)
            };
            assert_eq!(answer(kept), answer(fresh));
        }
    }
    // One file serves every path.
    assert_eq!(std::fs::read_dir(folder.path().join("adapters")).unwrap().count(), 4);
}
