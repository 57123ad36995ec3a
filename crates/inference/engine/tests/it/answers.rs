//! One request after another: limits, stops, text, log-probabilities.

use crate::tiny::{Tiny, bits, quick, request, run, sampled};
use std::time::{Duration, Instant};
use tributary_engine::{Event, FinishReason, GenerateError, SamplingParams, Status, StopRules, SubmitError};

#[tokio::test]
async fn length_and_repeatability() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let first = run(&engine, request("hello", 10)).await.unwrap();
    let again = run(&engine, request("hello", 10)).await.unwrap();
    assert_eq!(bits(&first), bits(&again));
    assert!(first.tokens.len() <= 10);
    assert_eq!(first.prompt_tokens, 5);
    assert!(first.timing.first_token.unwrap() <= first.timing.total);
    let shorter = run(&engine, request("hello", 3)).await.unwrap();
    assert_eq!(shorter.reason, FinishReason::Length);
    assert_eq!(shorter.tokens, first.tokens[..3]);
    // The limits are part of what went in.
    assert_ne!(shorter.exec_hash, first.exec_hash);
}

#[tokio::test]
async fn seeds_and_choices_decide_draws() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let ask = async |sampling: SamplingParams| {
        let mut request = request("a story", 24);
        request.sampling = sampling;
        run(&engine, request).await.unwrap().tokens
    };
    let one = ask(sampled(1)).await;
    assert_eq!(one, ask(sampled(1)).await);
    assert_ne!(one, ask(sampled(2)).await);
    assert_ne!(one, ask(SamplingParams { choice: 1, ..sampled(1) }).await);
}

#[tokio::test]
async fn stop_tokens_end_the_answer_and_are_no_part_of_it() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let free = run(&engine, request("stop here", 12)).await.unwrap();
    let stop = free.tokens[4];
    let before = free.tokens.iter().position(|token| *token == stop).unwrap();
    let mut stopped = request("stop here", 12);
    stopped.stop.tokens = vec![stop];
    let stopped = run(&engine, stopped).await.unwrap();
    assert_eq!((stopped.reason, &stopped.tokens[..]), (FinishReason::Stop, &free.tokens[..before]));
    // Before min_tokens the stop token cannot be chosen at all.
    let mut late = request("stop here", 12);
    late.stop = StopRules { max_tokens: 12, min_tokens: 8, tokens: vec![stop], strings: Vec::new() };
    let late = run(&engine, late).await.unwrap();
    assert!(late.tokens.len() >= 8 && !late.tokens[..8].contains(&stop));
}

#[tokio::test]
async fn stop_strings_end_the_text_and_their_tokens_count() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let ask = async |strings: Vec<String>| {
        let mut request = request("words", 40);
        request.stop.tokens = vec![];
        request.stop.strings = strings;
        // Letters only, so that every token is one character.
        request.sampling = SamplingParams {
            bias: (0..260).filter(|token| !(97..123).contains(token)).map(|token| (token, -100.0)).collect(),
            ..sampled(3)
        };
        engine.submit(request).unwrap().finish().await.unwrap()
    };
    let (text, outcome) = ask(Vec::new()).await;
    assert_eq!((text.len(), outcome.reason), (40, FinishReason::Length));
    let stop = text[10..13].to_owned();
    let at = text.find(&stop).unwrap();
    let (cut, outcome) = ask(vec!["#".into(), stop.clone()]).await;
    assert_eq!((cut.as_str(), outcome.reason), (&text[..at], FinishReason::Stop));
    assert_eq!((outcome.tokens.len(), outcome.stop_string), (at + 3, Some(stop)));
}

