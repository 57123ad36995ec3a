//! Memory: budget, single flight, leases, pins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tributary_adapters::{AdapterError, Lease, Residency, ResidencyConfig};
use tributary_testkit::Noise;

fn config(budget: usize) -> ResidencyConfig {
    ResidencyConfig {
        budget,
        loads: 4,
        patience: Duration::from_millis(200),
        turn: Duration::from_millis(20),
        failure_ttl: Duration::from_millis(50),
    }
}

async fn load(residency: &Residency<u32, u32>, key: u32) -> Result<Lease<u32, u32>, AdapterError> {
    residency.lease(key, move || async move { Ok((key * 10, 10)) }).await
}

#[tokio::test]
async fn least_recently_used_goes_first() {
    let residency = Residency::new(config(30));
    for key in [1, 2, 3] {
        load(&residency, key).await.unwrap();
    }
    drop(residency.get(&1));
    load(&residency, 4).await.unwrap();
    let mut keys: Vec<_> = residency.resident().into_iter().map(|(key, ..)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 3, 4]);
    let stats = residency.stats();
    assert_eq!((stats.resident, stats.bytes, stats.loads, stats.evictions), (3, 30, 4, 1));
}

#[tokio::test]
async fn one_load_however_many_ask() {
    let residency = Residency::<u32, u32>::new(config(100));
    let (loads, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let ask = || {
        let (residency, loads, gate) = (residency.clone(), Arc::clone(&loads), Arc::clone(&gate));
        tokio::spawn(async move {
            let load = || async move {
                loads.fetch_add(1, Ordering::Relaxed);
                gate.notified().await;
                Ok((7, 10))
            };
            residency.lease(1, load).await.map(|lease| *lease)
        })
    };
    let asked: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    // The one who started the load leaves; the others still get it.
    asked[0].abort();
    gate.notify_one();
    for task in asked.into_iter().skip(1) {
        assert_eq!(task.await.unwrap(), Ok(7));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_leased_or_pinned_stays() {
    let residency = Residency::new(config(20));
    let held = load(&residency, 1).await.unwrap();
    drop(load(&residency, 2).await.unwrap());
    assert!(residency.pin(&2, true));
    assert_eq!(load(&residency, 3).await.unwrap_err(), AdapterError::Busy(Duration::from_millis(200)));
    assert!(!residency.remove(&1));
    assert_eq!(**held.value(), 10);
    // A lease that ends while another waits makes room for it.
    let waiting = tokio::spawn({
        let residency = residency.clone();
        async move { residency.lease(4, || async { Ok((40, 10)) }).await.map(|lease| *lease) }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    drop(held);
    assert_eq!(waiting.await.unwrap(), Ok(40));
    assert!(residency.get(&1).is_none());
    assert!(residency.get(&2).is_some());
    assert!(residency.remove(&2));
}

#[tokio::test]
async fn failures_are_remembered_briefly_and_panics_are_errors() {
    let residency = Residency::<u32, u32>::new(config(20));
    let loads = Arc::new(AtomicUsize::new(0));
    let ask = async |fail: bool| {
        let loads = Arc::clone(&loads);
        let load = move || async move {
            loads.fetch_add(1, Ordering::Relaxed);
            if fail { Err(AdapterError::Tensors("broken".into())) } else { Ok((1, 10)) }
        };
        residency.lease(1, load).await.map(|lease| *lease)
    };
    assert_eq!(ask(true).await, Err(AdapterError::Tensors("broken".into())));
    assert_eq!(ask(false).await, Err(AdapterError::Tensors("broken".into())));
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(ask(false).await, Ok(1));
    let error = residency.lease(2, || async { panic!("in the loader") }).await.unwrap_err();
    assert!(matches!(error, AdapterError::Internal(_)));
    let error = residency.lease(3, || async { Ok((1, 21)) }).await.unwrap_err();
    assert_eq!(error, AdapterError::Memory { needed: 21, budget: 20 });
    assert_eq!(residency.stats().failures, 3);
}

/// Two values that are never without a user fill the memory. A third gets its turn, and so do they again.
#[tokio::test]
async fn values_always_in_use_do_not_keep_others_out() {
    let residency =
        Residency::<u32, u32>::new(ResidencyConfig { patience: Duration::from_secs(20), ..config(20) });
    let popular = |key: u32, offset: u64| {
        let residency = residency.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(offset)).await;
            for _ in 0..40 {
                let lease = load(&residency, key).await.unwrap();
                assert_eq!(*lease, key * 10);
                tokio::time::sleep(Duration::from_millis(8)).await;
            }
        })
    };
    // Two users each, who take turns so that the value is always held.
    let users: Vec<_> = [(1, 0), (1, 4), (2, 0), (2, 4)].map(|(key, offset)| popular(key, offset)).into();
    tokio::time::sleep(Duration::from_millis(10)).await;
    for key in [3, 4, 3] {
        let lease = load(&residency, key).await.unwrap();
        assert_eq!(*lease, key * 10);
        assert!(residency.stats().bytes <= 20);
    }
    for user in users {
        user.await.unwrap();
    }
    assert!(residency.stats().retired > 0);
}

/// What is pinned is never retired, and pinning takes a retirement back.
#[tokio::test]
async fn pins_hold_against_those_who_wait() {
    let residency = Residency::new(config(20));
    let one = load(&residency, 1).await.unwrap();
    let two = load(&residency, 2).await.unwrap();
    assert!(residency.pin(&1, true));
    let waiting = tokio::spawn({
        let residency = residency.clone();
        async move { load(&residency, 3).await.map(|lease| *lease) }
    });
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(residency.get(&1).is_some());
    assert!(residency.get(&2).is_none(), "retired");
    assert!(residency.pin(&2, true));
    assert!(residency.get(&2).is_some());
    drop((one, two));
    assert!(waiting.await.unwrap().is_err());
    assert_eq!(residency.stats().resident, 2);
}

/// Many tasks, little memory: the budget holds at every moment and everybody gets the right value.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_pressure_the_budget_holds() {
    let residency = Residency::<u64, u64>::new(ResidencyConfig {
        budget: 100,
        patience: Duration::from_secs(20),
        ..config(0)
    });
    let tasks: Vec<_> = (0..16)
        .map(|seed| {
            let residency = residency.clone();
            tokio::spawn(async move {
                let mut noise = Noise::new(seed);
                for _ in 0..200 {
                    let key = noise.below(30);
                    let load = move || async move {
                        tokio::task::yield_now().await;
                        Ok((key * 3, 5 + key as usize))
                    };
                    let lease = residency.lease(key, load).await.unwrap();
                    assert_eq!(*lease, key * 3);
                    assert!(residency.stats().bytes <= 100);
                    if noise.below(3) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = residency.stats();
    assert!(stats.evictions > 0 && stats.bytes <= 100);
    assert_eq!(residency.resident().iter().map(|(_, bytes, _)| bytes).sum::<usize>(), stats.bytes);
}
