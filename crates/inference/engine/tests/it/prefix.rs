//! Shared prefixes: computed once, and never for the wrong request.

use crate::{
    tiny::{Tiny, bits, quick, request, run, sampled},
    toy::toy,
};
use alloy_primitives::B256;
use tributary_engine::{EngineConfig, GenerateRequest, Outcome};
use tributary_testkit::{AdapterSpec, Noise};

fn off() -> EngineConfig {
    EngineConfig { prefix_cache: false, draft_tokens: 0, ..quick() }
}

fn words(seed: u64, count: usize) -> Vec<u32> {
    let mut noise = Noise::new(seed);
    (0..count).map(|_| noise.below(256) as u32).collect()
}

fn asked(prompt: &[&[u32]]) -> GenerateRequest {
    GenerateRequest { prompt: prompt.concat(), sampling: sampled(3), ..request("", 12) }
}

#[tokio::test]
async fn a_cached_answer_is_the_same_answer() {
    let tiny = Tiny::new();
    let (engine, plain) = (tiny.engine(quick(), 64), tiny.engine(off(), 64));
    engine.ready().await.unwrap();
    plain.ready().await.unwrap();
    let prefix = words(1, 100);
    // Ends before, at and behind the end of a page, and the very same prompt again.
    for (extra, cached) in [(0, 0), (0, 96), (1, 96), (12, 96), (13, 112), (28, 112), (28, 112), (29, 128)] {
        let tail = words(2, extra);
        let expected = run(&plain, asked(&[&prefix, &tail])).await.unwrap();
        let outcome = run(&engine, asked(&[&prefix, &tail])).await.unwrap();
        assert_eq!(bits(&outcome), bits(&expected));
        assert_eq!((expected.cached_tokens, outcome.cached_tokens), (0, cached), "{extra}");
    }
    // The next turn of a conversation finds the answer of the last one.
    let first = run(&engine, asked(&[&prefix])).await.unwrap();
    let turn = words(4, 10);
    let expected = run(&plain, asked(&[&prefix, &first.tokens, &turn])).await.unwrap();
    let second = run(&engine, asked(&[&prefix, &first.tokens, &turn])).await.unwrap();
    assert_eq!(bits(&second), bits(&expected));
    assert_eq!(second.cached_tokens, (100 + first.tokens.len() as u32 - 1) / 16 * 16);
}

#[tokio::test]
async fn nobody_shares_with_another_adapter_tenant_or_salt() {
    let tiny = Tiny::new();
    let (engine, plain) = (tiny.engine(quick(), 256), tiny.engine(off(), 64));
    engine.ready().await.unwrap();
    plain.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let [one, two] = [1, 2].map(|seed| tiny.adapter(&AdapterSpec::new(seed)));
    let compositions = [
        vec![],
        vec![(&one, 1.0)],
        vec![(&one, 0.5)],
        vec![(&two, 1.0)],
        vec![(&one, 1.0), (&two, 1.0)],
        vec![(&two, 1.0), (&one, 1.0)],
    ];
    let prompt = words(1, 70);
    let mut all: Vec<Outcome> = Vec::new();
    for composition in &compositions {
        for (tenant, salt) in [(0, 0), (1, 0), (0, 1)] {
            let parts: Vec<_> =
                composition.iter().map(|(source, weight)| ((*source).clone(), *weight)).collect();
            let adapters = store.lease(&parts).await.unwrap();
            let ask = || GenerateRequest {
                tenant,
                cache_salt: B256::repeat_byte(salt),
                adapters: adapters.clone(),
                ..asked(&[&prompt])
            };
            let outcome = run(&engine, ask()).await.unwrap();
            assert_eq!(outcome.cached_tokens, 0);
            assert_eq!(bits(&outcome), bits(&run(&plain, ask()).await.unwrap()));
            all.push(outcome);
        }
    }
    for (index, composition) in compositions.iter().enumerate() {
        let parts: Vec<_> = composition.iter().map(|(source, weight)| ((*source).clone(), *weight)).collect();
        let adapters = store.lease(&parts).await.unwrap();
        let again = run(&engine, GenerateRequest { adapters, ..asked(&[&prompt]) }).await.unwrap();
        assert_eq!((again.cached_tokens, bits(&again)), (64, bits(&all[3 * index])));
    }
}

