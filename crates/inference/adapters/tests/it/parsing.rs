//! Artifacts, well-formed and otherwise.

use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::json;
use tributary_adapters::{
    Adapter, AdapterError, Artifact, Bounds, CONFIG_FILE, Geometry, Projection, Severity, TENSORS_FILE,
    artifact_hash,
};
use tributary_testkit::{AdapterSpec, GEOMETRY, TensorEdit, artifact, artifact_with};

const A: &str = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight";
const B: &str = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";

fn parse(artifact: &Artifact) -> Result<Adapter, AdapterError> {
    artifact.parse(&GEOMETRY, &Bounds::default())
}

fn tampered(edit: impl FnOnce(&mut TensorEdit)) -> AdapterError {
    parse(&artifact_with(&AdapterSpec::new(1), edit)).unwrap_err()
}

#[test]
fn every_module_in_order_with_its_scale() {
    let artifact = artifact(&AdapterSpec::new(1));
    let adapter = parse(&artifact).unwrap();
    assert_eq!(adapter.hash, artifact.hash());
    assert_eq!(adapter.modules.len(), 14);
    assert!(adapter.modules.is_sorted_by_key(|module| (module.layer, module.projection)));
    for module in &adapter.modules {
        let (inputs, outputs) = GEOMETRY.shape(module.projection);
        assert_eq!((module.inputs, module.outputs), (inputs, outputs));
        assert_eq!(module.a.len(), (module.rank * inputs) as usize);
        assert_eq!(module.b.len(), (outputs * module.rank) as usize);
        assert_eq!(module.scale, 2.0);
    }
    assert_eq!(adapter.max_rank(), 8);
    assert!(!adapter.is_dora());
    assert!(adapter.module(1, Projection::Down).is_some());
    assert!(adapter.module(2, Projection::Down).is_none());
}

#[test]
fn half_precision_is_widened_exactly() {
    for (dtype, convert) in [
        (Dtype::BF16, (|v: f32| half::bf16::from_f32(v).to_le_bytes()) as fn(f32) -> [u8; 2]),
        (Dtype::F16, |v| half::f16::from_f32(v).to_le_bytes()),
    ] {
        let artifact = artifact_with(&AdapterSpec::new(2), |tensors| {
            for entry in tensors.values_mut() {
                let narrow = |bytes: &[u8]| convert(f32::from_le_bytes(bytes.try_into().unwrap()));
                *entry = (dtype, entry.1.clone(), entry.2.chunks(4).flat_map(narrow).collect());
            }
        });
        let adapter = parse(&artifact).unwrap();
        let exact = parse(&self::artifact(&AdapterSpec::new(2))).unwrap();
        for (narrow, wide) in adapter.modules.iter().zip(&exact.modules) {
            for (n, w) in narrow.a.iter().zip(&wide.a) {
                assert!((n - w).abs() <= w.abs() / 128.0);
            }
        }
    }
}

#[test]
fn magnitudes_of_dora_are_read_under_both_names() {
    let spec = AdapterSpec::new(3).targets(&[Projection::K]).config("use_dora", json!(true));
    for suffix in ["lora_magnitude_vector", "lora_magnitude_vector.weight"] {
        let artifact = artifact_with(&spec, |tensors| {
            for layer in 0..GEOMETRY.layers {
                let name = format!("base_model.model.model.layers.{layer}.self_attn.k_proj.{suffix}");
                let ones = 1f32.to_le_bytes().repeat(GEOMETRY.key as usize);
                tensors.insert(name, (Dtype::F32, vec![GEOMETRY.key as usize], ones));
            }
        });
        let adapter = parse(&artifact).unwrap();
        assert!(adapter.is_dora());
        assert_eq!(adapter.modules[0].magnitude, Some(vec![1.0; 64]));
    }
    // A magnitude that the configuration does not mention is not dropped in silence.
    let silent = AdapterSpec::new(3).targets(&[Projection::K]);
    let extra = artifact_with(&silent, |tensors| {
        let name = "base_model.model.model.layers.0.self_attn.k_proj.lora_magnitude_vector".to_owned();
        tensors.insert(name, (Dtype::F32, vec![64], vec![0; 256]));
    });
    assert!(matches!(parse(&extra), Err(AdapterError::UnknownTensor(_))));
}

#[test]
fn missing_and_surplus_tensors() {
    assert_eq!(tampered(|tensors| drop(tensors.remove(A))), AdapterError::MissingTensor(A.into()));
    assert_eq!(tampered(|tensors| drop(tensors.remove(B))), AdapterError::MissingTensor(B.into()));
    let head = "base_model.model.lm_head.weight";
    let error = tampered(|tensors| drop(tensors.insert(head.into(), (Dtype::F32, vec![1], vec![0; 4]))));
    assert_eq!(error, AdapterError::UnknownTensor(head.into()));
}

#[test]
fn wrong_shapes_and_types() {
    let error = tampered(|tensors| tensors.get_mut(A).unwrap().1 = vec![128, 8]);
    assert_eq!(error, AdapterError::Shape { name: A.into(), expected: vec![8, 128], got: vec![128, 8] });
    let error = tampered(|tensors| tensors.get_mut(B).unwrap().1 = vec![1024]);
    assert!(matches!(error, AdapterError::Shape { .. }));
    let error = tampered(|tensors| tensors.get_mut(A).unwrap().0 = Dtype::I32);
    assert!(matches!(error, AdapterError::DType { .. }));
    // The rank of the configuration is the one that counts.
    let wrong = artifact(&AdapterSpec::new(1).config("r", json!(4)));
    assert!(matches!(parse(&wrong), Err(AdapterError::Shape { .. })));
}

