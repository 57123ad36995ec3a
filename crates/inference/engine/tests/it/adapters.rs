//! Adapters on rows: the right one on each, loaded beside the batch.

use crate::tiny::{Tiny, bits, quick, request, run};
use alloy_primitives::B256;
use serde_json::json;
use tributary_adapters::{AdapterError, Projection, Source};
use tributary_engine::GenerateError;
use tributary_testkit::AdapterSpec;

#[tokio::test]
async fn every_adapter_its_own_answer() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let sources: Vec<_> =
        [1, 2, 3].map(|seed| tiny.adapter(&AdapterSpec::new(seed).rank(seed as u32 * 5))).into();
    let mut answers = vec![bits(&run(&engine, request("same prompt", 16)).await.unwrap())];
    for source in &sources {
        let mut asked = request("same prompt", 16);
        asked.adapters = store.lease(&[(source.clone(), 1.0)]).await.unwrap();
        answers.push(bits(&run(&engine, asked).await.unwrap()));
    }
    for (index, answer) in answers.iter().enumerate() {
        assert!(answers[..index].iter().all(|other| other.2 != answer.2 && other.0 != answer.0));
    }
    assert_eq!(store.stats().resident, 3);
}

#[tokio::test]
async fn weight_zero_is_not_the_base_but_computes_it() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let source = tiny.adapter(&AdapterSpec::new(1));
    let mut asked = request("zero", 16);
    asked.adapters = store.lease(&[(source.clone(), 0.0)]).await.unwrap();
    let zero = run(&engine, asked).await.unwrap();
    let base = run(&engine, request("zero", 16)).await.unwrap();
    assert_eq!(zero.tokens, base.tokens);
    assert_ne!(zero.exec_hash, base.exec_hash);
    // Order and weights of a composition are part of what went in, and change the answer.
    let other = tiny.adapter(&AdapterSpec::new(2));
    let compose = async |parts: &[(Source, f32)]| {
        let mut asked = request("zero", 16);
        asked.adapters = store.lease(parts).await.unwrap();
        run(&engine, asked).await.unwrap()
    };
    let both = compose(&[(source.clone(), 1.0), (other.clone(), 0.5)]).await;
    let swapped = compose(&[(other, 0.5), (source, 1.0)]).await;
    assert_ne!(both.exec_hash, swapped.exec_hash);
    assert_ne!(both.tokens, base.tokens);
}

#[tokio::test]
async fn bad_adapters_are_refused_and_hurt_nobody() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let lease = async |source: Source| store.lease(&[(source, 1.0)]).await.map(drop).unwrap_err();
    let running = engine.submit(request("meanwhile", 60)).unwrap();
    let unknown = tiny.adapter(&AdapterSpec::new(1).config("target_modules", json!(["c_attn"])));
    assert!(matches!(lease(unknown).await, AdapterError::UnknownModule(_)));
    let bias = tiny.adapter(&AdapterSpec::new(1).config("bias", json!("all")));
    assert!(matches!(lease(bias).await, AdapterError::Unsupported { .. }));
    let shape = tiny.adapter(&AdapterSpec::new(1).config("r", json!(3)));
    assert!(matches!(lease(shape).await, AdapterError::Shape { .. }));
    let source = tiny.adapter(&AdapterSpec::new(2));
    let wrong = Source { hash: B256::repeat_byte(9), ..source.clone() };
    assert!(matches!(lease(wrong).await, AdapterError::Hash { .. }));
    let gone = Source { hash: B256::repeat_byte(8), uri: "file:///nonexistent/adapter".into() };
    assert!(matches!(lease(gone).await, AdapterError::Io { .. }));
    let small = tiny.store(&engine, 100);
    assert!(matches!(small.lease(&[(source, 1.0)]).await.map(drop), Err(AdapterError::Memory { .. })));
    running.finish().await.unwrap();
}

