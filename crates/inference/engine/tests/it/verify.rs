//! Answers checked by one prefill: true ones are equal to the last bit, and a lie is found where it begins.

use crate::tiny::{Tiny, quick, request, sampled};
use alloy_primitives::B256;
use tributary_adapters::Artifact;
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{
    AdapterSet, Claim, Ending, GenerateRequest, InferenceBackend, LoraPart, Outcome, SamplingParams, Verdict,
    VerifyError, committed_max_tokens, verify,
};
use tributary_testkit::{AdapterSpec, artifact};

/// A checker's backend: one thread, steps and pages of other sizes than the server's.
fn checker(tiny: &Tiny) -> CpuBackend {
    let model = tiny.model();
    let options = Options { threads: 1, step_tokens: 20, cache_tokens: 512, rows: 1, ..Options::default() };
    CpuBackend::new(model.config, model.weights, &model.hashes, &options).unwrap()
}

struct Case {
    prompt: &'static str,
    adapters: Vec<(AdapterSpec, f32)>,
    sampling: SamplingParams,
    stop: &'static [&'static str],
    max_tokens: u32,
}

impl Case {
    fn request(&self) -> GenerateRequest {
        let mut asked = request(self.prompt, self.max_tokens);
        asked.sampling = self.sampling.clone();
        asked.stop.strings = self.stop.iter().map(|stop| (*stop).to_owned()).collect();
        asked
    }

    fn claim(&self, backend: &CpuBackend, outcome: &Outcome) -> Claim {
        let part = |artifact: Artifact, weight| {
            let adapter = artifact.parse(&backend.geometry(), &Default::default()).unwrap();
            let prepared = backend.preparer().prepare(&adapter, weight).unwrap();
            LoraPart { hash: adapter.hash, weight, prepared }
        };
        let parts = self.adapters.iter().map(|(spec, weight)| part(artifact(spec), *weight)).collect();
        Claim {
            request: GenerateRequest { adapters: AdapterSet::of(parts), ..self.request() },
            output: outcome.tokens.clone(),
            exec_hash: outcome.exec_hash,
            logits_root: outcome.logits_root,
        }
    }
}

fn cases() -> Vec<Case> {
    let plain = || Case {
        prompt: "the quick brown fox",
        adapters: vec![],
        sampling: SamplingParams::greedy(),
        stop: &[],
        max_tokens: 40,
    };
    let picky = SamplingParams {
        repetition: 1.3,
        presence: 0.5,
        frequency: 0.25,
        min_p: 10_000,
        bias: vec![(65, 3.0), (66, -100.0)],
        choice: 2,
        ..sampled(9)
    };
    vec![
        plain(),
        Case { sampling: sampled(3), max_tokens: 70, ..plain() },
        Case { sampling: picky, prompt: "p", ..plain() },
        Case { adapters: vec![(AdapterSpec::new(1), 1.0)], ..plain() },
        Case { adapters: vec![(AdapterSpec::new(2).dora(), 1.0)], sampling: sampled(4), ..plain() },
        Case { adapters: vec![(AdapterSpec::new(1), 0.5), (AdapterSpec::new(3).rank(40), -0.25)], ..plain() },
        Case { max_tokens: 1, ..plain() },
    ]
}

#[tokio::test]
async fn true_answers_are_equal_and_every_lie_is_found_where_it_begins() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let mut backend = checker(&tiny);
    let vocabulary = tiny.model().tokenizer;
    for (number, case) in cases().into_iter().enumerate() {
        let composition: Vec<_> =
            case.adapters.iter().map(|(spec, weight)| (tiny.adapter(spec), *weight)).collect();
        let mut asked = case.request();
        asked.adapters = store.lease(&composition).await.unwrap();
        let (_, outcome) = engine.submit(asked).unwrap().finish().await.unwrap();
        let length = outcome.tokens.len();
        let mut judge = |edit: &dyn Fn(&mut Claim)| {
            let mut claim = case.claim(&backend, &outcome);
            edit(&mut claim);
            verify(&mut backend, &*vocabulary, claim).unwrap()
        };
        let ending = if length == case.max_tokens as usize { Ending::Length } else { Ending::Stop };
        assert_eq!(judge(&|_| {}), Verdict::Equal(ending), "case {number}");
        // One token at a time, replaced by any other: that very place is named.
        for index in (0..length).step_by(1 + length / 7) {
            let (mine, other) = (outcome.tokens[index], (outcome.tokens[index] + 1) % 256);
            let found = judge(&|claim| claim.output[index] = other);
            let lie = Verdict::Token { index: index as u32, claimed: other, computed: Some(mine) };
            assert_eq!(found, lie, "case {number}");
        }
        if length > 1 {
            let cut = judge(&|claim| claim.output.truncate(length - 1));
            assert!(matches!(cut, Verdict::Root { ending: Ending::Cut, .. }), "case {number}: {cut:?}");
        }
        let longer = judge(&|claim| claim.output.push(65));
        assert!(
            matches!(longer, Verdict::Token { index, claimed: 65, .. } if index as usize == length),
            "case {number}: {longer:?}"
        );
        let root = judge(&|claim| claim.logits_root = B256::repeat_byte(7));
        assert_eq!(root, Verdict::Root { computed: outcome.logits_root, ending }, "case {number}");
        for edit in [
            &(|claim: &mut Claim| claim.request.prompt[0] += 1) as &dyn Fn(&mut Claim),
            &|claim| claim.request.sampling.seed += 1,
            &|claim| claim.request.stop.max_tokens += 1,
            &|claim| claim.exec_hash = B256::ZERO,
        ] {
            assert!(matches!(judge(edit), Verdict::Inputs { .. }), "case {number}");
        }
    }
}