#[test]
fn an_adapter_of_another_model_does_not_fit() {
    let other = Geometry { hidden: 64, ..GEOMETRY };
    let error = artifact(&AdapterSpec::new(1)).parse(&other, &Bounds::default()).unwrap_err();
    assert!(matches!(error, AdapterError::Shape { .. }));
    let shallow = Geometry { layers: 1, ..GEOMETRY };
    let error = artifact(&AdapterSpec::new(1)).parse(&shallow, &Bounds::default()).unwrap_err();
    assert!(matches!(error, AdapterError::UnknownTensor(_)));
}

#[test]
fn values_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = tampered(|tensors| {
            let bytes = &mut tensors.get_mut(B).unwrap().2;
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&bad.to_le_bytes());
        });
        assert_eq!(error, AdapterError::NonFinite(B.into()));
        assert_eq!(error.severity(), Severity::Reject);
    }
}

#[test]
fn truncated_at_any_length() {
    let whole = artifact(&AdapterSpec::new(1));
    for length in [0, 1, 7, 8, 9, 100, whole.tensors().len() / 2, whole.tensors().len() - 1] {
        let cut = Artifact::new(whole.config().to_vec(), whole.tensors()[..length].to_vec());
        assert!(matches!(parse(&cut), Err(AdapterError::Tensors(_))), "{length}");
    }
}

#[test]
fn bounds_hold() {
    let whole = artifact(&AdapterSpec::new(1));
    let small = Bounds { tensors: 100, ..Bounds::default() };
    assert!(matches!(whole.parse(&GEOMETRY, &small), Err(AdapterError::TooLarge { .. })));
    let mut claims = u64::MAX.to_le_bytes().to_vec();
    claims.extend([0; 64]);
    let claims = Artifact::new(whole.config().to_vec(), claims);
    assert!(matches!(parse(&claims), Err(AdapterError::TooLarge { .. })));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CONFIG_FILE), vec![b' '; 1000]).unwrap();
    std::fs::write(folder.path().join(TENSORS_FILE), b"").unwrap();
    let narrow = Bounds { config: 999, ..Bounds::default() };
    assert!(matches!(Artifact::read(folder.path(), &narrow), Err(AdapterError::TooLarge { .. })));
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(CONFIG_FILE)).unwrap();
    assert!(matches!(Artifact::read(folder.path(), &Bounds::default()), Err(AdapterError::Io { .. })));
    std::fs::remove_dir(folder.path().join(CONFIG_FILE)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join(CONFIG_FILE)).unwrap();
    assert!(matches!(Artifact::read(folder.path(), &Bounds::default()), Err(AdapterError::Io { .. })));
}

/// The hash computed by hand, as another implementation would.
#[test]
fn the_hash_is_the_documented_one() {
    use alloy_primitives::keccak256;
    let preimage =
        [keccak256("tributary.peft.1").0, keccak256(b"config").0, keccak256(b"tensors").0].concat();
    assert_eq!(artifact_hash(b"config", b"tensors"), keccak256(preimage));
}

proptest! {
    /// Whatever a stranger writes, parsing returns.
    #[test]
    fn hostile_bytes_never_panic(config in ".{0,200}", tensors in prop::collection::vec(any::<u8>(), 0..300)) {
        let artifact = Artifact::new(config.into_bytes(), tensors);
        prop_assert!(parse(&artifact).is_err());
    }

    #[test]
    fn flipped_bytes_never_panic(at in any::<prop::sample::Index>(), value: u8, in_config: bool) {
        let whole = artifact(&AdapterSpec::new(5).rank(2).targets(&[Projection::Q]));
        let (mut config, mut tensors) = (whole.config().to_vec(), whole.tensors().to_vec());
        let bytes = if in_config { &mut config } else { &mut tensors };
        let at = at.index(bytes.len().min(600));
        bytes[at] = value;
        drop(parse(&Artifact::new(config, tensors)));
    }
}

#[test]
fn hostile_magnitudes_and_ranks_are_refused_by_name() {
    let name = "base_model.model.model.layers.1.mlp.up_proj.lora_magnitude_vector";
    let dora = AdapterSpec::new(3).targets(&[Projection::Up]).dora();
    let width = GEOMETRY.intermediate as usize;
    let edited = |shape: Vec<usize>, value: f32| {
        let bytes = value.to_le_bytes().repeat(shape.iter().product());
        parse(&artifact_with(&dora, |tensors| drop(tensors.insert(name.into(), (Dtype::F32, shape, bytes)))))
    };
    assert!(edited(vec![width], -0.5).is_ok());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(edited(vec![width], bad), Err(AdapterError::NonFinite(name.into())));
    }
    for shape in [vec![width - 1], vec![width, 1], vec![1, width], vec![0], vec![]] {
        assert!(matches!(edited(shape, 1.0), Err(AdapterError::Shape { name: named, .. }) if named == name));
    }
    let missing = artifact_with(&dora, |tensors| drop(tensors.remove(name)));
    assert!(matches!(parse(&missing), Err(AdapterError::MissingTensor(named)) if named.starts_with(name)));
    for (field, value) in [
        ("r", json!(u32::MAX)),
        ("rank_pattern", json!({ "up_proj": u32::MAX })),
        ("rank_pattern", json!({ "up_proj": 9 })),
    ] {
        let absurd = artifact(&dora.clone().config(field, value));
        assert!(matches!(parse(&absurd), Err(AdapterError::Shape { .. })), "{field}");
    }
}
