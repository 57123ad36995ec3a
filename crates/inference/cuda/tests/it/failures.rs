//! What is refused, what fails alone, and what fails with the device.

use crate::{
    emulator::{Emulator, Trouble, Watch, backend},
    model::{HASHES, OPTIONS, Sequence, adapter, backend_on, config, dora, expected, part, results, small},
};
use tributary_adapters::Projection;
use tributary_cuda::{
    CudaBackend, CudaDevice, CudaError, Device, DeviceChoice, DeviceError, Gpus, Nvrtc, Options, Starter,
    Tier,
};
use tributary_engine::{BackendError, InferenceBackend, PrepareError, RowError, SeqId, StepOutput};
use tributary_weights::{Architecture, Config, Format};

#[test]
fn an_overflow_fails_its_row_only() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(24, Format::Q4_1, &config);
    let mut backend = backend(&config, &weights);
    let mut hostile = adapter(&config, 9, 4, &[Projection::Down]);
    hostile.modules.iter_mut().for_each(|module| module.b.iter_mut().for_each(|value| *value = 1e38));
    hostile.modules.iter_mut().for_each(|module| module.scale = 1.0);
    let lora = [1.0; 3].map(|weight| part(&backend, &hostile, weight)).to_vec();
    let tokens: Vec<u32> = (0..9).collect();
    let wanted = expected(&config, &weights, &[], &tokens);
    let rows = [(1, 0, vec![]), (2, 1, lora), (3, 2, vec![])].map(|(id, page, lora)| Sequence {
        id,
        tokens: tokens.clone(),
        pages: vec![page],
        lora,
    });
    let mut out = StepOutput::default();
    backend.step(&rows.each_ref().map(|sequence| sequence.row(0, 9)), &mut out).unwrap();
    assert_eq!(results(&out, 1), Err(RowError::NonFinite));
    assert!(results(&out, 0).unwrap() == wanted);
    assert!(results(&out, 2).unwrap() == wanted);
}

#[test]
fn rows_that_cannot_run_leave_the_others_alone() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(25, Format::Q8_0, &config);
    let other = Config { layers: 1, ..config.clone() };
    let foreign = part(
        &backend(&other, &small(25, Format::Q8_0, &other)),
        &adapter(&other, 1, 4, &[Projection::Q]),
        1.0,
    );
    let mut backend = backend(&config, &weights);
    let sequence = |id, token, lora| Sequence { id, tokens: vec![token], pages: vec![id as u32], lora };
    let rows = [sequence(1, 100, vec![]), sequence(2, 1, vec![foreign]), sequence(3, 1, vec![])];
    let mut out = StepOutput::default();
    assert!(backend.admit(SeqId(2), &rows[1].lora).is_ok());
    backend.step(&rows.each_ref().map(|sequence| sequence.row(0, 1)), &mut out).unwrap();
    assert_eq!(out.error(0), Some(RowError::BadToken(100)));
    assert_eq!(out.error(1), Some(RowError::ForeignAdapter));
    assert!(results(&out, 2).unwrap() == expected(&config, &weights, &[], &[1]));
    backend.step(&[rows[0].row(0, 1)], &mut out).unwrap();
    assert_eq!(out.error(0), Some(RowError::BadToken(100)));
    backend.step(&[], &mut out).unwrap();
    let short = Sequence { id: 4, tokens: vec![1; 20], pages: vec![0], lora: vec![] };
    assert!(matches!(backend.step(&[short.row(0, 20)], &mut out), Err(BackendError::Contract(_))));
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let config = config(Architecture::Llama, 64, 64);
    let backend = backend(&config, &small(26, Format::Q8_0, &config));
    let preparer = backend.preparer();
    let mut wrong = adapter(&config, 1, 4, &[Projection::Q]);
    wrong.modules[0].inputs = 96;
    assert!(
        matches!(preparer.prepare(&wrong, 1.0), Err(PrepareError::Mismatch(why)) if why.contains("q_proj"))
    );
    let mut large = adapter(&config, 1, 4, &[Projection::Q]);
    large.modules[0].b[0] = 3e38;
    assert!(matches!(preparer.prepare(&large, 1.0), Err(PrepareError::NonFinite(_))));
    let mut short = dora(&config, 1, 4, &[Projection::Q]);
    short.modules[1].magnitude = Some(vec![1.0; 64]);
    assert!(
        matches!(preparer.prepare(&short, 1.0), Err(PrepareError::Mismatch(why)) if why.contains("layer 1"))
    );
    let mut hostile = dora(&config, 1, 4, &[Projection::V]);
    hostile.modules[1].magnitude = Some(vec![f32::MAX; 128]);
    assert!(
        matches!(preparer.prepare(&hostile, 1.0), Err(PrepareError::NonFinite(why)) if why.contains("layer 1"))
    );
}

