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

/// Waits for what comes sooner or later.
async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it never comes");
}

/// The bits of an answer that is to end.
async fn end(handle: Generation) -> Result<Bits, GenerateError> {
    let outcome =
        tokio::time::timeout(Duration::from_secs(60), handle.finish()).await.expect("it never ends");
    outcome.map(|(_, outcome)| bits(&outcome))
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
    // The third may still be on its way back.
    let told = Status::Degraded("engine 0 of 3: gone for good".into());
    until(|| engine.status() == told).await;
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
    until(|| matches!(engine.status(), Status::Failed(_))).await;
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

/// A step that does not end takes along what its thread took, not what still lay before the thread.
#[tokio::test]
async fn what_lay_before_a_stalled_engine_goes_on() {
    let tiny = Tiny::new();
    let wanted = alone(&tiny, 1).await;
    let config = EngineConfig { stall: Duration::from_secs(1), ..narrow() };
    let (engine, seen) = toys(&tiny, config, &[2, 1]);
    engine.ready().await.unwrap();
    seen[0].lock().stuck = true;
    let running = engine.submit(ask(0)).unwrap();
    // It is in its step, so what has the same beginning lies in its channel.
    until(|| engine.step_for().is_some()).await;
    let waiting = engine.submit(ask(0)).unwrap();
    assert!(matches!(running.finish().await, Err(GenerateError::Backend(_))));
    assert_eq!(bits(&waiting.finish().await.unwrap().1), wanted[0]);
    seen[0].lock().stuck = false;
}

/// Where a step takes long nothing more is sent, not even what has its beginning there.
#[tokio::test]
async fn an_engine_that_is_stuck_is_passed_by() {
    let tiny = Tiny::new();
    let (engine, seen) = toys(&tiny, narrow(), &[1, 1]);
    engine.ready().await.unwrap();
    seen[0].lock().stuck = true;
    let first = engine.submit(ask(0)).unwrap();
    until(|| engine.step_for().is_some_and(|step| step > Duration::from_secs(2))).await;
    assert_eq!((engine.stalled(Duration::from_secs(1)), engine.stalled(Duration::MAX)), ((2, 1), (2, 0)));
    let second = end(engine.submit(ask(0)).unwrap()).await.unwrap();
    seen[0].lock().stuck = false;
    assert_eq!(second, end(first).await.unwrap());
}

/// While one starts again, the others have what waited for it, and what comes.
#[tokio::test]
async fn nobody_waits_for_a_restart_while_others_serve() {
    let tiny = Tiny::new();
    let wanted = alone(&tiny, 12).await;
    let seen: [Arc<Mutex<Seen>>; 2] = Default::default();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (first, second) = (Arc::clone(&seen[0]), Arc::clone(&seen[1]));
    let mut starts = 0;
    let slow = Box::new(move || {
        starts += 1;
        if starts > 1 {
            wait.recv().unwrap();
        }
        Ok(Box::new(Toy::new(64, &first)) as Inner)
    }) as BackendFactory;
    let other = Box::new(move || Ok(Box::new(Toy::new(64, &second)) as Inner)) as BackendFactory;
    let vocabulary = Arc::clone(&tiny.tokenizer) as Arc<dyn Vocabulary>;
    let engine = Engine::several(None, narrow(), vocabulary, vec![slow, other]).unwrap();
    engine.ready().await.unwrap();
    seen[0].lock().break_at = Some(4);
    let mut failed = 0;
    for (handle, wanted) in at_once(&engine, &seen, (0..12).map(ask)).into_iter().zip(&wanted) {
        match end(handle).await {
            Ok(found) => assert_eq!(found, *wanted),
            Err(_) => failed += 1,
        }
    }
    assert!((1..=2).contains(&failed), "{failed}");
    for (number, wanted) in (0..4).zip(&wanted) {
        assert_eq!(end(engine.submit(ask(number)).unwrap()).await.unwrap(), *wanted);
    }
    go.send(()).unwrap();
}

/// What was let in under a longer context than that of the backend that goes on fails, instead of standing before everybody for ever;
/// an answer that may only be shorter is made as if it had been asked for there.
#[tokio::test]
async fn what_does_not_fit_where_it_goes_on_fails() {
    const LONG: &str = "a prompt that is let in, and has more tokens than the next backend takes";
    const SHORT: &str = "fits, if not what it asks for";
    let tiny = Tiny::new();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let theirs = Arc::clone(&seen);
    let mut context = 512;
    let factory = Box::new(move || {
        let mut toy = Toy::new(64, &theirs);
        toy.shorten(context);
        context = 40;
        Ok(Box::new(toy) as Inner)
    }) as BackendFactory;
    let config = EngineConfig { max_running: 1, ..narrow() };
    let engine = tiny.engine_over(config, factory);
    engine.ready().await.unwrap();
    let (broken, long, short) = {
        let mut seen = seen.lock();
        seen.break_at = Some(1);
        let submit = |prompt: &str, tokens| engine.submit(request(prompt, tokens)).unwrap();
        (submit("breaks", 4), submit(LONG, 4), submit(SHORT, 400))
    };
    assert!(matches!(broken.finish().await, Err(GenerateError::Backend(_))));
    let prompt = LONG.len() as u32;
    assert_eq!(end(long).await.unwrap_err(), GenerateError::TooLong { prompt, context: 40 });
    let short = end(short).await.unwrap();
    assert_eq!(short, end(engine.submit(request(SHORT, 400)).unwrap()).await.unwrap());
    assert!(SHORT.len() + short.0.len() <= 40);
}

/// An engine that ended holds nothing of its backend, as long as another goes on: here what the toy sees, there a model's matrices.
#[tokio::test]
async fn what_ended_is_let_go_of() {
    let tiny = Tiny::new();
    let (engine, seen) = toys(&tiny, narrow(), &[1, 1]);
    engine.ready().await.unwrap();
    seen[0].lock().break_at = Some(1);
    drop(run(&engine, ask(0)).await);
    until(|| Arc::strong_count(&seen[0]) == 1).await;
    assert_eq!(engine.infos().len(), 1);
    run(&engine, ask(0)).await.unwrap();
}