/// New contents under an old address: another artifact, another prefix.
#[tokio::test]
async fn an_adapter_replaced_under_its_name_finds_nothing_stale() {
    let tiny = Tiny::new();
    let (engine, plain) = (tiny.engine(quick(), 64), tiny.engine(off(), 64));
    engine.ready().await.unwrap();
    plain.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let prompt = words(1, 70);
    let mut last = None;
    for (seed, cached) in [(1, 0), (1, 64), (2, 0), (1, 64)] {
        let source = tiny.adapter_at("its-name", &AdapterSpec::new(seed));
        let adapters = store.lease(&[(source, 1.0)]).await.unwrap();
        let ask = || GenerateRequest { adapters: adapters.clone(), ..asked(&[&prompt]) };
        let outcome = run(&engine, ask()).await.unwrap();
        assert_eq!(
            (outcome.cached_tokens, bits(&outcome)),
            (cached, bits(&run(&plain, ask()).await.unwrap()))
        );
        let before = last.replace((seed, outcome.tokens.clone()));
        assert!(before.is_none_or(|(other, tokens)| (seed == other) == (tokens == outcome.tokens)));
    }
}

/// They arrive together, the prefix is computed once; what each adds is computed by itself.
#[tokio::test]
async fn many_at_once_compute_their_prefix_once() {
    let tiny = Tiny::new();
    for chunk in [256, 40, 7] {
        let config = EngineConfig { prefill_chunk: chunk, draft_tokens: 0, ..quick() };
        let (engine, seen) = toy(&tiny, config, 1024);
        engine.ready().await.unwrap();
        let prefix = words(1, 400);
        let ask = |index: u64| {
            let mut request = asked(&[&prefix, &words(100 + index, 20)]);
            request.stop.tokens = Vec::new();
            request
        };
        let alone = tiny_alone(&tiny, ask).await;
        let all: Vec<_> = (0..32).map(|index| engine.submit(ask(index)).unwrap()).collect();
        for (one, expected) in all.into_iter().zip(alone) {
            assert_eq!(bits(&one.finish().await.unwrap().1), expected);
        }
        // Each computes its own 20, and 11 of its 12 tokens of answer: the last is not fed back.
        assert_eq!(seen.lock().tokens, 400 + 32 * (20 + 11), "chunks of {chunk}");
    }
}

async fn tiny_alone(tiny: &Tiny, ask: impl Fn(u64) -> GenerateRequest) -> Vec<crate::tiny::Bits> {
    let (plain, _) = toy(tiny, off(), 1024);
    plain.ready().await.unwrap();
    let mut alone = Vec::new();
    for index in 0..32 {
        alone.push(bits(&run(&plain, ask(index)).await.unwrap()));
    }
    alone
}

/// The one that computes for all leaves in the middle of it.
#[tokio::test]
async fn those_who_wait_go_on_without_the_one_they_wait_for() {
    let tiny = Tiny::new();
    let plain = tiny.engine(off(), 64);
    plain.ready().await.unwrap();
    let engine = tiny.engine(EngineConfig { prefill_chunk: 5, step_tokens: 8, ..quick() }, 64);
    engine.ready().await.unwrap();
    let prefix = words(1, 200);
    let first = engine.submit(asked(&[&prefix])).unwrap();
    let others: Vec<_> = (0..2).map(|_| engine.submit(asked(&[&prefix])).unwrap()).collect();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    drop(first);
    let expected = bits(&run(&plain, asked(&[&prefix])).await.unwrap());
    for other in others {
        assert_eq!(bits(&other.finish().await.unwrap().1), expected);
    }
}

/// Far more prefixes than pages, over and over.
#[tokio::test]
async fn evicted_prefixes_are_computed_again() {
    let tiny = Tiny::new();
    let (engine, plain) = (tiny.engine(quick(), 12), tiny.engine(off(), 12));
    engine.ready().await.unwrap();
    plain.ready().await.unwrap();
    let mut noise = Noise::new(5);
    let mut found = 0;
    for _ in 0..40 {
        let which = noise.below(5);
        let length = 1 + noise.below(90) as usize;
        let prompt = words(which, length);
        let outcome = run(&engine, asked(&[&prompt])).await.unwrap();
        assert_eq!(bits(&outcome), bits(&run(&plain, asked(&[&prompt])).await.unwrap()));
        found += outcome.cached_tokens;
    }
    assert!(found > 0);
}
