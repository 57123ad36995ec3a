//! Log-probabilities of prompts.

use crate::tiny::{Tiny, bits, quick, request, run};
use tributary_engine::{EngineConfig, Event, FinishReason, GenerateRequest, SubmitError};

fn scored(prompt: &[u32], max_tokens: u32) -> GenerateRequest {
    GenerateRequest { prompt: prompt.to_vec(), prompt_logprobs: Some(3), ..request("", max_tokens) }
}

/// What was told of an answer while it was made is told of it as a prompt, to the bit.
#[tokio::test]
async fn a_prompt_is_scored_as_it_would_have_been_generated() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let asked = GenerateRequest { logprobs: Some(3), ..request("a prompt of some length", 60) };
    let mut generation = engine.submit(asked).unwrap();
    let mut told = Vec::new();
    let outcome = loop {
        match generation.next().await.unwrap() {
            Event::Token(token) => told.push(token),
            Event::Finished(outcome) => break outcome,
            Event::Failed(error) => panic!("{error}"),
        }
    };
    let prompt = request("a prompt of some length", 0).prompt;
    let whole = [&prompt[..], &outcome.tokens].concat();
    for max_tokens in [0, 5] {
        let again = run(&engine, scored(&whole, max_tokens)).await.unwrap();
        assert_eq!(again.prompt_logprobs.len(), whole.len() - 1);
        assert_eq!(again.cached_tokens, 0, "every position is computed for itself");
        for (one, token) in again.prompt_logprobs.iter().zip(&whole[1..]) {
            assert_eq!(one.token, *token);
            assert_eq!(one.top.len(), 3);
            let place = one.top.iter().position(|other| other.token == one.token);
            assert_eq!(place.map(|place| place as u32 + 1), (one.rank <= 3).then_some(one.rank));
        }
        for (one, before) in again.prompt_logprobs[prompt.len() - 1..].iter().zip(&told) {
            assert_eq!((Some(one.logprob), &one.top), (before.logprob, &before.top));
            assert_eq!(one.rank, 1, "greedy");
        }
        assert_eq!((again.tokens.len() as u32, again.reason), (max_tokens, FinishReason::Length));
    }
}

#[tokio::test]
async fn scoring_changes_no_answer() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    for length in [1, 2, 15, 16, 17, 33, 100] {
        let prompt: Vec<u32> = (0..length).map(|n| n * 7 % 256).collect();
        let plain = run(&engine, GenerateRequest { prompt: prompt.clone(), ..request("", 8) }).await.unwrap();
        let outcome = run(&engine, scored(&prompt, 8)).await.unwrap();
        assert_eq!(bits(&outcome), bits(&plain), "{length}");
        assert_eq!(outcome.prompt_logprobs.len(), length as usize - 1);
        assert!(plain.prompt_logprobs.is_empty());
    }
    assert!(matches!(engine.submit(request("x", 0)), Err(SubmitError::NoTokens)));
}

#[tokio::test]
async fn scores_survive_preemption() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let prompt = |n: u32| -> Vec<u32> { (0..30).map(|k| (k * 11 + n) % 256).collect() };
    let mut alone = Vec::new();
    for n in 0..6 {
        alone.push(run(&engine, scored(&prompt(n), 18)).await.unwrap());
    }
    let tight = tiny.engine(EngineConfig { max_running: 4, ..quick() }, 4);
    tight.ready().await.unwrap();
    let all: Vec<_> = (0..6).map(|n| tight.submit(scored(&prompt(n), 18)).unwrap()).collect();
    for (one, alone) in all.into_iter().zip(alone) {
        let outcome = one.finish().await.unwrap().1;
        assert_eq!((bits(&outcome), &outcome.prompt_logprobs), (bits(&alone), &alone.prompt_logprobs));
    }
}
