//! Answers bound by a grammar.

use crate::tiny::{Tiny, bits, quick, request, run, sampled};
use alloy_primitives::keccak256;
use tributary_engine::{
    EngineConfig, FinishReason, GenerateError, GenerateRequest, Grammar, SamplingParams, TokenConstraint,
    TokenMask,
};
use tributary_testkit::EOS;

/// `count` digits, then the end.
struct Digits {
    left: usize,
    /// Ends by itself, or waits for the stop token.
    finishes: bool,
    fault: Option<Fault>,
}

#[derive(Clone, Copy)]
enum Fault {
    Err,
    Panic,
    Nothing,
}

impl TokenConstraint for Digits {
    fn mask(&mut self, allowed: &mut TokenMask) -> Result<(), String> {
        match self.fault {
            Some(Fault::Err) => return Err("a rule without an end".into()),
            Some(Fault::Panic) => panic!("in the grammar"),
            Some(Fault::Nothing) => return Ok(()),
            None => {}
        }
        if self.left == 0 {
            allowed.allow(EOS);
        } else {
            (b'0'..=b'9').for_each(|digit| allowed.allow(u32::from(digit)));
        }
        Ok(())
    }

    fn commit(&mut self, token: u32) -> Result<(), String> {
        assert!((48..58).contains(&token), "only what was allowed is committed");
        self.left -= 1;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.finishes && self.left == 0
    }
}

fn digits(left: usize, finishes: bool, fault: Option<Fault>) -> Option<Grammar> {
    Some(Grammar::new(keccak256("digits"), Box::new(Digits { left, finishes, fault })))
}

fn asked(left: usize, finishes: bool, sampling: SamplingParams) -> GenerateRequest {
    GenerateRequest { grammar: digits(left, finishes, None), sampling, ..request("a number: ", 20) }
}

#[tokio::test]
async fn only_what_the_grammar_allows_is_chosen() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let free = run(&engine, request("a number: ", 20)).await.unwrap();
    for sampling in [SamplingParams::greedy(), sampled(5)] {
        for finishes in [true, false] {
            let outcome = run(&engine, asked(7, finishes, sampling.clone())).await.unwrap();
            assert_eq!((outcome.tokens.len(), outcome.reason), (7, FinishReason::Stop));
            assert!(outcome.tokens.iter().all(|token| (48..58).contains(token)));
            assert_ne!(outcome.exec_hash, free.exec_hash);
        }
    }
    let cut = run(&engine, asked(90, true, sampled(5))).await.unwrap();
    assert_eq!((cut.tokens.len(), cut.reason), (20, FinishReason::Length));
}

/// A grammar that is complete cannot be made to go on.
#[tokio::test]
async fn min_tokens_yields_to_the_grammar() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    for finishes in [true, false] {
        let mut request = asked(3, finishes, sampled(1));
        request.stop.min_tokens = 10;
        let outcome = run(&engine, request).await.unwrap();
        assert_eq!((outcome.tokens.len(), outcome.reason), (3, FinishReason::Stop));
    }
}

#[tokio::test]
async fn a_broken_grammar_fails_alone() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let alone = bits(&run(&engine, request("neighbour", 40)).await.unwrap());
    for fault in [Fault::Err, Fault::Panic, Fault::Nothing] {
        let neighbour = engine.submit(request("neighbour", 40)).unwrap();
        let bad = GenerateRequest { grammar: digits(3, true, Some(fault)), ..request("bad", 9) };
        assert!(matches!(run(&engine, bad).await, Err(GenerateError::Grammar(_))));
        assert_eq!(bits(&neighbour.finish().await.unwrap().1), alone);
    }
}

/// The grammar's state outlives the pages of its sequence.
#[tokio::test]
async fn a_grammar_survives_preemption() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let alone = bits(&run(&engine, asked(18, true, sampled(2))).await.unwrap());
    let tight = tiny.engine(EngineConfig { max_running: 4, ..quick() }, 3);
    tight.ready().await.unwrap();
    let all: Vec<_> = (0..6).map(|_| tight.submit(asked(18, true, sampled(2))).unwrap()).collect();
    for one in all {
        assert_eq!(bits(&one.finish().await.unwrap().1), alone);
    }
}
