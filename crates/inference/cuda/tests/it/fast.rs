//! The fast tiers: near to the same pass in f64, and the same bits whatever else is in the step and however a prompt is cut.

use crate::{
    emulator::{Emulator, Trouble, Watch},
    floats::{Floats, Rounding, bounds, distance},
    forward::{alone, together},
    model::{
        Bits, HASHES, OPTIONS, Random, Sequence, adapter, backend_on_tier, config, dora, part, results, small,
    },
};
use tributary_adapters::{Adapter, Projection};
use tributary_cpu::reference::Lora;
use tributary_cuda::{
    CudaBackend, CudaError, Device, DeviceChoice, DeviceError, Gpus, Options, Starter, Tier,
};
use tributary_engine::{BackendError, InferenceBackend, LoraPart, PrepareError, RowError, StepOutput};
use tributary_weights::{Architecture, Config, Format, Weights};

const TIERS: [Tier; 2] = [Tier::Fast, Tier::FastFp8];

fn on(tier: Tier, config: &Config, weights: &Weights) -> CudaBackend {
    backend_on_tier(Emulator::new(Watch::Shadow), config, weights, tier)
}

/// A sequence alone, in chunks of each size: near to the floats, and the same each time.
fn check(
    tier: Tier,
    config: &Config,
    weights: &Weights,
    adapters: &[Adapter],
    length: usize,
    chunks: &[usize],
) {
    let tokens: Vec<u32> = (0..length as u32).map(|token| (token * 37 + 11) % config.vocab as u32).collect();
    let lora: Vec<_> = adapters.iter().map(|adapter| Lora { adapter, weight: 0.75 }).collect();
    let mut backend = on(tier, config, weights);
    let mut first: Option<Bits> = None;
    for chunk in chunks {
        let lora = adapters.iter().map(|adapter| part(&backend, adapter, 0.75)).collect();
        let pages = (0..16).map(|page| page * 7 % 64).collect();
        let sequence = Sequence { id: 1, tokens: tokens.clone(), pages, lora };
        let found = alone(&mut backend, &sequence, *chunk);
        let differs = first.get_or_insert_with(|| found.clone()).iter().zip(&found).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{tier}, chunks of {chunk}");
    }
    let (rounded, exact) = bounds(tier);
    for (rounding, bound) in [(Rounding::As(tier), rounded), (Rounding::None, exact)] {
        let mut floats = Floats::new(config, weights, &lora, rounding);
        let wanted: Vec<Vec<f64>> = tokens.iter().map(|token| floats.push(*token)).collect();
        let found = first.as_ref().unwrap();
        let all = distance(found, &wanted);
        assert!(all > 0.0 && all < bound, "{tier}, {rounding:?}: {all}");
        // Where no value went over an edge, only the order of sums is left.
        let nearest = found.chunks(1).zip(wanted.chunks(1)).map(|(found, wanted)| distance(found, wanted));
        let nearest = nearest.fold(f64::MAX, f64::min);
        assert_eq!(nearest < 1e-6, rounding != Rounding::None, "{tier}, {rounding:?}: {nearest}");
    }
}

#[test]
fn weights_of_every_format() {
    let (llama, qwen) = (config(Architecture::Llama, 160, 288), config(Architecture::Qwen2, 256, 256));
    let (odd, formats) = ([Format::Q4_1, Format::Q8_0, Format::F16], [Format::Q4K, Format::Q6K]);
    for (seed, format) in (1..).zip(odd) {
        check(Tier::Fast, &llama, &small(seed, format, &llama), &[], 6, &[6]);
    }
    for (seed, format) in (4..).zip(formats) {
        check(Tier::Fast, &qwen, &small(seed, format, &qwen), &[], 4, &[4]);
    }
    check(Tier::FastFp8, &llama, &small(1, Format::Q4_1, &llama), &[], 6, &[6]);
    check(Tier::FastFp8, &qwen, &small(2, Format::F32, &qwen), &[], 6, &[6]);
}

