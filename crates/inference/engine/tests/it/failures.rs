//! Backends that panic, err, refuse to start, or load adapters slowly.

use crate::tiny::{Inner, Tiny, bits, quick, request, run};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tributary_engine::{
    Admission, BackendError, Engine, EngineConfig, GenerateError, Health, Identity, InferenceBackend, Limits,
    LoraPart, Preparer, Row, SeqId, Status, StepOutput, SubmitError,
};

/// What a wrapped backend does at the prompt that begins with `!`.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Panic,
    Error,
    Stall,
}

/// A real backend with one fault, and adapters that take some asking.
struct Faulty {
    inner: Inner,
    fault: Fault,
    loading: Arc<AtomicUsize>,
}

impl InferenceBackend for Faulty {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn limits(&self) -> &Limits {
        self.inner.limits()
    }
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }
    fn health(&self) -> Health {
        Health::Degraded("wrapped".into())
    }
    fn preparer(&self) -> Arc<dyn Preparer> {
        self.inner.preparer()
    }
    fn admit(&mut self, seq: SeqId, lora: &[LoraPart]) -> Result<Admission, BackendError> {
        let left = self.loading.load(Ordering::Relaxed);
        if left > 0 {
            self.loading.store(left - 1, Ordering::Relaxed);
            return Ok(Admission::Loading);
        }
        self.inner.admit(seq, lora)
    }
    fn step(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), BackendError> {
        if rows.iter().any(|row| row.pos == 0 && row.tokens[0] == u32::from(b'!')) {
            match self.fault {
                Fault::Panic => panic!("a kernel fell over"),
                Fault::Error => return Err(BackendError::Failed("device lost".into())),
                Fault::Stall => std::thread::sleep(Duration::from_millis(600)),
            }
        }
        self.inner.step(rows, out)
    }
    fn release(&mut self, seq: SeqId) {
        self.inner.release(seq);
    }
}

/// An engine whose backend has a fault; counts how often it was built.
fn faulty(tiny: &Arc<Tiny>, fault: Fault, loading: usize, stall: Duration) -> (Engine, Arc<AtomicUsize>) {
    let built = Arc::new(AtomicUsize::new(0));
    let (owner, count) = (Arc::clone(tiny), Arc::clone(&built));
    let loading = Arc::new(AtomicUsize::new(loading));
    let factory = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let inner = Box::new(owner.backend(64));
        Ok(Box::new(Faulty { inner, fault, loading: Arc::clone(&loading) }) as Inner)
    });
    // One at a time, so that it is known who runs beside whom.
    (tiny.engine_over(EngineConfig { max_running: 1, stall, ..quick() }, factory), built)
}

#[tokio::test]
async fn a_broken_backend_is_replaced_and_those_who_wait_are_served() {
    let tiny = Arc::new(Tiny::new());
    for fault in [Fault::Panic, Fault::Error] {
        let (engine, built) = faulty(&tiny, fault, 0, Duration::from_secs(60));
        engine.ready().await.unwrap();
        let expected = bits(&run(&engine, request("innocent", 6)).await.unwrap());
        let bad = engine.submit(request("!", 4)).unwrap();
        let waiting = engine.submit(request("innocent", 6)).unwrap();
        assert!(matches!(bad.finish().await, Err(GenerateError::Backend(_))));
        assert_eq!(bits(&waiting.finish().await.unwrap().1), expected);
        assert_eq!(built.load(Ordering::Relaxed), 2);
        assert_eq!(engine.status(), Status::Degraded("wrapped".into()));
    }
}

#[tokio::test]
async fn slow_devices_are_asked_again() {
    let tiny = Arc::new(Tiny::new());
    let (engine, _) = faulty(&tiny, Fault::Error, 5, Duration::from_secs(60));
    engine.ready().await.unwrap();
    assert!(!run(&engine, request("patience", 3)).await.unwrap().tokens.is_empty());
}

#[tokio::test]
async fn a_backend_that_cannot_start() {
    let tiny = Tiny::new();
    let engine = tiny.engine_over(quick(), Box::new(|| Err(BackendError::Start("vectors differ".into()))));
    assert!(engine.ready().await.is_err());
    assert_eq!(engine.status(), Status::Failed("vectors differ".into()));
    assert!(matches!(engine.submit(request("x", 1)), Err(SubmitError::Unavailable(_))));
}