#[test]
fn dora_beside_others_fails_its_row_only() {
    let config = config(Architecture::Qwen2, 64, 64);
    let weights = small(30, Format::Q4_1, &config);
    let mut backend = backend(&config, &weights);
    let (scaling, plain) = (dora(&config, 1, 4, &[Projection::Q]), adapter(&config, 2, 4, &[Projection::Q]));
    let [scaled, added] = [&scaling, &plain].map(|adapter| part(&backend, adapter, 1.0));
    assert!(!scaled.prepared.composes() && added.prepared.composes());
    let lora = [
        vec![added.clone(), scaled.clone()],
        vec![scaled.clone(), scaled.clone()],
        vec![scaled],
        vec![added],
    ];
    let mut id = 0;
    let rows = lora.map(|lora| {
        id += 1;
        Sequence { id, tokens: vec![1, 2], pages: vec![id as u32], lora }
    });
    let mut out = StepOutput::default();
    backend.step(&rows.each_ref().map(|sequence| sequence.row(0, 2)), &mut out).unwrap();
    assert_eq!((out.error(0), out.error(1)), (Some(RowError::Composition), Some(RowError::Composition)));
    for (row, adapter) in [(2, &scaling), (3, &plain)] {
        let lora = [tributary_cpu::reference::Lora { adapter, weight: 1.0 }];
        assert!(results(&out, row).unwrap() == expected(&config, &weights, &lora, &[1, 2]));
    }
}

/// What counts in the host's budget: no pages, and the matrices that DoRA measures.
#[test]
fn the_host_keeps_matrices_and_no_pages() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(32, Format::Q8_0, &config);
    let matrices = weights.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down]);
    let bytes: usize = matrices.map(|matrix| matrix.data().len()).sum();
    let backend = backend(&config, &weights);
    assert_eq!((backend.limits().page_bytes, backend.limits().weight_bytes), (0, bytes));
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let base = config(Architecture::Llama, 64, 64);
    let weights = small(27, Format::Q8_0, &base);
    let odd = [
        Config { intermediate: 80, ..base.clone() },
        Config { head_dim: 512, ..base.clone() },
        Config { heads: 66, kv_heads: 2, ..base },
    ];
    for config in odd {
        let device = Box::new(Emulator::new(Watch::Shadow));
        let error = CudaBackend::new(device, &config, weights.clone(), &HASHES, &OPTIONS).unwrap_err();
        assert!(matches!(error, CudaError::Model(_)), "{error}");
    }
}

#[test]
fn a_device_without_memory_is_an_error_that_says_how_much() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(28, Format::Q8_0, &config);
    for (memory, cache_tokens) in [(3 << 20, 1024), (8 << 20, 0), (6 << 20, 1 << 20)] {
        let trouble = Trouble { memory, ..Trouble::default() };
        let device = Box::new(Emulator::with(Watch::Shadow, trouble, false));
        let options = Options { cache_tokens, ..OPTIONS };
        let error = CudaBackend::new(device, &config, weights.clone(), &HASHES, &options).unwrap_err();
        assert!(
            matches!(error, CudaError::Device(DeviceError::OutOfMemory { wanted, free }) if wanted > free),
            "{error}"
        );
    }
}

