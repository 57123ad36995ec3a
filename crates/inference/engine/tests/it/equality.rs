//! The property the whole engine is built for: whatever else is in the batch, an answer's bits are the same.

use crate::tiny::{Tiny, bits, quick, request, run, sampled};
use proptest::prelude::*;
use std::{sync::LazyLock, time::Duration};
use tokio::runtime::Runtime;
use tributary_adapters::Source;
use tributary_engine::{
    AdapterStore, Engine, EngineConfig, Event, FinishReason, GenerateRequest, SamplingParams,
};
use tributary_testkit::{AdapterSpec, Noise};

/// A request as a schedule draws it.
#[derive(Clone, Debug)]
struct Drawn {
    seed: u64,
    prompt: usize,
    max_tokens: u32,
    /// Which adapters: none, one of three, or two together.
    adapters: usize,
    greedy: bool,
    tenant: u64,
    delay: u64,
    /// Cancelled after this many tokens.
    cancel: Option<usize>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let cancel = prop_oneof![4 => Just(None), 1 => (0usize..6).prop_map(Some)];
    (any::<u64>(), 1usize..70, 1u32..14, 0usize..5, any::<bool>(), 0u64..3, 0u64..4, cancel).prop_map(
        |(seed, prompt, max_tokens, adapters, greedy, tenant, delay, cancel)| Drawn {
            seed,
            prompt,
            max_tokens,
            adapters,
            greedy,
            tenant,
            delay,
            cancel,
        },
    )
}

/// How the engine batches: narrow and wide, fine and coarse, with pages to spare and without.
fn widths() -> impl Strategy<Value = (EngineConfig, u32)> {
    (1usize..9, 4usize..80, 1usize..40, prop_oneof![Just(64u32), 10u32..20]).prop_map(
        |(max_running, step_tokens, prefill_chunk, pages)| {
            (EngineConfig { max_running, step_tokens, prefill_chunk, ..quick() }, pages)
        },
    )
}

struct World {
    tiny: Tiny,
    alone: Engine,
    store: AdapterStore,
    sources: Vec<Source>,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let tiny = Tiny::new();
    let off = EngineConfig { prefix_cache: false, draft_tokens: 0, ..quick() };
    let alone = tiny.engine(off, 64);
    runtime.block_on(alone.ready()).unwrap();
    let store = tiny.store(&alone, 256 << 20);
    let sources = [(1, 4), (2, 8), (3, 33)]
        .map(|(seed, rank)| tiny.adapter(&AdapterSpec::new(seed).rank(rank)))
        .to_vec();
    World { tiny, alone, store, sources, runtime }
});

impl World {
    async fn request(&self, drawn: &Drawn) -> GenerateRequest {
        let mut noise = Noise::new(drawn.seed);
        let mut request = request("", drawn.max_tokens);
        request.prompt = (0..drawn.prompt).map(|_| noise.below(256) as u32).collect();
        // Some begin as others do, and repeat themselves.
        if drawn.seed.is_multiple_of(3) {
            request.prompt = [vec![1; 20], vec![drawn.seed as u32 % 2; 20], request.prompt].concat();
        }
        request.tenant = drawn.tenant;
        request.sampling = if drawn.greedy {
            SamplingParams::greedy()
        } else {
            SamplingParams { repetition: 1.1, presence: 0.3, frequency: 0.2, ..sampled(drawn.seed) }
        };
        let part = |index: usize, weight| (self.sources[index].clone(), weight);
        let composition = match drawn.adapters {
            0 => vec![],
            4 => vec![part(2, 0.7), part(0, 0.3)],
            one => vec![part(one - 1, 1.0)],
        };
        request.adapters = self.store.lease(&composition).await.unwrap();
        request
    }

    async fn check(&self, engine: &Engine, drawn: &Drawn) {
        let alone = run(&self.alone, self.request(drawn).await).await.unwrap();
        tokio::time::sleep(Duration::from_millis(drawn.delay)).await;
        let mut generation = engine.submit(self.request(drawn).await).unwrap();
        let mut got = Vec::new();
        loop {
            if drawn.cancel == Some(got.len()) {
                generation.cancel();
            }
            match generation.next().await.unwrap() {
                Event::Token(event) => got.push(event.token),
                Event::Finished(outcome) if outcome.reason == FinishReason::Cancelled => {
                    assert_eq!(outcome.tokens, got);
                    assert_eq!(got, alone.tokens[..got.len()]);
                    return;
                }
                Event::Finished(outcome) => {
                    assert_eq!(outcome.tokens, got);
                    assert_eq!(bits(&outcome), bits(&alone));
                    return;
                }
                Event::Failed(error) => {
                    assert!(drawn.cancel.is_some() && got.is_empty(), "{error}");
                    return;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_mixed_batch_equals_each_request_alone(
        requests in prop::collection::vec(drawn(), 1..14),
        (config, pages) in widths(),
    ) {
        let world = &*WORLD;
        let engine = world.tiny.engine(config, pages);
        world.runtime.block_on(async {
            engine.ready().await.unwrap();
            let checks = requests.iter().map(|drawn| world.check(&engine, drawn));
            let all = futures::future::join_all(checks);
            tokio::time::timeout(Duration::from_secs(120), all).await.expect("no request starves");
            engine.drain().await;
        });
    }
}

/// With room for less than two answers at once, sequences give way again and again, and nothing changes.
#[test]
fn preemption_changes_no_bit() {
    let world = &*WORLD;
    let page = world.runtime.block_on(world.alone.ready()).unwrap().limits.page_tokens as usize;
    let drawn: Vec<_> = (0..8)
        .map(|seed| Drawn {
            seed,
            prompt: page - 1,
            max_tokens: page as u32,
            adapters: seed as usize % 5,
            greedy: false,
            tenant: seed % 2,
            delay: 0,
            cancel: None,
        })
        .collect();
    let engine = world.tiny.engine(EngineConfig { max_running: 4, ..quick() }, 5);
    world.runtime.block_on(async {
        engine.ready().await.unwrap();
        futures::future::join_all(drawn.iter().map(|drawn| world.check(&engine, drawn))).await;
    });
}