/// An adapter that overflows fails its own request; the row beside it is not touched.
#[tokio::test]
async fn overflow_fails_alone() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    // The product of the two, at the input of `down_proj`, is beyond f32.
    let huge =
        AdapterSpec::new(1).targets(&[Projection::Gate, Projection::Up]).config("lora_alpha", json!(1.0e30));
    let huge = store.lease(&[(tiny.adapter(&huge), 1.0)]).await.unwrap();
    let alone = bits(&run(&engine, request("neighbour", 40)).await.unwrap());
    let neighbour = engine.submit(request("neighbour", 40)).unwrap();
    let mut asked = request("overflow", 8);
    asked.adapters = huge;
    assert_eq!(run(&engine, asked).await.unwrap_err(), GenerateError::NonFinite);
    assert_eq!(bits(&neighbour.finish().await.unwrap().1), alone);
}

/// Memory for two adapters, and compositions that each begin with what another one ends with.
#[tokio::test]
async fn compositions_do_not_wait_for_each_other() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let sources: Vec<_> = (0..4).map(|seed| tiny.adapter(&AdapterSpec::new(seed))).collect();
    let roomy = tiny.store(&engine, 64 << 20);
    drop(roomy.lease(&[(sources[0].clone(), 1.0)]).await.unwrap());
    let tight = tiny.store(&engine, roomy.stats().bytes * 5 / 2);
    let asked = (0..24).map(|index| {
        let pair = [index % 4, (index + 1 + index / 4 % 3) % 4].map(|at| (sources[at].clone(), 1.0));
        let (tight, engine) = (tight.clone(), engine.clone());
        async move {
            let mut asked = request("a pair", 4);
            asked.adapters = tight.lease(&pair).await.unwrap();
            tokio::task::yield_now().await;
            run(&engine, asked).await.unwrap();
        }
    });
    tokio::time::timeout(std::time::Duration::from_secs(20), futures::future::join_all(asked)).await.unwrap();
    assert!(tight.stats().evictions > 0);
}

/// More adapters than memory holds: they take turns, and answers stay right.
#[tokio::test]
async fn eviction_and_reload_change_nothing() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let roomy = tiny.store(&engine, 256 << 20);
    let sources: Vec<_> = (0..6).map(|seed| tiny.adapter(&AdapterSpec::new(seed))).collect();
    let mut expected = Vec::new();
    for source in &sources {
        let mut asked = request("take turns", 8);
        asked.adapters = roomy.lease(&[(source.clone(), 1.0)]).await.unwrap();
        expected.push(bits(&run(&engine, asked).await.unwrap()));
    }
    let each = roomy.stats().bytes / 6;
    let tight = tiny.store(&engine, each * 5 / 2);
    let asked = (0..30).map(|index| {
        let (tight, engine, source) = (tight.clone(), engine.clone(), sources[index * 5 % 6].clone());
        let expected = expected[index * 5 % 6].clone();
        tokio::spawn(async move {
            let mut asked = request("take turns", 8);
            asked.adapters = tight.lease(&[(source, 1.0)]).await.unwrap();
            assert_eq!(bits(&run(&engine, asked).await.unwrap()), expected);
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(tight.stats().evictions > 0);
    assert!(tight.stats().bytes <= each * 5 / 2);
}

#[tokio::test]
async fn a_dora_adapter_serves_alone_only() {
    let tiny = Tiny::new();
    let engine = tiny.engine(quick(), 64);
    engine.ready().await.unwrap();
    let store = tiny.store(&engine, 64 << 20);
    let (dora, plain) = (tiny.adapter(&AdapterSpec::new(1).dora()), tiny.adapter(&AdapterSpec::new(2)));
    let refused = store.lease(&[(plain.clone(), 1.0), (dora.clone(), 0.5)]).await.unwrap_err();
    assert_eq!(refused, AdapterError::Composition(dora.hash));
    let mut asked = request("alone", 16);
    asked.adapters = store.lease(&[(dora, 1.0)]).await.unwrap();
    let alone = run(&engine, asked).await.unwrap();
    assert_ne!(alone.tokens, run(&engine, request("alone", 16)).await.unwrap().tokens);
}
