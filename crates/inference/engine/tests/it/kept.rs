//! Adapters kept on disk as they were prepared: found by hash, the same to the bit, and never needed.

use crate::tiny::{Bits, Tiny, bits, quick, request, run};
use std::{path::PathBuf, time::Duration};
use tributary_adapters::{AdapterError, Source};
use tributary_engine::{AdapterStore, Engine};
use tributary_testkit::AdapterSpec;

async fn ask(engine: &Engine, store: &AdapterStore, source: &Source, weight: f32) -> Bits {
    let mut asked = request("kept", 24);
    asked.adapters = store.lease(&[(source.clone(), weight)]).await.unwrap();
    bits(&run(engine, asked).await.unwrap())
}

/// The files kept, once there are so many: they are written while nobody waits.
async fn files(kept: &tempfile::TempDir, count: usize) -> Vec<PathBuf> {
    let whole = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "adapter");
    let list = || -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(kept.path().join("adapters")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).filter(whole).collect()
    };
    let wait = async {
        while list().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("what was prepared is kept");
    list()
}

#[tokio::test]
async fn the_next_start_needs_no_artifact() {
    let (tiny, kept) = (Tiny::new(), tempfile::tempdir().unwrap());
    let specs = [AdapterSpec::new(1), AdapterSpec::new(2).rank(5), AdapterSpec::new(3).dora()];
    let sources: Vec<_> = specs.iter().map(|spec| tiny.adapter(spec)).collect();
    let plain = tiny.engine(quick(), 64);
    plain.ready().await.unwrap();
    let plain_store = tiny.store(&plain, 64 << 20);
    let engine = tiny.keeping(kept.path());
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let mut expected = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        expected.push(ask(&plain, &plain_store, source, 1.0).await);
        assert_eq!(ask(&engine, &store, source, 1.0).await, expected[index]);
        files(&kept, index + 1).await;
    }
    for source in &sources {
        std::fs::remove_dir_all(source.uri.strip_prefix("file://").unwrap()).unwrap();
    }
    let later = tiny.keeping(kept.path());
    later.ready().await.unwrap();
    let store = tiny.store(&later, 64 << 20);
    for (source, expected) in sources.iter().zip(&expected) {
        assert_eq!(ask(&later, &store, source, 1.0).await, *expected);
    }
    // As much memory, and the same ranks.
    assert_eq!(store.stats().bytes, plain_store.stats().bytes);
    let sorted = |store: &AdapterStore| {
        let mut adapters = store.adapters();
        adapters.sort_by_key(|adapter| adapter.hash);
        adapters
    };
    assert_eq!(sorted(&store), sorted(&plain_store));
    // Another weight is another adapter, of which nothing was kept.
    let other = store.lease(&[(sources[0].clone(), 0.5)]).await.map(drop);
    assert!(matches!(other, Err(AdapterError::Io { .. })), "{other:?}");
    // Too large for the budget is too large from disk as well.
    let small = tiny.store(&later, 100);
    let refused = small.lease(&[(sources[0].clone(), 1.0)]).await.map(drop);
    assert!(matches!(refused, Err(AdapterError::Memory { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_adapter_replaced_under_its_name_is_another_one() {
    let (tiny, kept) = (Tiny::new(), tempfile::tempdir().unwrap());
    let engine = tiny.keeping(kept.path());
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let old = tiny.adapter_at("name", &AdapterSpec::new(1));
    let before = ask(&engine, &store, &old, 1.0).await;
    files(&kept, 1).await;
    let new = tiny.adapter_at("name", &AdapterSpec::new(2));
    assert_eq!(new.uri, old.uri);
    let plain = tiny.engine(quick(), 64);
    plain.ready().await.unwrap();
    let expected = ask(&plain, &tiny.store(&plain, 64 << 20), &new, 1.0).await;
    assert_eq!(ask(&engine, &store, &new, 1.0).await, expected);
    files(&kept, 2).await;
    // Nothing in memory, both on disk, and one name: each hash its own.
    let later = tiny.store(&engine, 64 << 20);
    assert_eq!(ask(&engine, &later, &new, 1.0).await, expected);
    assert_eq!(ask(&engine, &later, &old, 1.0).await, before);
    assert_ne!(before.0, expected.0);
}

#[tokio::test]
async fn rotten_files_are_made_anew() {
    let (tiny, kept) = (Tiny::new(), tempfile::tempdir().unwrap());
    let engine = tiny.keeping(kept.path());
    engine.ready().await.unwrap();
    let source = tiny.adapter(&AdapterSpec::new(1));
    let expected = ask(&engine, &tiny.store(&engine, 64 << 20), &source, 1.0).await;
    let path = files(&kept, 1).await.remove(0);
    let whole = std::fs::read(&path).unwrap();
    let mut rotten = whole.clone();
    rotten[whole.len() / 2] ^= 4;
    for bad in [rotten, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(ask(&engine, &tiny.store(&engine, 64 << 20), &source, 1.0).await, expected);
        let wait = async {
            while std::fs::read(&path).unwrap() != whole {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it is written again");
    }
}
