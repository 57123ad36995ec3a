//! Both sides of a budget in turn, and both at once.

use super::*;
use crate::{AdapterError, Residency, ResidencyConfig};
use std::time::Duration;

const PAGE: usize = 10;

fn config() -> ResidencyConfig {
    ResidencyConfig {
        budget: usize::MAX,
        patience: Duration::from_millis(400),
        turn: Duration::from_millis(20),
        ..ResidencyConfig::default()
    }
}

/// 200 bytes, 50 of them weights; a context is 40.
fn memory() -> (Memory, PageBudget, Residency<u32, u32>) {
    let memory = Memory::new(200);
    let pages = memory.open(50, 40).unwrap();
    let adapters = Residency::within(config(), memory.clone());
    (memory, pages, adapters)
}

async fn load(
    adapters: &Residency<u32, u32>,
    key: u32,
    bytes: usize,
) -> Result<crate::Lease<u32, u32>, AdapterError> {
    adapters.lease(key, move || async move { Ok((key, bytes)) }).await
}

#[test]
fn a_budget_holds_the_model_and_one_sequence() {
    assert_eq!(Memory::new(100).open(61, 40).unwrap_err(), TooSmall { total: 100, weights: 61, context: 40 });
    assert!(Memory::new(100).open(usize::MAX, 40).is_err());
    let memory = Memory::new(100);
    let pages = memory.open(60, 40).unwrap();
    assert_eq!(pages.room(), 40);
    assert_eq!(memory.most_adapters(), 0);
}

#[tokio::test]
async fn each_takes_what_the_other_left_longest() {
    let (memory, pages, adapters) = memory();
    drop(load(&adapters, 1, 50).await.unwrap());
    let idle = pages.tick();
    drop(load(&adapters, 2, 50).await.unwrap());
    // What loaded them lets go of them in its own time.
    while pages.room() < 150 {
        tokio::task::yield_now().await;
    }
    assert_eq!(memory.stats(), MemoryStats { total: 200, weights: 50, pages: 0, adapters: 100 });
    for _ in 0..5 {
        assert_eq!(pages.claim(PAGE, Some(idle)), PageClaim::Taken);
    }
    // Nothing is free: the first adapter is older than the page, the second younger.
    assert_eq!(pages.room(), 100);
    assert_eq!(pages.claim(PAGE, Some(idle)), PageClaim::Taken);
    assert_eq!(memory.stats().adapters, 50);
    for _ in 0..4 {
        assert_eq!(pages.claim(PAGE, Some(idle)), PageClaim::Taken);
    }
    assert_eq!(pages.claim(PAGE, Some(idle)), PageClaim::OwnIdle);
    assert_eq!(pages.claim(PAGE, None), PageClaim::Taken);
    assert_eq!(memory.stats(), MemoryStats { total: 200, weights: 50, pages: 110, adapters: 0 });
}

#[tokio::test]
async fn a_load_asks_for_pages_and_nobody_else_is_given_them() {
    let (memory, pages, adapters) = memory();
    let held = load(&adapters, 1, 30).await.unwrap();
    while pages.claim(PAGE, None) == PageClaim::Taken {}
    assert_eq!(memory.stats().pages, 120);
    let woken = Arc::new(Notify::new());
    let wake = Arc::clone(&woken);
    memory.on_due(Arc::new(move || wake.notify_one()));
    let loading = tokio::spawn({
        let adapters = adapters.clone();
        async move { load(&adapters, 2, 60).await.map(drop) }
    });
    woken.notified().await;
    assert_eq!(pages.due(), Some(Due { bytes: 60, older: u64::MAX, presses: false }));
    assert_eq!((pages.room(), pages.claim(PAGE, Some(0))), (0, PageClaim::OwnIdle));
    // After its turn it presses for what runs.
    tokio::time::timeout(Duration::from_secs(5), async {
        while !pages.due().is_some_and(|due| due.presses) {
            woken.notified().await;
        }
    })
    .await
    .unwrap();
    pages.release(20);
    assert_eq!(pages.due().map(|due| due.bytes), Some(40));
    assert_eq!(pages.claim(PAGE, None), PageClaim::None, "what is given back is the load's");
    pages.release(40);
    loading.await.unwrap().unwrap();
    assert_eq!(memory.stats(), MemoryStats { total: 200, weights: 50, pages: 60, adapters: 90 });
    assert_eq!(pages.due(), None);
    drop(held);
    drop(adapters);
    assert_eq!(memory.stats().adapters, 0);
}

#[tokio::test]
async fn one_context_is_never_adapters() {
    let (memory, pages, adapters) = memory();
    assert!(matches!(load(&adapters, 1, 111).await, Err(AdapterError::Memory { needed: 111, budget: 110 })));
    let all = load(&adapters, 2, 110).await.unwrap();
    for _ in 0..4 {
        assert_eq!(pages.claim(PAGE, None), PageClaim::Taken);
    }
    assert_eq!(pages.claim(PAGE, None), PageClaim::None);
    // Everything is in use: a load waits, presses, finds the floor, and gives up without a trace.
    assert!(matches!(load(&adapters, 3, 10).await, Err(AdapterError::Busy(_))));
    assert_eq!(pages.due(), None);
    assert_eq!(memory.stats(), MemoryStats { total: 200, weights: 50, pages: 40, adapters: 110 });
    drop(all);
    assert_eq!(pages.claim(PAGE, None), PageClaim::Taken);
}

#[test]
fn an_engine_that_was_left_behind_has_no_pages() {
    let memory = Memory::new(100);
    let old = memory.open(10, 20).unwrap();
    assert_eq!(old.claim(PAGE, None), PageClaim::Taken);
    let new = memory.open(10, 20).unwrap();
    assert_eq!(memory.stats().pages, 0);
    assert_eq!((old.claim(PAGE, None), old.room(), old.due()), (PageClaim::None, 0, None));
    assert_eq!(new.claim(PAGE, None), PageClaim::Taken);
    old.release(PAGE);
    old.note_idle(Some(1));
    assert_eq!((memory.stats().pages, memory.idle_pages()), (PAGE, None));
}