/// More segments than a block has warps; the kernels for 8, 16, 32 and more vectors; split and tiled attention over several segments.
#[test]
fn every_kernel_and_every_cut_gives_the_same_bits() {
    let wide = Config { layers: 1, ..config(Architecture::Llama, 64, 2336) };
    for tier in TIERS {
        check(tier, &wide, &small(11, Format::Q4_1, &wide), &[], 70, &[70, 20, 11, 33]);
    }
    let one =
        Config { layers: 1, heads: 3, kv_heads: 1, head_dim: 32, ..config(Architecture::Llama, 96, 96) };
    check(Tier::Fast, &one, &small(12, Format::Q8_0, &one), &[], 140, &[1, 140, 37]);
    // More query heads to a key head than a product has columns, and heads as wide as there is room for.
    let many =
        Config { layers: 1, heads: 12, kv_heads: 1, head_dim: 64, ..config(Architecture::Llama, 96, 96) };
    check(Tier::Fast, &many, &small(13, Format::Q8_0, &many), &[], 70, &[2, 70]);
    let broad =
        Config { layers: 1, heads: 2, kv_heads: 2, head_dim: 256, ..config(Architecture::Llama, 64, 64) };
    check(Tier::Fast, &broad, &small(14, Format::Q8_0, &broad), &[], 20, &[3, 20]);
}

#[test]
fn adapters_of_every_rank_and_kind() {
    let (llama, qwen) = (config(Architecture::Llama, 128, 160), config(Architecture::Qwen2, 96, 64));
    let of = |ranks: &[u32]| -> Vec<Adapter> {
        ranks.iter().map(|rank| adapter(&llama, u64::from(*rank), *rank, &Projection::ALL)).collect()
    };
    let weights = small(15, Format::Q4_1, &llama);
    check(Tier::Fast, &llama, &weights, &of(&[1]), 5, &[5]);
    check(Tier::Fast, &llama, &weights, &of(&[16, 17]), 12, &[12, 5]);
    check(Tier::Fast, &llama, &weights, &of(&[40, 8, 300]), 40, &[40, 3]);
    check(Tier::FastFp8, &llama, &weights, &of(&[33, 8]), 40, &[40, 9]);
    let weights = small(16, Format::F32, &qwen);
    for (tier, rank) in [(Tier::Fast, 20), (Tier::FastFp8, 5)] {
        check(tier, &qwen, &weights, &[dora(&qwen, 51, rank, &Projection::ALL)], 36, &[36, 4]);
    }
}

/// Prompts, decodes and drafts of sequences with other compositions in one step, in random chunks, against each of them alone.
fn mixed(tier: Tier, watch: Watch, backwards: bool, seed: u64) {
    let config = config(Architecture::Qwen2, 128, 192);
    let weights = small(21, Format::Q4_1, &config);
    let all = [
        adapter(&config, 1, 16, &Projection::ALL),
        adapter(&config, 2, 8, &[Projection::Q, Projection::V]),
        adapter(&config, 3, 33, &[Projection::O, Projection::Down]),
        dora(&config, 4, 12, &Projection::ALL),
    ];
    let compositions: [&[(usize, f32)]; 6] =
        [&[], &[(0, 1.0)], &[(1, 1.0)], &[(0, 0.5), (2, 0.5)], &[(3, 1.0)], &[(2, 0.5), (0, 0.5)]];
    let trouble = Trouble { copy_polls: 2, ..Trouble::default() };
    let mut backend = backend_on_tier(Emulator::with(watch, trouble, backwards), &config, &weights, tier);
    let mut random = Random(seed);
    let sequences: Vec<Sequence> = (0..6)
        .map(|id| Sequence {
            id: seed * 100 + id,
            tokens: (0..3 + random.below(30)).map(|_| random.below(config.vocab) as u32).collect(),
            pages: (0..3).map(|page| (id as u32 * 3 + page) * 5 % 64).collect(),
            lora: compositions[id as usize]
                .iter()
                .map(|(which, weight)| part(&backend, &all[*which], *weight))
                .collect(),
        })
        .collect();
    let found = together(&mut backend, &sequences, &mut random);
    // Others' pages, and what they hold, make no difference.
    let mut other =
        backend_on_tier(Emulator::with(watch, Trouble::default(), false), &config, &weights, tier);
    for (sequence, found) in sequences.iter().zip(&found) {
        let sequence = Sequence { pages: vec![40, 3, 17], ..sequence.clone() };
        let wanted = alone(&mut other, &sequence, sequence.tokens.len());
        let differs = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
        assert_eq!(
            (found.len(), differs),
            (wanted.len(), None),
            "{tier}, seed {seed}, sequence {}",
            sequence.id
        );
    }
}