/// Who asked while a backend was started again, which then could not be, waited for ever: the watchdog keeps the commands' channel open.
#[tokio::test]
async fn who_asks_before_a_restart_fails_is_told() {
    let tiny = Arc::new(Tiny::new());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let inner = Box::new(tiny.backend(64));
    let mut first = Some(Faulty { inner, fault: Fault::Error, loading: Arc::default() });
    let factory = Box::new(move || match first.take() {
        Some(backend) => Ok(Box::new(backend) as Inner),
        None => {
            wait.recv().unwrap();
            Err(BackendError::Start("it broke for good".into()))
        }
    });
    let engine = tiny.engine_over(quick(), factory);
    engine.ready().await.unwrap();
    assert!(matches!(run(&engine, request("!", 4)).await, Err(GenerateError::Backend(_))));
    let late = engine.submit(request("innocent", 4)).unwrap();
    go.send(()).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), late.finish()).await;
    assert_eq!(told.expect("an end").unwrap_err(), GenerateError::Stopped);
    assert_eq!(engine.status(), Status::Failed("it broke for good".into()));
}

#[tokio::test]
async fn a_backend_that_starts_at_the_third_attempt() {
    let tiny = Tiny::new();
    let (mut attempts, mut backend) = (0, Some(tiny.backend(64)));
    let factory = Box::new(move || {
        attempts += 1;
        match attempts {
            1 => Err(BackendError::Failed("busy".into())),
            2 => panic!("in the driver"),
            _ => Ok(Box::new(backend.take().unwrap()) as Inner),
        }
    });
    let engine = tiny.engine_over(quick(), factory);
    let ready = engine.watch().wait_for(|status| *status == Status::Ready).await.map(drop);
    ready.unwrap();
    run(&engine, request("at last", 2)).await.unwrap();
}

#[tokio::test]
async fn while_loading_nothing_is_taken() {
    let tiny = Tiny::new();
    let mut backend = Some(tiny.backend(64));
    let factory = Box::new(move || {
        std::thread::sleep(Duration::from_millis(100));
        Ok(Box::new(backend.take().unwrap()) as Inner)
    });
    let engine = tiny.engine_over(quick(), factory);
    assert_eq!(engine.status(), Status::Loading);
    assert_eq!(
        engine.submit(request("early", 1)).map(drop).unwrap_err(),
        SubmitError::Unavailable("loading")
    );
    engine.ready().await.unwrap();
    assert_eq!(engine.status(), Status::Ready);
}

/// A step that does not end fails what there is and is left behind: the engine goes on with another backend, also after the first
/// one has come back.
#[tokio::test]
async fn a_stalled_backend_is_left_behind() {
    let tiny = Arc::new(Tiny::new());
    let (engine, built) = faulty(&tiny, Fault::Stall, 0, Duration::from_millis(100));
    engine.ready().await.unwrap();
    let expected = bits(&run(&engine, request("innocent", 6)).await.unwrap());
    let stalling = engine.submit(request("!", 1)).unwrap();
    let waiting = engine.submit(request("innocent", 6)).unwrap();
    for failed in [stalling, waiting] {
        assert!(matches!(failed.finish().await, Err(GenerateError::Backend(_))));
    }
    assert_eq!(engine.requests(), 0);
    for _ in 0..2 {
        assert_eq!(bits(&run(&engine, request("innocent", 6)).await.unwrap()), expected);
        assert_eq!(built.load(Ordering::Relaxed), 2);
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
}

/// A slow step shows, and is no stall as long as it ends in time.
#[tokio::test]
async fn a_slow_step_can_be_seen() {
    let tiny = Arc::new(Tiny::new());
    let (engine, built) = faulty(&tiny, Fault::Stall, 0, Duration::from_secs(60));
    engine.ready().await.unwrap();
    let slow = engine.submit(request("!", 1)).unwrap();
    let seen = async {
        while engine.step_for().is_none_or(|step| step < Duration::from_millis(100)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap();
    slow.finish().await.unwrap();
    assert_eq!(built.load(Ordering::Relaxed), 1);
}
