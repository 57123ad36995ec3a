//! A thread without a handle, so that what the handle rules out can be sent.

use super::*;
use crate::{
    backend::{Admission, Identity, Limits, LoraPart, PrepareError, PreparedAdapter, Preparer, Row, SeqId},
    engine::{Ticket, front::Front},
    request::{Event, GenerateRequest},
};
use tributary_adapters::Adapter;

/// Serves nobody.
#[derive(Debug)]
struct Idle(Limits, Identity);

impl Idle {
    fn new() -> Self {
        let limits = Limits {
            context: 64,
            vocab: 8,
            normed_bytes: 8,
            page_tokens: 16,
            pages: 4,
            rows: 4,
            step_tokens: 16,
            page_bytes: 0,
            weight_bytes: 0,
        };
        Self(limits, Identity { profile: [1; 32].into(), weights: [2; 32].into() })
    }
}

impl Preparer for Idle {
    fn prepare(&self, _adapter: &Adapter, _weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        unreachable!("nobody has an adapter")
    }
}

impl InferenceBackend for Idle {
    fn name(&self) -> &str {
        "idle"
    }
    fn limits(&self) -> &Limits {
        &self.0
    }
    fn identity(&self) -> &Identity {
        &self.1
    }
    fn health(&self) -> Health {
        Health::Ok
    }
    fn preparer(&self) -> Arc<dyn Preparer> {
        Arc::new(Self::new())
    }
    fn admit(&mut self, _seq: SeqId, _lora: &[LoraPart]) -> Result<Admission, BackendError> {
        Ok(Admission::Ready)
    }
    fn step(&mut self, _rows: &[Row<'_>], _out: &mut StepOutput) -> Result<(), BackendError> {
        Err(BackendError::Failed("nobody asks".into()))
    }
    fn release(&mut self, _seq: SeqId) {}
}

impl Vocabulary for Idle {
    fn bytes(&self, _token: u32) -> &[u8] {
        &[]
    }
}

/// Who saw the engine serve, and sends after it has looked at its channel for the last time, was told nothing for ever.
#[test]
fn who_comes_after_the_end_is_told() {
    let shared = Arc::new(Shared::new(&Arc::new(Front::new(1)), 0));
    let (commands, receiver) = crossbeam_channel::unbounded();
    let spawner = Spawner {
        config: EngineConfig::default(),
        vocabulary: Arc::new(Idle::new()),
        factory: Arc::new(Mutex::new(Box::new(|| Ok(Box::new(Idle::new()) as _)))),
        commands: receiver,
        memory: None,
    };
    // The channel stays open without the thread, as it does for the watchdog.
    let _watchdog = spawner.clone();
    let worker = Worker::new(spawner, Arc::clone(&shared), 0, false);
    let thread = std::thread::spawn(move || worker.run());
    commands.send(Command::Drain).unwrap();
    while shared.status() != Status::Stopped {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Time for a last look: none is needed for the test to pass.
    std::thread::sleep(Duration::from_millis(50));
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel::<Event>();
    let (cancelled, arrived) = (Arc::default(), Instant::now());
    let request = GenerateRequest::default();
    let submission = Submission { request, events, cancelled, arrived, ticket: Ticket::detached() };
    commands.send(Command::Submit(Box::new(submission))).unwrap();
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(told.blocking_recv().is_none()));
    assert_eq!(end.recv_timeout(Duration::from_secs(30)), Ok(true), "an end of its events");
    drop(commands);
    thread.join().unwrap();
}
