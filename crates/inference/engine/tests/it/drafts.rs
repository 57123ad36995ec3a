//! Guesses change how long an answer takes, and nothing else.

use crate::{
    tiny::{Tiny, bits, quick, request, run, sampled},
    toy::toy,
};
use std::sync::Arc;
use tributary_engine::{DraftSource, EngineConfig, GenerateRequest, SamplingParams};
use tributary_testkit::AdapterSpec;

/// A text that is known beforehand, found by position.
#[derive(Debug)]
struct Known {
    text: Vec<u32>,
    /// Every so many tokens one is wrong.
    wrong: usize,
}

impl DraftSource for Known {
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        let next = self.text.iter().enumerate().skip(context.len()).take(most);
        draft.extend(next.map(|(at, token)| if at % self.wrong == 0 { token ^ 1 } else { *token }));
        if draft.is_empty() { 0 } else { 100 }
    }
}

/// Guesses without end and without sense.
#[derive(Debug)]
struct Nonsense;

impl DraftSource for Nonsense {
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        draft.extend(
            (0..most as u32 + 7)
                .map(|index| if context.len().is_multiple_of(2) { u32::MAX } else { index * 31 % 260 }),
        );
        100
    }
}

fn plain() -> EngineConfig {
    EngineConfig { draft_tokens: 0, ..quick() }
}

fn variants() -> Vec<SamplingParams> {
    vec![
        SamplingParams::greedy(),
        sampled(4),
        SamplingParams { repetition: 1.2, presence: 0.5, frequency: 0.3, ..sampled(5) },
        SamplingParams { repetition: 1.3, ..SamplingParams::greedy() },
    ]
}

#[tokio::test]
async fn known_text_is_verified_not_trusted() {
    let tiny = Tiny::new();
    let (engine, plain) = (tiny.engine(quick(), 64), tiny.engine(plain(), 64));
    engine.ready().await.unwrap();
    plain.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let adapters = store.lease(&[(tiny.adapter(&AdapterSpec::new(1)), 1.0)]).await.unwrap();
    for sampling in variants() {
        let ask = || GenerateRequest {
            sampling: sampling.clone(),
            adapters: adapters.clone(),
            logprobs: Some(2),
            ..request("a quotation:", 90)
        };
        let expected = run(&plain, ask()).await.unwrap();
        let text = [ask().prompt, expected.tokens.clone()].concat();
        for wrong in [usize::MAX, 7, 2, 1] {
            let source = Arc::new(Known { text: text.clone(), wrong });
            let outcome = run(&engine, GenerateRequest { drafts: Some(source), ..ask() }).await.unwrap();
            assert_eq!(bits(&outcome), bits(&expected));
        }
        let nonsense = GenerateRequest { drafts: Some(Arc::new(Nonsense)), ..ask() };
        assert_eq!(bits(&run(&engine, nonsense).await.unwrap()), bits(&expected));
    }
}

#[tokio::test]
async fn quoting_takes_few_steps_and_misses_cost_few_tokens() {
    let tiny = Tiny::new();
    let (slow, all) = toy(&tiny, plain(), 64);
    slow.ready().await.unwrap();
    let ask = || {
        let mut request = GenerateRequest { sampling: sampled(6), ..request("quote", 200) };
        request.stop.tokens = Vec::new();
        request
    };
    let expected = run(&slow, ask()).await.unwrap();
    let steps = all.lock().steps;
    assert_eq!((steps, all.lock().guesses), (200, 0));
    let text = [ask().prompt, expected.tokens.clone()].concat();
    for (wrong, most_steps, most_lost) in [(usize::MAX, 30, 0), (1, 200, 4 + 200 / 16)] {
        let (engine, seen) = toy(&tiny, quick(), 64);
        engine.ready().await.unwrap();
        let source = Arc::new(Known { text: text.clone(), wrong });
        let outcome = run(&engine, GenerateRequest { drafts: Some(source), ..ask() }).await.unwrap();
        assert_eq!(bits(&outcome), bits(&expected));
        let seen = seen.lock();
        assert!(seen.steps <= most_steps, "{} steps", seen.steps);
        let lost = seen.tokens - (ask().prompt.len() + 199);
        assert!(lost <= most_lost, "{lost} tokens for nothing");
    }
    // What an answer has in common with itself and its prompt is found without a source.
    let (own, seen) = toy(&tiny, quick(), 64);
    own.ready().await.unwrap();
    let again = || GenerateRequest { sampling: SamplingParams::greedy(), ..ask() };
    let expected = run(&slow, again()).await.unwrap();
    assert_eq!(bits(&run(&own, again()).await.unwrap()), bits(&expected));
    let seen = seen.lock();
    assert!(seen.guesses > 0 && seen.steps < 150, "{} steps, {} guesses", seen.steps, seen.guesses);
}

/// An overflow in a guessed token is none of the answer's.
#[tokio::test]
async fn guesses_that_overflow_are_dropped() {
    let tiny = Tiny::new();
    let (slow, _) = toy(&tiny, plain(), 64);
    slow.ready().await.unwrap();
    let expected = run(&slow, request("overflow", 60)).await.unwrap();
    let (engine, seen) = toy(&tiny, quick(), 64);
    engine.ready().await.unwrap();
    seen.lock().guesses_overflow = true;
    let text = [request("overflow", 60).prompt, expected.tokens.clone()].concat();
    let source = Arc::new(Known { text, wrong: usize::MAX });
    let outcome =
        run(&engine, GenerateRequest { drafts: Some(source), ..request("overflow", 60) }).await.unwrap();
    assert_eq!(bits(&outcome), bits(&expected));
    assert!(seen.lock().guesses > 0);
}

/// Guesses never go past the context, the limit of the answer, or the pages there are.
#[tokio::test]
async fn guesses_stay_within_bounds() {
    let tiny = Tiny::new();
    let (slow, _) = toy(&tiny, plain(), 64);
    slow.ready().await.unwrap();
    for (pages, prompt, max_tokens) in [(64, 480, 100), (2, 20, 100), (64, 5, 2), (64, 5, 1), (3, 30, 17)] {
        let ask = || {
            let mut request = request("", max_tokens);
            request.prompt = vec![100; prompt];
            request.stop.tokens = Vec::new();
            request
        };
        let (engine, _) = toy(&tiny, EngineConfig { draft_tokens: 64, ..quick() }, pages);
        let context = engine.ready().await.unwrap().limits.context;
        let mut plain = ask();
        plain.stop.max_tokens = max_tokens.min(context - prompt as u32);
        let expected = run(&slow, plain).await.unwrap();
        let text = [ask().prompt, expected.tokens.clone(), vec![3; 600]].concat();
        let source = Arc::new(Known { text, wrong: usize::MAX });
        let outcome = run(&engine, GenerateRequest { drafts: Some(source), ..ask() }).await.unwrap();
        assert_eq!(outcome.tokens, expected.tokens);
    }
}
