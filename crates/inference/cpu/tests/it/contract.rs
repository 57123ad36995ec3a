//! What is refused, and what a failure leaves behind.

use crate::model::{HASHES, Sequence, adapter, alone, backend, part, paths, results, small};
use tributary_adapters::Projection;
use tributary_cpu::{CpuBackend, CpuError, Options};
use tributary_engine::{BackendError, InferenceBackend, Row, RowError, SeqId, StepOutput, Wanted};
use tributary_weights::{Architecture, Format};

#[test]
fn steps_that_break_the_contract_touch_nothing() {
    let (config, weights) = small(31, Format::Q4_1, Architecture::Llama);
    let mut backend = backend(&config, &weights, paths()[0], 2);
    let good = Sequence { id: 1, tokens: (0..20).collect(), pages: vec![0, 1], lora: vec![] };
    let expected = alone(&mut backend, &good, 20);
    let tokens = &good.tokens[..];
    let row = |pos, tokens, pages| Row {
        seq: SeqId(1),
        pos,
        tokens,
        pages,
        lora: &[],
        logits: Wanted::Last,
        choose: None,
    };
    let long = vec![0; 300];
    let cases: [&[Row<'_>]; 7] = [
        &[row(0, &[], &[0])],
        &[row(0, tokens, &[0])],
        &[row(0, tokens, &[0, 256])],
        &[row(250, tokens, &[0; 17])],
        &[row(0, &long, &[0; 20])],
        &[row(0, tokens, &[0, 1]), row(0, tokens, &[1, 2])],
        &[row(0, tokens, &[0, 0])],
    ];
    let mut out = StepOutput::default();
    for (index, rows) in cases.into_iter().enumerate() {
        let result = backend.step(rows, &mut out);
        assert!(matches!(result, Err(BackendError::Contract(_))), "case {index}: {result:?}");
    }
    let again = alone(&mut backend, &good, 7);
    assert_eq!(again, expected);
}

#[test]
fn shared_pages_may_be_read_by_many() {
    let (config, weights) = small(32, Format::Q4_1, Architecture::Llama);
    let mut backend = backend(&config, &weights, paths()[0], 2);
    let tokens: Vec<u32> = (0..20).collect();
    let whole = Sequence { id: 1, tokens: tokens.clone(), pages: vec![0, 1], lora: vec![] };
    let expected = alone(&mut backend, &whole, 20);
    let row = |seq, pages| Row {
        seq: SeqId(seq),
        pos: 16,
        tokens: &tokens[16..],
        pages,
        lora: &[],
        logits: Wanted::All,
        choose: None,
    };
    let mut out = StepOutput::default();
    backend.step(&[row(2, &[0, 5]), row(3, &[0, 6])], &mut out).unwrap();
    assert_eq!(results(&out, 0).unwrap(), expected[16..]);
    assert_eq!(results(&out, 1).unwrap(), expected[16..]);
}

#[test]
fn tokens_out_of_range_and_foreign_adapters_fail_their_row() {
    let (config, weights) = small(33, Format::Q4_1, Architecture::Llama);
    let mut first = backend(&config, &weights, paths()[0], 1);
    let other = tributary_weights::Config { layers: 1, ..config.clone() };
    let mut fewer = weights.clone();
    fewer.layers.truncate(1);
    let second = backend(&other, &fewer, paths()[0], 1);
    let foreign = [part(&second, &adapter(&other, 1, 4, &[Projection::Q]), 1.0)];
    let row = |seq, tokens, pages, lora| Row {
        seq: SeqId(seq),
        pos: 0,
        tokens,
        pages,
        lora,
        logits: Wanted::Last,
        choose: None,
    };
    let mut out = StepOutput::default();
    let rows = [row(1, &[100][..], &[0][..], &[][..]), row(2, &[1], &[1], &foreign), row(3, &[1], &[2], &[])];
    first.step(&rows, &mut out).unwrap();
    assert_eq!(out.error(0), Some(RowError::BadToken(100)));
    assert_eq!(out.error(1), Some(RowError::ForeignAdapter));
    let alone = alone(&mut first, &Sequence { id: 4, tokens: vec![1], pages: vec![9], lora: vec![] }, 1);
    assert_eq!(results(&out, 2).unwrap(), alone);
}

#[test]
fn models_that_do_not_fit_the_blocks_are_refused() {
    let (config, weights) = small(34, Format::Q8_0, Architecture::Llama);
    let odd = tributary_weights::Config { intermediate: 500, ..config };
    let error = CpuBackend::new(odd, weights, &HASHES, &Options::default()).unwrap_err();
    assert!(matches!(error, CpuError::Model(reason) if reason.contains("500")));
}

#[test]
fn an_empty_step_is_fine_and_identity_is_stable() {
    let (config, weights) = small(35, Format::Q8_0, Architecture::Llama);
    let mut one = backend(&config, &weights, paths()[0], 1);
    one.step(&[], &mut StepOutput::default()).unwrap();
    let slowest = *paths().last().unwrap();
    let two = backend(&config, &weights, slowest, 2);
    assert_eq!(one.identity(), two.identity());
    let (other, weights) = small(36, Format::Q4_0, Architecture::Llama);
    assert_ne!(one.identity(), backend(&other, &weights, slowest, 1).identity());
}