#[test]
fn a_lost_device_fails_the_step() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(29, Format::Q8_0, &config);
    let sequence = Sequence { id: 1, tokens: vec![1, 2], pages: vec![0], lora: vec![] };
    let lost = Trouble { lost_at: Some(1), ..Trouble::default() };
    let device = Box::new(Emulator::with(Watch::Shadow, lost, false));
    let error = CudaBackend::new(device, &config, weights.clone(), &HASHES, &OPTIONS).unwrap_err();
    assert_eq!(error, CudaError::Device(DeviceError::Lost("pulled out".to_owned())));
    let mut out = StepOutput::default();
    let device = Emulator::new(Watch::Shadow);
    let runs = std::sync::Arc::clone(&device.runs);
    backend_on(device, &config, &weights).step(&[sequence.row(0, 2)], &mut out).unwrap();
    // The last of these was the step.
    let trouble = Trouble { lost_at: Some(runs.load(std::sync::atomic::Ordering::Relaxed)), ..lost };
    let mut backend = backend_on(Emulator::with(Watch::Shadow, trouble, false), &config, &weights);
    match backend.step(&[sequence.row(0, 2)], &mut out) {
        Err(BackendError::Failed(reason)) => assert!(reason.contains("lost"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// What this machine lacks is said, not panicked about.
#[test]
fn what_is_missing_is_named() {
    let missing = Nvrtc::open(Some("/nonexistent/libnvrtc.so".as_ref())).unwrap_err();
    assert!(matches!(missing, DeviceError::Nvrtc(_)));
    let error = CudaDevice::open(4096, None, None, Tier::Deterministic).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DeviceError::Absent(_) | DeviceError::Driver { .. }), "{text}");
}

/// A model that no single device holds is refused by name, before anything is copied.
#[test]
fn a_model_larger_than_the_device_is_said_so() {
    let config = config(Architecture::Llama, 512, 2048);
    let weights = small(28, Format::Q8_0, &config);
    let trouble = Trouble { memory: 4 << 20, ..Trouble::default() };
    let device = Box::new(Emulator::with(Watch::Shadow, trouble, false));
    let options = Options { cache_tokens: 0, ..OPTIONS };
    let error = CudaBackend::new(device, &config, weights, &HASHES, &options).unwrap_err();
    assert!(matches!(error, CudaError::TooLarge { weights, free } if weights > free), "{error}");
}

/// Of several devices, those serve that can, and compute the same.
#[test]
fn devices_that_do_not_work_are_left_out() {
    let config = config(Architecture::Llama, 64, 64);
    let start = |troubles: Vec<Trouble>, tier| {
        let mut weights = small(33, Format::Q8_0, &config);
        let numbers: Vec<i32> = (0..troubles.len() as i32).collect();
        let mut troubles = troubles.into_iter();
        let open = move |_| match troubles.next() {
            Some(trouble) => Ok(Box::new(Emulator::with(Watch::Shadow, trouble, false)) as Box<dyn Device>),
            None => Err(DeviceError::Absent("none".to_owned())),
        };
        let options = Options { tier, ..OPTIONS };
        let model = (&config, &mut weights, &HASHES);
        let starters =
            Starter::start((DeviceChoice::Auto, &Gpus::All), &numbers, &options, Box::new(open), model);
        (starters, weights.layers.len())
    };
    let small = Trouble { memory: 3 << 20, ..Trouble::default() };
    let fine = Trouble::default();
    let (starters, left) = start(vec![small, fine, fine], Tier::Deterministic);
    let mut starters = starters.unwrap();
    assert_eq!((starters.len(), left), (2, 0));
    // They have what DoRA measures together.
    let backends: Vec<_> = starters.iter_mut().map(|starter| starter.backend().unwrap().unwrap()).collect();
    let kept = backends[0].limits().weight_bytes;
    assert!(kept > 0 && backends[1].limits().weight_bytes == kept);
    // Who is asked again has lost its device; the CPU comes once, after the last.
    assert_eq!(starters[1].backend().unwrap_err(), CudaError::Gone(2));
    assert!(starters[0].backend().unwrap().is_none());
    assert!(starters[0].backend().unwrap().is_none());
    assert_eq!(starters[1].backend().unwrap_err(), CudaError::Gone(2));
    let (starters, left) = start(vec![small, small], Tier::Deterministic);
    let mut starters = starters.unwrap();
    assert_eq!((starters.len(), left), (1, config.layers), "the CPU has the weights as they were");
    assert!(starters[0].backend().unwrap().is_none());
    // A fast tier's bits are a capability's.
    let older = Trouble { capability: Some((8, 0)), ..fine };
    let (starters, _) = start(vec![fine, older, fine], Tier::Fast);
    assert_eq!(starters.unwrap().len(), 2);
}