#[test]
fn a_mixed_batch_equals_each_request_alone() {
    mixed(Tier::Fast, Watch::Shadow, false, 0);
    mixed(Tier::Fast, Watch::Shadow, true, 1);
    mixed(Tier::FastFp8, Watch::Shadow, true, 2);
}

/// What `make test-gpu` does, here on the emulated device.
#[test]
fn random_models_in_random_company() {
    for (tier, seeds) in [(Tier::Fast, 0..3), (Tier::FastFp8, 4..6)] {
        let mut worst = [0.0; 2];
        for seed in seeds {
            crate::company::one(Box::new(Emulator::new(Watch::Shadow)), tier, seed, &mut worst).unwrap();
        }
        assert!(worst[0] > 0.0 && worst[1] > worst[0], "{tier}: {worst:?}");
    }
}

/// Run by [`sanitized`](crate::sanitized) in a process of its own.
#[test]
fn under_sanitizers() {
    if std::env::var_os(crate::sanitized::INSIDE).is_some() {
        mixed(Tier::FastFp8, Watch::Sanitizers, false, 5);
    }
}

/// What others left in pages, infinities included, is not seen; who overflows fails alone.
#[test]
fn an_overflow_fails_its_row_only_and_leaves_nothing_behind() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(24, Format::Q4_1, &config);
    for tier in TIERS {
        let mut backend = on(tier, &config, &weights);
        let mut hostile = adapter(&config, 9, 4, &[Projection::V]);
        for module in &mut hostile.modules {
            module.b.iter_mut().for_each(|value| *value = 1e38);
            module.scale = 1.0;
        }
        let lora: Vec<LoraPart> = [1.0; 3].map(|weight| part(&backend, &hostile, weight)).to_vec();
        let tokens: Vec<u32> = (0..9).collect();
        let sequence = |id, page, lora| Sequence { id, tokens: tokens.clone(), pages: vec![page], lora };
        let rows = [sequence(1, 0, vec![]), sequence(2, 1, lora), sequence(3, 2, vec![])];
        let mut out = StepOutput::default();
        backend.step(&rows.each_ref().map(|sequence| sequence.row(0, 9)), &mut out).unwrap();
        assert_eq!(results(&out, 1), Err(RowError::NonFinite));
        let wanted = results(&out, 0).unwrap();
        assert!(results(&out, 2).unwrap() == wanted);
        let after = sequence(4, 1, vec![]);
        for chunk in [9, 2] {
            backend.step(&[rows[1].row(0, 9)], &mut out).unwrap();
            assert_eq!(alone(&mut backend, &after, chunk), wanted, "in the page of who overflowed");
        }
    }
}

/// Each tier, and each kind of device in the fast ones, has a profile of its own; adapters of one form are not taken for another's.
#[test]
fn tiers_are_never_confused() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(27, Format::Q8_0, &config);
    let start = |tier, capability| {
        let trouble = Trouble { capability: Some(capability), ..Trouble::default() };
        let device = Emulator::with(Watch::Shadow, trouble, false);
        CudaBackend::new(Box::new(device), &config, weights.clone(), &HASHES, &Options { tier, ..OPTIONS })
    };
    let all = [
        (Tier::Deterministic, (8, 0)),
        (Tier::Fast, (8, 0)),
        (Tier::Fast, (9, 0)),
        (Tier::FastFp8, (8, 9)),
        (Tier::FastFp8, (9, 0)),
    ];
    let mut backends = all.map(|(tier, capability)| start(tier, capability).unwrap());
    let profiles = backends.each_ref().map(|backend| backend.identity().profile);
    for (index, profile) in profiles.iter().enumerate() {
        assert!(!profiles[..index].contains(profile), "{:?}", all[index]);
    }
    let cpu =
        tributary_cpu::profile_hash_with(&config, &weights, &tributary_cpu::RopeTable::new(&config, 256));
    assert_eq!(profiles[0], cpu);
    assert_eq!(start(Tier::Fast, (9, 0)).unwrap().identity().profile, profiles[2], "the same each time");
    for (tier, capability) in [(Tier::FastFp8, (8, 6)), (Tier::FastFp8, (8, 0)), (Tier::Fast, (7, 5))] {
        let refused = CudaError::Device(DeviceError::Tier { tier, found: capability });
        assert_eq!(start(tier, capability).unwrap_err(), refused);
    }
    let lora = part(&backends[0], &adapter(&config, 1, 4, &[Projection::Q]), 1.0);
    let sequence = Sequence { id: 1, tokens: vec![1], pages: vec![0], lora: vec![lora] };
    let mut out = StepOutput::default();
    backends[2].step(&[sequence.row(0, 1)], &mut out).unwrap();
    assert_eq!(out.error(0), Some(RowError::ForeignAdapter));
    assert_ne!(backends[0].preparer().form(), backends[2].preparer().form());
}