#[tokio::test]
async fn a_stop_string_ends_what_is_checked_too() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let (text, _) = engine.submit(request("stop here", 40)).unwrap().finish().await.unwrap();
    let stop: String = text.chars().skip(3).find(char::is_ascii).unwrap().into();
    let mut asked = request("stop here", 40);
    asked.stop.strings = vec![stop.clone()];
    let (_, outcome) = engine.submit(asked).unwrap().finish().await.unwrap();
    assert_eq!(outcome.stop_string, Some(stop.clone()));
    let mut backend = checker(&tiny);
    let claim = |output: &[u32]| {
        let mut request = request("stop here", 40);
        request.stop.strings = vec![stop.clone()];
        let (exec_hash, logits_root) = (outcome.exec_hash, outcome.logits_root);
        Claim { request, output: output.to_vec(), exec_hash, logits_root }
    };
    let vocabulary = tiny.model().tokenizer;
    let whole = verify(&mut backend, &*vocabulary, claim(&outcome.tokens)).unwrap();
    assert_eq!(whole, Verdict::Equal(Ending::Stop));
    let beyond: Vec<u32> = outcome.tokens.iter().copied().chain([65]).collect();
    let (index, claimed) = (outcome.tokens.len() as u32, 65);
    let beyond = verify(&mut backend, &*vocabulary, claim(&beyond)).unwrap();
    assert_eq!(beyond, Verdict::Token { index, claimed, computed: None });
}

#[tokio::test]
async fn the_bound_that_was_committed_to_is_found() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    let info = engine.ready().await.unwrap();
    let mut asked = request("bounded", 17);
    asked.stop.min_tokens = 17;
    let (_, outcome) = engine.submit(asked).unwrap().finish().await.unwrap();
    // The body asked for more; a permit made it 17.
    let mut request = request("bounded", 100);
    request.stop.min_tokens = 30;
    let mut claim = Claim {
        request,
        output: outcome.tokens.clone(),
        exec_hash: outcome.exec_hash,
        logits_root: outcome.logits_root,
    };
    assert_eq!(committed_max_tokens(&info.identity, 512, &claim), Some(17));
    claim.request.prompt.push(1);
    assert_eq!(committed_max_tokens(&info.identity, 512, &claim), None);
}

#[test]
fn what_cannot_be_computed_is_said_so() {
    let tiny = Tiny::new();
    let mut backend = checker(&tiny);
    let vocabulary = tiny.model().tokenizer;
    let mut fault = |prompt: Vec<u32>, output: Vec<u32>| {
        let request = GenerateRequest { prompt, ..GenerateRequest::default() };
        let (exec_hash, logits_root) = (B256::ZERO, B256::ZERO);
        verify(&mut backend, &*vocabulary, Claim { request, output, exec_hash, logits_root }).unwrap_err()
    };
    assert_eq!(fault(vec![], vec![1]), VerifyError::EmptyPrompt);
    assert_eq!(fault(vec![1], vec![260]), VerifyError::BadToken(260));
    assert_eq!(fault(vec![u32::MAX], vec![]), VerifyError::BadToken(u32::MAX));
    assert!(matches!(fault(vec![1; 300], vec![1; 300]), VerifyError::TooLong { tokens: 600, .. }));
}
