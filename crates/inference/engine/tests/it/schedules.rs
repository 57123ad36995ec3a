//! Thousands of schedules against the toy: whatever arrives, leaves, gives way, is shared, evicted, guessed, reloaded or broken, and
//! whoever chooses the tokens, on however many devices, an answer is what it is alone with everything switched off.

use crate::{
    drafts_source::Misquote,
    tiny::{Bits, Tiny, bits, quick, request, run, sampled},
    toy::{PAGE_BYTES, Seen, WEIGHT_BYTES, toy, toy_within, toys},
};
use alloy_primitives::B256;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::runtime::Runtime;
use tributary_adapters::{Memory, Source};
use tributary_engine::{
    AdapterStore, Engine, EngineConfig, Event, FinishReason, GenerateError, GenerateRequest, SamplingParams,
};
use tributary_testkit::AdapterSpec;

/// A request as a schedule draws it. Few kinds, so that many have a beginning in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    family: u32,
    shared: usize,
    own: (u32, usize),
    max_tokens: u32,
    adapters: usize,
    sampling: u8,
    tenant: u64,
    salt: u8,
}

#[derive(Clone, Debug)]
struct Drawn {
    kind: Kind,
    priority: i32,
    /// Yields before it arrives.
    delay: u32,
    /// Cancelled, or dropped, after this many tokens.
    cancel: Option<(usize, bool)>,
    drafts: u8,
    /// Once it is answered, its next turn: prompt and answer, and so many tokens more.
    turn: Option<usize>,
}

fn kind() -> impl Strategy<Value = Kind> {
    let own = (0u32..3, 0usize..40);
    (0u32..3, 0usize..120, own, 1u32..40, 0usize..5, 0u8..4, 0u64..2, 0u8..2).prop_map(
        |(family, shared, own, max_tokens, adapters, sampling, tenant, salt)| Kind {
            family,
            shared,
            own,
            max_tokens,
            adapters,
            sampling,
            tenant,
            salt,
        },
    )
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let cancel = prop_oneof![5 => Just(None), 1 => (0usize..20, any::<bool>()).prop_map(Some)];
    let turn = prop_oneof![2 => Just(None), 1 => (1usize..30).prop_map(Some)];
    (kind(), -1i32..2, 0u32..60, cancel, 0u8..3, turn).prop_map(
        |(kind, priority, delay, cancel, drafts, turn)| Drawn { kind, priority, delay, cancel, drafts, turn },
    )
}

fn widths() -> impl Strategy<Value = (EngineConfig, u32)> {
    let sizes = (1usize..12, 4usize..120, 1usize..60, prop_oneof![Just(256u32), 18u32..40]);
    (sizes, any::<bool>(), prop_oneof![Just(0usize), 1usize..60]).prop_map(
        |((max_running, step_tokens, prefill_chunk, pages), prefix_cache, draft_tokens)| {
            let config = EngineConfig {
                max_running,
                step_tokens,
                prefill_chunk,
                prefix_cache,
                draft_tokens,
                ..quick()
            };
            (config, pages)
        },
    )
}

struct World {
    tiny: Tiny,
    alone: Engine,
    store: AdapterStore,
    answers: Mutex<HashMap<Kind, Bits>>,
    sources: Vec<Source>,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let tiny = Tiny::new();
    let off = EngineConfig { prefix_cache: false, draft_tokens: 0, max_running: 1, ..quick() };
    let (alone, _) = toy(&tiny, off, 64);
    runtime.block_on(alone.ready()).unwrap();
    let sources = (0..3).map(|seed| tiny.adapter(&AdapterSpec::new(seed).rank(2))).collect();
    let store = tiny.store(&alone, 1 << 20);
    World { tiny, alone, store, answers: Mutex::default(), sources, runtime }
});

impl Kind {
    fn prompt(&self) -> Vec<u32> {
        let shared = (0..self.shared as u32).map(|at| 97 + (at * at + self.family * 5) % 11);
        let own = (0..self.own.1 as u32).map(|at| 97 + (at * 3 + self.own.0) % 11);
        [100].into_iter().chain(shared).chain(own).collect()
    }

    fn sampling(&self) -> SamplingParams {
        match self.sampling {
            0 => SamplingParams::greedy(),
            1 => SamplingParams { presence: 0.4, frequency: 0.1, ..SamplingParams::greedy() },
            2 => sampled(9),
            _ => SamplingParams { repetition: 1.1, choice: 1, ..sampled(10) },
        }
    }

    fn composition(&self, sources: &[Source]) -> Vec<(Source, f32)> {
        let part = |index: usize, weight| (sources[index].clone(), weight);
        match self.adapters {
            0 => vec![],
            4 => vec![part(2, 0.7), part(0, 0.3)],
            one => vec![part(one - 1, 1.0)],
        }
    }

    async fn request(&self, store: &AdapterStore, sources: &[Source]) -> GenerateRequest {
        GenerateRequest {
            prompt: self.prompt(),
            sampling: self.sampling(),
            adapters: store.lease(&self.composition(sources)).await.unwrap(),
            tenant: self.tenant,
            cache_salt: B256::repeat_byte(self.salt),
            ..request("", self.max_tokens)
        }
    }
}

