//! Tokens chosen by the kernel against the engine's own sampler.

use crate::{
    emulator::{Emulator, Trouble, Watch, backend},
    model::{Random, Sequence, config, expected, small},
};
use tributary_cuda::{
    Device,
    launch::{
        Kernel, Launch,
        params::{Choice, ChooseParams},
    },
    plan::Arena,
};
use tributary_engine::{Choosing, Found, InferenceBackend, PPM, Row, RowError, StepOutput, Wanted};
use tributary_weights::{Architecture, Format};

/// What the kernel chooses from logits of one size.
fn kernel(device: &mut Emulator, cases: &[(Choosing, Vec<f32>)]) -> Vec<Option<u32>> {
    let (count, vocab) = (cases.len(), cases[0].1.len());
    let mut arena = Arena::new();
    let header = arena.constant("header", 32);
    let choices = arena.constant("choices", count * 32);
    let logits = arena.add("logits", count * vocab * 4);
    let ids = arena.add("ids", count * vocab * 4);
    let chosen = arena.add("chosen", count * 4);
    let base = device.allocate(&arena).unwrap();
    let mut counts = [0u8; 32];
    counts[20] = count as u8;
    device.write(base + header, &counts).unwrap();
    let told = cases.iter().enumerate().flat_map(|(at, (how, _))| Choice::of(how, at as u32, 0).bytes());
    device.write(base + choices, &told.collect::<Vec<_>>()).unwrap();
    let placed = cases.iter().flat_map(|(_, logits)| logits).flat_map(|logit| logit.to_le_bytes());
    device.write(base + logits, &placed.collect::<Vec<_>>()).unwrap();
    let params = ChooseParams {
        header: base + header,
        choices: base + choices,
        chosen: base + chosen,
        logits: base + logits,
        ids: base + ids,
        vocab: vocab as u32,
        pad: 0,
    };
    // One block more than there are choices, as a bucket may have.
    let grid = [count as u32 + 1, 1, 1];
    let launch = Launch { kernel: Kernel::ChooseTokens, grid, threads: 512, params: params.bytes() };
    let program = device.program(&[launch]).unwrap();
    device.run(program).unwrap();
    let mut bytes = vec![0u8; count * 4];
    device.read(&mut [(base + chosen, &mut bytes)]).unwrap();
    device.forget(program);
    device.free(base);
    let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    bytes.as_chunks::<4>().0.iter().map(word).map(|token| (token != u32::MAX).then_some(token)).collect()
}

fn any<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[random.below(values.len())]
}

fn how(random: &mut Random, vocab: usize) -> Choosing {
    let vocab = vocab as u32;
    let any_ppm = random.below(PPM as usize) as u32;
    Choosing {
        temperature: any(random, &[0.0, 0.001, 0.05, 0.7, 1.0, 1.0, 3.0, 100.0]),
        top_k: any(random, &[0, 0, 1, 2, 40, vocab / 2, vocab - 1, vocab, vocab + 1, u32::MAX]),
        top_p: any(random, &[PPM, PPM, 0, 1, any_ppm, 950_000, PPM - 1]),
        min_p: any(random, &[0, 0, 1, any_ppm, 50_000, PPM, PPM + 1]),
        seed: any(random, &[0, 1, u64::MAX, 0x1234_5678_9abc_def0]),
        choice: random.below(3) as u32,
        position: random.below(1000) as u32,
    }
}

/// Logits of many characters: spread out, crowded, equal, zeros of both signs, of every size, and what allows no choice.
fn logits(random: &mut Random, vocab: usize) -> Vec<f32> {
    let kind = random.below(10);
    let mut all: Vec<f32> = (0..vocab)
        .map(|_| {
            let unit = (random.word() >> 40) as f32 / (1 << 24) as f32 - 0.5;
            match kind {
                0 | 1 => unit * 40.0,
                2 => unit,
                3 => (unit * 9.0).round() / 2.0,
                4 => (unit * 3.0).round() - 7.0,
                5 => any(random, &[0.0, -0.0]),
                6 => f32::from_bits(random.word() as u32 & 0xbfff_ffff),
                7 => unit * 1e-40,
                8 => any(random, &[3.0e38, -3.0e38, 0.0, -0.0, f32::NEG_INFINITY]),
                _ => unit * 12.0,
            }
        })
        .collect();
    let at = random.below(vocab);
    match random.below(40) {
        0 => all[at] = f32::NAN,
        1 => all[at] = -f32::NAN,
        2 => all[at] = f32::INFINITY,
        3 => all.fill(f32::NEG_INFINITY),
        4 => all.fill(-2.5),
        _ => all[at] = f32::NEG_INFINITY,
    }
    all
}

