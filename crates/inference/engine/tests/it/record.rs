//! The commitments of an answer, recomputed from the record by one prefill.

use crate::tiny::{Tiny, quick, request, run, sampled};
use alloy_primitives::keccak256;
use tributary_engine::{HashChain, InferenceBackend, PageId, Row, SeqId, StepOutput, Wanted, exec_hash};
use tributary_testkit::AdapterSpec;

#[tokio::test]
async fn one_prefill_reproduces_every_link_of_the_chain() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    let info = engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let adapters = store.lease(&[(tiny.adapter(&AdapterSpec::new(4)), 1.0)]).await.unwrap();
    let mut asked = request("check this answer", 20);
    asked.adapters = adapters.clone();
    asked.sampling = sampled(9);
    let (prompt, sampling, stop) = (asked.prompt.clone(), asked.sampling.clone(), asked.stop.clone());
    let outcome = run(&engine, asked).await.unwrap();
    assert!(outcome.tokens.len() > 3);

    let inputs = exec_hash(&info.identity, adapters.parts(), &prompt, &sampling, &stop, None);
    assert_eq!(inputs, outcome.exec_hash);
    assert_eq!(outcome.sampling, sampling.encode());

    let mut backend = tiny.backend(64);
    let tokens: Vec<u32> = prompt.iter().chain(&outcome.tokens).copied().collect();
    let pages: Vec<PageId> = (0..tokens.len() as u32 / info.limits.page_tokens + 1).collect();
    let row = Row {
        seq: SeqId(0),
        pos: 0,
        tokens: &tokens,
        pages: &pages,
        lora: adapters.parts(),
        logits: Wanted::All,
        choose: None,
    };
    backend.admit(SeqId(0), adapters.parts()).unwrap();
    let mut output = StepOutput::default();
    backend.step(&[row], &mut output).unwrap();
    assert_eq!(output.error(0), None);
    let mut chain = HashChain::new(inputs);
    for (index, token) in outcome.tokens.iter().enumerate() {
        chain.push(output.normed(0, prompt.len() - 1 + index), *token);
    }
    assert_eq!(chain.head(), outcome.logits_root);
}

#[tokio::test]
async fn every_input_changes_the_hash() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    let identity = engine.ready().await.unwrap().identity;
    let base = request("p", 4);
    let hash = |change: fn(&mut tributary_engine::GenerateRequest)| {
        let mut request = request("p", 4);
        change(&mut request);
        exec_hash(&identity, &[], &request.prompt, &request.sampling, &request.stop, None)
    };
    let mut hashes = vec![exec_hash(&identity, &[], &base.prompt, &base.sampling, &base.stop, None)];
    hashes.extend([
        hash(|r| r.prompt.push(1)),
        hash(|r| r.sampling.seed = 1),
        hash(|r| r.sampling.choice = 1),
        hash(|r| r.sampling.temperature = 0.5),
        hash(|r| r.sampling.top_k = 1),
        hash(|r| r.sampling.top_p = 1),
        hash(|r| r.sampling.min_p = 1),
        hash(|r| r.sampling.repetition = 1.5),
        hash(|r| r.sampling.presence = 1.0),
        hash(|r| r.sampling.frequency = 1.0),
        hash(|r| r.sampling.bias = vec![(1, 1.0)]),
        hash(|r| r.stop.max_tokens = 5),
        hash(|r| r.stop.min_tokens = 1),
        hash(|r| r.stop.tokens.push(1)),
        hash(|r| r.stop.strings.push("x".into())),
    ]);
    let grammar = Some(keccak256("a grammar"));
    hashes.push(exec_hash(&identity, &[], &base.prompt, &base.sampling, &base.stop, grammar));
    let mut other = identity;
    other.profile = keccak256("another profile");
    hashes.push(exec_hash(&other, &[], &base.prompt, &base.sampling, &base.stop, None));
    other = identity;
    other.weights = keccak256("other weights");
    hashes.push(exec_hash(&other, &[], &base.prompt, &base.sampling, &base.stop, None));
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}
