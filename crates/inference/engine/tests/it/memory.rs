//! One budget over pages and adapters, on the real backend.

use crate::tiny::{Bits, Tiny, bits, quick, request, run};
use futures::future::join_all;
use std::time::Duration;
use tributary_adapters::{AdapterError, Memory};
use tributary_engine::{AdapterStore, Engine, EngineConfig, GenerateRequest, InferenceBackend, Status};
use tributary_testkit::AdapterSpec;

const PAGES: u32 = 256;
const ADAPTERS: usize = 6;
const REQUESTS: usize = 48;

fn engine(tiny: &Tiny, memory: &Memory, config: EngineConfig) -> Engine {
    let mut backend = Some(tiny.backend(PAGES));
    tiny.engine_within(memory.clone(), config, Box::new(move || Ok(Box::new(backend.take().unwrap()) as _)))
}

async fn ask(tiny: &Tiny, store: &AdapterStore, number: usize) -> GenerateRequest {
    // Long prompts, half of them with a beginning that others have too.
    let prompt = match number % 2 {
        0 => format!("{}{number}", "a beginning in common ".repeat(14)),
        _ => format!("{number} on its own ").repeat(18),
    };
    let source = tiny.adapter(&AdapterSpec::new((number % ADAPTERS) as u64));
    let weight = if number % 12 == 11 { 0.5 } else { 1.0 };
    let adapters = match number % 7 {
        0 => store.lease(&[]).await.unwrap(),
        _ => store.lease(&[(source, weight)]).await.unwrap(),
    };
    GenerateRequest { adapters, ..request(&prompt, 24) }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_adapters_take_from_each_other_and_no_answer_changes() {
    let tiny = Tiny::new();
    let plenty = tiny.engine(quick(), PAGES);
    plenty.ready().await.unwrap();
    let store = tiny.store(&plenty, 64 << 20);
    let mut expected: Vec<Bits> = Vec::new();
    for number in 0..REQUESTS {
        expected.push(bits(&run(&plenty, ask(&tiny, &store, number).await).await.unwrap()));
    }
    let one = store.adapters()[0].bytes;
    let limits = *tiny.backend(PAGES).limits();
    let context = limits.context.div_ceil(limits.page_tokens) as usize * limits.page_bytes;
    let config = EngineConfig { max_running: 8, ..quick() };
    // Room for two adapters and a half beside one context, or beside a little more.
    for more in [0, 30 * limits.page_bytes] {
        let memory = Memory::new(limits.weight_bytes + context + one * 5 / 2 + more);
        let engine = engine(&tiny, &memory, config);
        engine.ready().await.unwrap();
        let store = tiny.store(&engine, usize::MAX);
        let answer = async |number| bits(&run(&engine, ask(&tiny, &store, number).await).await.unwrap());
        let all = join_all((0..REQUESTS).map(answer));
        let found = tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
        assert_eq!(found, expected);
        let (stats, adapters) = (memory.stats(), store.stats());
        assert!(stats.weights + stats.pages + stats.adapters <= stats.total, "{stats:?}");
        assert_eq!((stats.weights, stats.adapters), (limits.weight_bytes, adapters.bytes));
        assert!(adapters.loads >= 6 && adapters.evictions > 0, "{adapters:?}");
    }
}

/// Prefixes that nobody holds fill what there is; a load gets it from them, and from nobody who runs.
#[tokio::test(flavor = "multi_thread")]
async fn idle_prefixes_make_room_for_an_adapter_and_adapters_for_pages() {
    let tiny = Tiny::new();
    let limits = *tiny.backend(PAGES).limits();
    let context = limits.context.div_ceil(limits.page_tokens) as usize * limits.page_bytes;
    let plenty = tiny.engine(quick(), PAGES);
    plenty.ready().await.unwrap();
    let sized = tiny.store(&plenty, 64 << 20);
    let source = tiny.adapter(&AdapterSpec::new(1));
    sized.lease(&[(source.clone(), 1.0)]).await.unwrap();
    let one = sized.adapters()[0].bytes;
    let memory = Memory::new(limits.weight_bytes + context + one + one / 2);
    let engine = engine(&tiny, &memory, quick());
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, usize::MAX);
    let fill = async || {
        for number in 0..12 {
            let prompt = format!("{number} ").repeat(250);
            run(&engine, request(&prompt[..480], 4)).await.unwrap();
        }
    };
    fill().await;
    assert!(memory.stats().total - memory.stats().weights - memory.stats().pages < limits.page_bytes);
    let mut asked = request("adapted", 8);
    asked.adapters = store.lease(&[(source.clone(), 1.0)]).await.unwrap();
    let adapted = bits(&run(&engine, asked).await.unwrap());
    assert_eq!(memory.stats().adapters, one);
    // Nobody uses it any more: pages take its memory back.
    fill().await;
    assert_eq!((memory.stats().adapters, store.stats().evictions), (0, 1));
    let mut asked = request("adapted", 8);
    asked.adapters = store.lease(&[(source, 1.0)]).await.unwrap();
    assert_eq!(bits(&run(&engine, asked).await.unwrap()), adapted);
}

#[tokio::test]
async fn what_fits_no_budget_is_said_so() {
    let tiny = Tiny::new();
    let limits = *tiny.backend(PAGES).limits();
    let context = limits.context.div_ceil(limits.page_tokens) as usize * limits.page_bytes;
    let small = engine(&tiny, &Memory::new(limits.weight_bytes + context - 1), quick());
    assert!(small.ready().await.is_err());
    assert!(matches!(small.status(), Status::Failed(reason) if reason.contains("memory budget")));
    let memory = Memory::new(limits.weight_bytes + context + 1000);
    let engine = engine(&tiny, &memory, quick());
    engine.ready().await.unwrap();
    let source = tiny.adapter(&AdapterSpec::new(1));
    let refused = tiny.store(&engine, usize::MAX).lease(&[(source, 1.0)]).await.unwrap_err();
    assert!(matches!(refused, AdapterError::Memory { budget: 1000, .. }), "{refused}");
}