fn compare(watch: Watch, backwards: bool, seed: u64, vocabularies: &[usize], each: usize) {
    let mut device = Emulator::with(watch, Trouble::default(), backwards);
    let mut random = Random(seed);
    let mut none = 0;
    for vocab in vocabularies {
        let mut case = |_| (how(&mut random, *vocab), logits(&mut random, *vocab));
        let cases: Vec<_> = (0..each).map(&mut case).collect();
        let found = kernel(&mut device, &cases);
        for (index, ((how, logits), found)) in cases.iter().zip(&found).enumerate() {
            let wanted = how.token(0, logits).ok();
            none += usize::from(wanted.is_none());
            assert_eq!(*found, wanted, "choice {index} of {vocab} tokens: {how:?}");
        }
    }
    assert!(none > 0, "every choice could be made");
}

#[test]
fn the_kernel_chooses_as_the_engine_does() {
    compare(Watch::Shadow, false, 1, &[1, 2, 31, 100, 511, 512, 513, 1025, 3001], 40);
    compare(Watch::Shadow, true, 2, &[3, 700, 1537], 40);
}

/// The draw falls on every token in turn, among many of one logit too.
#[test]
fn every_token_is_drawn() {
    let mut device = Emulator::new(Watch::Shadow);
    let all = Choosing { temperature: 1.0, top_k: 0, top_p: PPM, min_p: 0, seed: 9, choice: 0, position: 0 };
    let logits: Vec<f32> = (0..12).map(|token| [2.0, -0.0, 0.0][token % 3]).collect();
    let cases: Vec<_> = (0..120).map(|position| (Choosing { position, ..all }, logits.clone())).collect();
    let found = kernel(&mut device, &cases);
    for ((how, logits), found) in cases.iter().zip(&found) {
        assert_eq!(*found, how.token(0, logits).ok());
    }
    assert!((0..12).all(|token| found.contains(&Some(token))), "{found:?}");
}

/// Rows that choose, rows that look at their logits, and one that cannot run, in one step.
#[test]
fn logits_travel_only_for_rows_that_want_them() {
    let config = config(Architecture::Llama, 64, 64);
    let weights = small(41, Format::Q8_0, &config);
    let mut backend = backend(&config, &weights);
    let sampled =
        Choosing { temperature: 0.8, top_k: 30, top_p: 900_000, min_p: 0, seed: 3, choice: 0, position: 4 };
    let greedy = Choosing { temperature: 0.0, ..sampled };
    let wanted = [
        (Wanted::Last, Some(greedy), 3),
        (Wanted::All, None, 2),
        (Wanted::All, Some(sampled), 5),
        (Wanted::Last, Some(sampled), 2),
        (Wanted::None, None, 4),
        (Wanted::Last, None, 6),
        (Wanted::All, Some(greedy), 4),
    ];
    let sequences: Vec<Sequence> = (0..wanted.len())
        .map(|id| Sequence {
            id: id as u64,
            // Of the fourth, a token is none.
            tokens: (0..wanted[id].2)
                .map(|at| if id == 3 { 5000 } else { (id * 13 + at * 7) as u32 % 97 })
                .collect(),
            pages: vec![id as u32],
            lora: Vec::new(),
        })
        .collect();
    let rows: Vec<Row<'_>> = sequences
        .iter()
        .zip(&wanted)
        .map(|(sequence, (logits, choose, count))| Row {
            logits: *logits,
            choose: *choose,
            ..sequence.row(0, *count)
        })
        .collect();
    let mut out = StepOutput::default();
    backend.step(&rows, &mut out).unwrap();
    assert_eq!(out.error(3), Some(RowError::BadToken(5000)));
    for (row, (sequence, (wanted, choose, count))) in sequences.iter().zip(&wanted).enumerate() {
        if row == 3 {
            continue;
        }
        let reference = expected(&config, &weights, &[], &sequence.tokens);
        assert_eq!(out.count(row), wanted.count(*count));
        for index in 0..out.count(row) {
            let (bits, normed) = &reference[count - out.count(row) + index];
            let logits: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
            match (out.found(row, index), choose) {
                (Found::Logits(found), None) => assert!(found == logits),
                (Found::Chosen(found), Some(how)) => {
                    assert!(out.logits(row, index).is_empty());
                    assert_eq!(found, how.token(index as u32, &logits).ok(), "row {row}");
                }
                other => panic!("row {row}: {other:?}"),
            }
            assert!(out.normed(row, index) == normed);
        }
    }
    assert_eq!(out.logits_mut().len(), (2 + 1) * config.vocab);
}

/// Run by [`sanitized`](crate::sanitized) in a process of its own.
#[test]
fn under_sanitizers() {
    if std::env::var_os(crate::sanitized::INSIDE).is_some() {
        compare(Watch::Sanitizers, false, 3, &[5, 600], 40);
    }
}
