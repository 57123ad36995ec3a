//! Several engines behind one handle: who answers does not show, and what waits at one that ends goes on to the others.

use crate::{
    tiny::{Bits, Inner, Tiny, bits, quick, request, run, sampled},
    toy::{Seen, Toy},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tributary_engine::{
    BackendError, BackendFactory, Engine, EngineConfig, GenerateError, GenerateRequest, Generation, Identity,
    Status, SubmitError, Vocabulary,
};

/// Room for two answers each.
fn narrow() -> EngineConfig {
    EngineConfig { max_running: 2, draft_tokens: 0, ..quick() }
}

/// Engines over toys, each of which starts `lives` times.
fn toys(tiny: &Tiny, config: EngineConfig, lives: &[usize]) -> (Engine, Vec<Arc<Mutex<Seen>>>) {
    let seen: Vec<Arc<Mutex<Seen>>> = lives.iter().map(|_| Arc::default()).collect();
    let factory = |(seen, lives): (&Arc<Mutex<Seen>>, &usize)| {
        let (seen, mut left) = (Arc::clone(seen), *lives);
        Box::new(move || {
            left = left.checked_sub(1).ok_or_else(|| BackendError::Start("gone for good".into()))?;
            Ok(Box::new(Toy::new(64, &seen)) as Inner)
        }) as BackendFactory
    };
    let factories = seen.iter().zip(lives).map(factory).collect();
    let vocabulary = Arc::clone(&tiny.model().tokenizer) as Arc<dyn Vocabulary>;
    (Engine::several(None, config, vocabulary, factories).unwrap(), seen)
}

/// Submits while no engine can end a step, so that all are there at once.
fn at_once(
    engine: &Engine,
    seen: &[Arc<Mutex<Seen>>],
    requests: impl Iterator<Item = GenerateRequest>,
) -> Vec<Generation> {
    let _held: Vec<_> = seen.iter().map(|seen| seen.lock()).collect();
    requests.map(|request| engine.submit(request).unwrap()).collect()
}

/// One of many requests, in families with a beginning in common.
fn ask(number: u64) -> GenerateRequest {
    let prompt = format!("family {} has a beginning in common, and {number} its own end", number % 3);
    GenerateRequest { sampling: sampled(number), tenant: number % 2, ..request(&prompt, 12) }
}

async fn alone(tiny: &Tiny, count: u64) -> Vec<Bits> {
    let (engine, _) = toys(tiny, narrow(), &[1]);
    engine.ready().await.unwrap();
    let mut all = Vec::new();
    for number in 0..count {
        all.push(bits(&run(&engine, ask(number)).await.unwrap()));
    }
    all
}

#[tokio::test]
async fn who_answers_does_not_show() {
    let tiny = Tiny::new();
    let wanted = alone(&tiny, 40).await;
    let (engine, seen) = toys(&tiny, narrow(), &[1, 1, 1]);
    engine.ready().await.unwrap();
    assert_eq!(engine.status(), Status::Ready);
    let open = at_once(&engine, &seen, (0..40).map(ask));
    for (handle, wanted) in open.into_iter().zip(&wanted) {
        assert_eq!(bits(&handle.finish().await.unwrap().1), *wanted);
    }
    assert!(seen.iter().all(|seen| seen.lock().steps > 0), "one had nothing to do");
    engine.drain().await;
    assert_eq!((engine.requests(), engine.status()), (0, Status::Stopped));
}

#[tokio::test]
async fn a_beginning_is_gone_back_to() {
    let tiny = Tiny::new();
    let (engine, seen) = toys(&tiny, quick(), &[1, 1]);
    engine.ready().await.unwrap();
    let long =
        |end: &str| request(&format!("a beginning of more than two pages of sixteen tokens, {end}"), 4);
    // While the first engine has the first of them, another one is elsewhere.
    for handle in at_once(&engine, &seen, [long("one"), request("something else", 30)].into_iter()) {
        handle.finish().await.unwrap();
    }
    let steps = |seen: &[Arc<Mutex<Seen>>]| [seen[0].lock().steps, seen[1].lock().steps];
    let before = steps(&seen);
    assert!(before.iter().all(|steps| *steps > 0), "{before:?}");
    for end in ["two", "three"] {
        let outcome = run(&engine, long(end)).await.unwrap();
        assert!(outcome.cached_tokens >= 32, "{}", outcome.cached_tokens);
    }
    let after = steps(&seen);
    assert!(after[0] > before[0] && after[1] == before[1], "{before:?} {after:?}");
}

/// All of one beginning go to one engine, and on from its line to the one that has room.
#[tokio::test]
async fn a_line_is_shared() {
    let tiny = Tiny::new();
    // Room for two answers, and a wide bound on what is at hand.
    let config = EngineConfig { max_running: 100, step_tokens: 4, draft_tokens: 0, ..quick() };
    let (engine, seen) = toys(&tiny, config, &[1, 1]);
    engine.ready().await.unwrap();
    let ask = || request("the very same beginning of all of them", 10);
    let open = at_once(&engine, &seen, (0..30).map(|_| ask()));
    let mut answers = Vec::new();
    for handle in open {
        answers.push(bits(&handle.finish().await.unwrap().1));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    // Two of them at least, ten tokens each.
    assert!(seen[1].lock().steps >= 10);
}

#[tokio::test]
async fn what_waits_goes_on_and_what_ran_fails() {
    let tiny = Tiny::new();
    let wanted = alone(&tiny, 24).await;
    let (engine, seen) = toys(&tiny, narrow(), &[1, 1, 2]);
    engine.ready().await.unwrap();
    seen[0].lock().break_at = Some(5);
    seen[2].lock().break_at = Some(9);
    let open = at_once(&engine, &seen, (0..24).map(ask));
    let mut failed = 0;
    for (handle, wanted) in open.into_iter().zip(&wanted) {
        match handle.finish().await {
            Ok((_, outcome)) => assert_eq!(bits(&outcome), *wanted),
            Err(GenerateError::Backend(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // Two rows at most on each of the two that broke.
    assert!((1..=4).contains(&failed), "{failed}");
    assert_eq!(engine.status(), Status::Degraded("engine 0 of 3: gone for good".into()));
    // Whatever comes, those that are left answer.
    seen[1].lock().break_at = Some(0);
    for (number, wanted) in (0..24).zip(&wanted) {
        match run(&engine, ask(number)).await {
            Ok(outcome) => assert_eq!(bits(&outcome), *wanted),
            Err(error) => assert!(matches!(error, GenerateError::Backend(_)), "{error}"),
        }
    }
    // The last one ends as a single engine does.
    seen[2].lock().break_at = Some(0);
    drop(run(&engine, ask(1)).await);
    let failed = tokio::time::timeout(Duration::from_secs(10), async {
        while !matches!(engine.status(), Status::Failed(_)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    failed.await.expect("the last one is gone");
    assert_eq!(engine.submit(ask(1)).unwrap_err(), SubmitError::Unavailable("broken"));
}

/// What one that ends is given at that very time is answered by the others.
#[tokio::test]
async fn nobody_waits_at_one_that_ended() {
    let tiny = Tiny::new();
    let (engine, seen) = toys(&tiny, narrow(), &[1, 1]);
    engine.ready().await.unwrap();
    seen[0].lock().break_at = Some(3);
    let mut open = Vec::new();
    for number in 0..200 {
        open.push(engine.submit(ask(number)).unwrap());
        tokio::task::yield_now().await;
    }
    let all = async {
        let mut failed = 0;
        for handle in open {
            failed += usize::from(handle.finish().await.is_err());
        }
        failed
    };
    let failed = tokio::time::timeout(Duration::from_secs(20), all).await.expect("nobody waits for ever");
    assert!((1..=2).contains(&failed), "{failed}");
}

/// Bounds are counted together, and one that computes something else does not serve.
#[tokio::test]
async fn bounds_and_profiles() {
    let tiny = Tiny::new();
    let (engine, seen) = toys(&tiny, EngineConfig { max_requests: 3, ..narrow() }, &[1, 1]);
    engine.ready().await.unwrap();
    let held: Vec<_> = seen.iter().map(|seen| seen.lock()).collect();
    let open: Vec<_> = (0..3).map(|number| engine.submit(ask(number)).unwrap()).collect();
    assert_eq!(engine.submit(ask(4)).unwrap_err(), SubmitError::Overloaded(3));
    drop((held, open));
    let other = |identity: Option<Identity>| {
        Box::new(move || {
            let mut toy = Toy::new(64, &Arc::default());
            toy.pretend(identity);
            Ok(Box::new(toy) as Inner)
        }) as BackendFactory
    };
    let strange = Identity { profile: [9; 32].into(), weights: [2; 32].into() };
    let vocabulary = Arc::clone(&tiny.model().tokenizer) as Arc<dyn Vocabulary>;
    let factories = vec![other(None), other(Some(strange))];
    let engine = Engine::several(None, narrow(), vocabulary, factories).unwrap();
    let identity = engine.ready().await.unwrap().identity;
    let left = engine.status();
    assert!(matches!(&left, Status::Degraded(reason) if reason.contains("another profile")), "{left:?}");
    let answer = run(&engine, ask(0)).await.unwrap();
    assert_eq!(identity == strange, bits(&answer) != alone(&tiny, 1).await[0]);
    let none = Engine::several(None, narrow(), Arc::clone(&tiny.model().tokenizer) as _, Vec::new());
    assert!(none.is_err());
}
