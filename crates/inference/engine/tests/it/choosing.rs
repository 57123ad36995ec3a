//! Rows say how to choose where a token is all that is asked of them, and answers do not show who chose.

use crate::{
    tiny::{Tiny, bits, quick, request, run, sampled},
    toy::toy,
};
use tributary_engine::{
    Choosing, EngineConfig, GenerateError, GenerateRequest, NoChoice, PPM, SamplingParams, StopRules,
};

/// A request, and of how many positions more than a token is asked in the row at hand.
fn requests() -> Vec<(GenerateRequest, usize)> {
    let base = |sampling| GenerateRequest { sampling, ..request("the quick brown fox", 12) };
    let greedy = SamplingParams::greedy;
    let stop = |max_tokens, min_tokens| StopRules { max_tokens, min_tokens, ..base(greedy()).stop };
    vec![
        (base(greedy()), 0),
        (base(sampled(3)), 0),
        (base(SamplingParams { min_p: 20_000, top_p: PPM, ..sampled(4) }), 0),
        (GenerateRequest { logprobs: Some(2), ..base(sampled(3)) }, 12),
        (base(SamplingParams { repetition: 1.1, ..greedy() }), 12),
        (base(SamplingParams { presence: 0.5, ..sampled(5) }), 12),
        (base(SamplingParams { bias: vec![(98, 3.0)], ..sampled(6) }), 12),
        // Until its stop tokens may be chosen, they are ruled out.
        (GenerateRequest { stop: stop(12, 5), ..base(sampled(7)) }, 5),
        (GenerateRequest { prompt_logprobs: Some(1), ..base(greedy()) }, 19),
        (GenerateRequest { prompt_logprobs: Some(1), stop: stop(0, 0), ..base(greedy()) }, 19),
    ]
}

#[tokio::test]
async fn a_row_says_how_if_nothing_but_a_token_is_asked() {
    let tiny = Tiny::new();
    let config = EngineConfig { draft_tokens: 0, prefix_cache: false, ..quick() };
    for (index, (asked, looked_at)) in requests().into_iter().enumerate() {
        let (engine, seen) = toy(&tiny, config, 64);
        engine.ready().await.unwrap();
        seen.lock().chooses = true;
        let most = asked.stop.max_tokens as usize;
        let outcome = run(&engine, asked).await.unwrap();
        assert_eq!(outcome.tokens.len(), most, "request {index}");
        let seen = seen.lock();
        assert_eq!(seen.looked_at, looked_at, "request {index}");
        let shown = outcome.prompt_logprobs.len();
        assert_eq!(seen.looked_at + seen.chosen, shown + most.max(1), "request {index}");
    }
}

#[tokio::test]
async fn answers_do_not_show_who_chose() {
    let tiny = Tiny::new();
    let (ours, _) = toy(&tiny, quick(), 64);
    let (theirs, seen) = toy(&tiny, quick(), 64);
    ours.ready().await.unwrap();
    theirs.ready().await.unwrap();
    seen.lock().chooses = true;
    for ((one, _), (other, _)) in requests().into_iter().zip(requests()) {
        let (one, other) = (run(&ours, one).await.unwrap(), run(&theirs, other).await.unwrap());
        assert_eq!(bits(&one), bits(&other));
        assert_eq!(one.prompt_logprobs, other.prompt_logprobs);
    }
    let seen = seen.lock();
    assert!(seen.chosen > 40 && seen.guesses > 0, "{seen:?}");
}

#[tokio::test]
async fn logits_that_allow_no_choice_fail_the_request_whoever_chooses() {
    let tiny = Tiny::new();
    let (engine, seen) = toy(&tiny, quick(), 64);
    engine.ready().await.unwrap();
    seen.lock().chooses = true;
    seen.lock().no_choice = true;
    assert_eq!(run(&engine, request("hello", 4)).await.unwrap_err(), GenerateError::NonFinite);
}

#[test]
fn the_definition_of_a_choice() {
    let how = Choosing::of(&SamplingParams { seed: 5, choice: 2, ..sampled(5) }, 7).unwrap();
    assert_eq!(how.draw(3), tributary_engine::draw(5, 2, 10));
    let logits: Vec<f32> = (0..40).map(|token| (token * 7 % 11) as f32 / 3.0).collect();
    let next = Choosing { position: 8, ..how };
    assert_eq!(how.token(1, &logits), next.token(0, &logits));
    let greedy = Choosing::of(&SamplingParams::greedy(), 0).unwrap();
    assert!(greedy.is_greedy() && !how.is_greedy());
    assert_eq!(greedy.token(0, &logits), Ok(3));
    assert_eq!(greedy.token(0, &[f32::NAN]), Err(NoChoice));
    assert_eq!(Choosing::of(&SamplingParams { frequency: 0.1, ..sampled(5) }, 0), None);
}