#[test]
fn what_bf16_cannot_hold_is_refused() {
    let config = Config { layers: 1, ..config(Architecture::Llama, 64, 64) };
    let mut weights = small(28, Format::F32, &config);
    let backend = on(Tier::Fast, &config, &weights);
    let mut large = adapter(&config, 1, 4, &[Projection::Q]);
    large.modules[0].a[0] = f32::MAX;
    assert!(matches!(backend.preparer().prepare(&large, 1.0), Err(PrepareError::NonFinite(_))));
    let values: Vec<u8> = [f32::MAX; 64 * 64].iter().flat_map(|value| value.to_le_bytes()).collect();
    weights.layers[0].up = tributary_weights::Matrix::new(Format::F32, 64, 64, values).unwrap();
    let options = Options { tier: Tier::Fast, ..OPTIONS };
    let device = Box::new(Emulator::new(Watch::Shadow));
    let error = CudaBackend::new(device, &config, weights, &HASHES, &options).unwrap_err();
    assert!(matches!(error, CudaError::Model(_)), "{error}");
}

/// Without a device a fast tier does not start, and once it broke nobody goes on under its name.
#[test]
fn the_cpu_never_stands_in_for_a_fast_tier() {
    let config = Config { layers: 1, ..config(Architecture::Llama, 64, 64) };
    let options = Options { tier: Tier::Fast, ..OPTIONS };
    for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(Some(1))] {
        let mut weights = small(29, Format::Q8_0, &config);
        let devices = choice.devices(&Gpus::All, || Ok(1));
        let open = Box::new(|_| Err(DeviceError::Absent("none".to_owned())));
        let model = (&config, &mut weights, &HASHES);
        let error = Starter::start((choice, &Gpus::All), &devices, &options, open, model).unwrap_err();
        assert!(matches!(error, CudaError::Alone { tier: Tier::Fast, .. }), "{error}");
        assert!(matches!(BackendError::from(error), BackendError::Start(_)), "starting again does not help");
    }
    let mut weights = small(29, Format::Q8_0, &config);
    let open = |_| Ok(Box::new(Emulator::new(Watch::Shadow)) as Box<dyn Device>);
    let model = (&config, &mut weights, &HASHES);
    let mut starters =
        Starter::start((DeviceChoice::Auto, &Gpus::All), &[0, 1], &options, Box::new(open), model).unwrap();
    let backend = starters[0].backend().unwrap().unwrap();
    assert!(backend.name().ends_with(" fast"), "{}", backend.name());
    // The other goes on alone, then nobody.
    assert_eq!(starters[0].backend().unwrap_err(), CudaError::Gone(0));
    assert!(starters[1].backend().unwrap().is_some());
    assert!(matches!(starters[1].backend(), Err(CudaError::Alone { .. })));
}

#[test]
fn tiers_by_name() {
    for tier in Tier::ALL {
        assert_eq!(tier.to_string().parse(), Ok(tier));
    }
    assert_eq!("fast-fp8".parse(), Ok(Tier::FastFp8));
    for bad in ["", "Fast", "fp8", "fast-bf16"] {
        assert!(bad.parse::<Tier>().is_err(), "{bad}");
    }
}