#[tokio::test]
async fn log_probabilities_are_of_the_raw_distribution() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let mut asked = request("what is", 6);
    asked.logprobs = Some(5);
    let plain = bits(&run(&engine, request("what is", 6)).await.unwrap());
    let mut generation = engine.submit(asked).unwrap();
    let mut tokens = Vec::new();
    while let Some(event) = generation.next().await {
        match event {
            Event::Token(event) => {
                assert_eq!(event.top.len(), 5);
                assert_eq!(event.top[0].token, event.token, "greedy takes the most probable");
                assert_eq!(event.logprob, Some(event.top[0].logprob));
                assert!(event.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
                assert!(event.top.iter().all(|one| one.logprob <= 0.0));
                tokens.push(event.token);
            }
            Event::Finished(outcome) => assert_eq!(bits(&outcome), plain),
            Event::Failed(error) => panic!("{error}"),
        }
    }
    assert_eq!(tokens, plain.0);
}

#[tokio::test]
async fn bad_requests_are_refused_at_the_door() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    let context = engine.ready().await.unwrap().limits.context;
    let refused = |change: fn(&mut tributary_engine::GenerateRequest)| {
        let mut request = request("x", 4);
        change(&mut request);
        engine.submit(request).map(drop).unwrap_err()
    };
    assert_eq!(refused(|r| r.prompt.clear()), SubmitError::EmptyPrompt);
    assert_eq!(refused(|r| r.prompt = vec![1_000_000]), SubmitError::BadToken(1_000_000));
    assert_eq!(refused(|r| r.stop.max_tokens = 0), SubmitError::NoTokens);
    assert_eq!(refused(|r| r.prompt = vec![1; 100_000]), SubmitError::TooLong { prompt: 100_000, context });
    // What fits is cut to what the context leaves.
    let mut long = request("x", 1000);
    long.prompt = vec![5; context as usize - 3];
    long.stop.tokens = Vec::new();
    let outcome = run(&engine, long).await.unwrap();
    assert_eq!((outcome.tokens.len(), outcome.reason), (3, FinishReason::Length));
}

#[tokio::test]
async fn deadlines_and_cancellation() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let mut late = request("never", 10);
    late.deadline = Some(Instant::now());
    assert_eq!(run(&engine, late).await.unwrap_err(), GenerateError::Deadline);
    let mut endless = request("on and on", 400);
    endless.stop.tokens = Vec::new();
    let mut generation = engine.submit(endless).unwrap();
    for _ in 0..3 {
        assert!(matches!(generation.next().await, Some(Event::Token(_))));
    }
    generation.cancel();
    let (_, outcome) = generation.finish().await.unwrap();
    assert_eq!(outcome.reason, FinishReason::Cancelled);
    assert!((3..400).contains(&outcome.tokens.len()));
    // Dropping it is enough; the engine forgets it.
    let mut dropped = request("gone", 400);
    dropped.stop.tokens = Vec::new();
    drop(engine.submit(dropped).unwrap());
    tokio::time::timeout(Duration::from_secs(20), async {
        while engine.requests() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn draining_finishes_what_there_is() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let running: Vec<_> = (0..4).map(|_| engine.submit(request("finish me", 20)).unwrap()).collect();
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain().await }
    });
    engine.watch().wait_for(|status| matches!(status, Status::Draining | Status::Stopped)).await.unwrap();
    assert!(matches!(engine.submit(request("too late", 1)), Err(SubmitError::Unavailable(_))));
    for generation in running {
        generation.finish().await.unwrap();
    }
    draining.await.unwrap();
    assert_eq!(engine.status(), Status::Stopped);
}

#[tokio::test]
async fn too_many_requests_are_refused() {
    let tiny = Tiny::new();
    let config = tributary_engine::EngineConfig { max_requests: 2, ..quick() };
    let engine = tiny.engine(config, 64);
    engine.ready().await.unwrap();
    let held: Vec<_> = (0..2).map(|_| engine.submit(request("held", 300)).unwrap()).collect();
    assert_eq!(engine.submit(request("third", 1)).map(drop).unwrap_err(), SubmitError::Overloaded(2));
    drop(held);
}