impl World {
    async fn alone(&self, kind: &Kind) -> Bits {
        if let Some(known) = self.answers.lock().get(kind) {
            return known.clone();
        }
        let answer = bits(&run(&self.alone, kind.request(&self.store, &self.sources).await).await.unwrap());
        self.answers.lock().insert(kind.clone(), answer.clone());
        answer
    }

    async fn check(&self, engine: &Engine, store: &AdapterStore, drawn: &Drawn, may_break: bool) {
        let alone = self.alone(&drawn.kind).await;
        for _ in 0..drawn.delay {
            tokio::task::yield_now().await;
        }
        let mut request = drawn.kind.request(store, &self.sources).await;
        request.priority = drawn.priority;
        request.drafts = Misquote::source(drawn.drafts, &request.prompt, &alone.0);
        let mut generation = engine.submit(request).unwrap();
        let mut got = Vec::new();
        loop {
            match drawn.cancel {
                Some((after, true)) if after == got.len() => return drop(generation),
                Some((after, false)) if after == got.len() => generation.cancel(),
                _ => {}
            }
            match generation.next().await.unwrap() {
                Event::Token(event) => got.push(event.token),
                Event::Finished(outcome) if outcome.reason == FinishReason::Cancelled => {
                    assert_eq!(outcome.tokens, got);
                    return assert_eq!(got, alone.0[..got.len()]);
                }
                Event::Finished(outcome) => {
                    assert_eq!(outcome.tokens, got);
                    assert_eq!(bits(&outcome), alone);
                    break;
                }
                Event::Failed(GenerateError::Cancelled) => {
                    return assert!(drawn.cancel.is_some() && got.is_empty());
                }
                Event::Failed(error) => {
                    return assert!(may_break && matches!(error, GenerateError::Backend(_)), "{error}");
                }
            }
        }
        if let Some(more) = drawn.turn {
            self.check_turn(engine, store, &drawn.kind, &got, more, may_break).await;
        }
    }

    /// What a conversation goes on with finds the pages of its answer, guesses and all.
    async fn check_turn(
        &self,
        engine: &Engine,
        store: &AdapterStore,
        kind: &Kind,
        answer: &[u32],
        more: usize,
        may_break: bool,
    ) {
        let prompt = [&kind.prompt(), answer, &vec![101; more]].concat();
        let ask = async |store: &AdapterStore| GenerateRequest {
            prompt: prompt.clone(),
            ..kind.request(store, &self.sources).await
        };
        let alone = run(&self.alone, ask(&self.store).await).await.unwrap();
        match run(engine, ask(store).await).await {
            Ok(outcome) => assert_eq!(bits(&outcome), bits(&alone)),
            Err(error) => assert!(may_break && matches!(error, GenerateError::Backend(_)), "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_its_own(
        requests in prop::collection::vec(drawn(), 1..24),
        (config, pages) in widths(),
        break_at in prop_oneof![3 => Just(None), 1 => (1usize..60).prop_map(Some)],
        memory in prop_oneof![Just(1usize << 20), Just(2100)],
        common in prop_oneof![1 => Just(None), 2 => (2000usize..7000).prop_map(Some)],
        chooses: bool,
        engines in 1usize..4,
    ) {
        let world = &*WORLD;
        // Pages of one context are there in any case; beyond, pages and adapters take from each other.
        let budget = common.map(|more| Memory::new(WEIGHT_BYTES + 32 * PAGE_BYTES + more));
        let (engine, seen): (Engine, Vec<Arc<Mutex<Seen>>>) = match &budget {
            Some(budget) => {
                let (engine, seen) = toy_within(budget, &world.tiny, config, pages);
                (engine, vec![seen])
            }
            None => toys(&world.tiny, config, pages, engines),
        };
        seen[0].lock().break_at = break_at;
        seen.iter().for_each(|seen| seen.lock().chooses = chooses);
        world.runtime.block_on(async {
            engine.ready().await.unwrap();
            let store = world.tiny.store(&engine, memory);
            let checks = requests.iter().map(|drawn| world.check(&engine, &store, drawn, break_at.is_some()));
            let all = futures::future::join_all(checks);
            tokio::time::timeout(Duration::from_secs(20), all).await.expect("no request starves");
            engine.drain().await;
            prop_assert_eq!(engine.requests(), 0);
            prop_assert!(store.stats().bytes <= memory);
            if let Some(budget) = &budget {
                let stats = budget.stats();
                prop_assert_eq!(stats.adapters, store.stats().bytes);
                prop_assert!(stats.weights + stats.pages + stats.adapters <= stats.total, "{:?}", stats);
                // Tasks that loaded something let go of it in their own time.
                drop(store);
                let gone = async {
                    while budget.stats().adapters > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), gone).await.expect("no adapter is forgotten");
            }
            Ok(())
        })?;
    }
}
