use super::{
    BackendFactory, EngineConfig,
    front::Front,
    live::Live,
    standing::Outlook,
    watchdog,
    worker::{Command, Spawner},
};
use crate::{
    backend::{Identity, Limits, Preparer},
    metrics::{self, Labels},
    request::{Event, GenerateError, GenerateRequest, SubmitError},
    schedule::Submission,
    text::Vocabulary,
};
use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use tributary_adapters::Memory;

/// A step that runs for longer is seen by requests on their way: they go elsewhere. Where it ends as it should, it took milliseconds.
const SLOW: Duration = Duration::from_secs(2);

/// Where the engine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The model is being loaded.
    Loading,
    /// Serving.
    Ready,
    /// Serving, with something an operator should see.
    Degraded(String),
    /// The backend broke and is started again; requests wait.
    Restarting(String),
    /// Finishing what it has, taking nothing new.
    Draining,
    /// Ended.
    Stopped,
    /// The backend cannot start.
    Failed(String),
}

/// What is known once the model is loaded.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// The backend's name.
    pub backend: String,
    /// Its limits, the context lowered to what the KV pages hold.
    pub limits: Limits,
    /// What answers depend on besides requests.
    pub identity: Identity,
    /// Prepares adapters.
    pub preparer: Arc<dyn Preparer>,
}

/// A running engine, or several over devices of their own; clones share it. When the last clone is gone it finishes its requests and ends.
#[derive(Clone)]
pub struct Engine {
    lanes: Arc<[Lane]>,
    memory: Option<Memory>,
    front: Arc<Front>,
    config: EngineConfig,
}

/// What the handle has of one engine thread.
struct Lane {
    /// Behind a pointer of its own: a memory budget has it wake the thread, as long as there is an engine.
    commands: Arc<Sender<Command>>,
    shared: Arc<Shared>,
}

/// What handle and thread share.
pub(super) struct Shared {
    pub(super) info: RwLock<Option<Arc<EngineInfo>>>,
    /// Which engine it is, among those of the front.
    pub(super) number: usize,
    pub(super) front: Arc<Front>,
    pub(super) labels: Labels,
    /// Every request in the engine.
    pub(super) live: Arc<Live>,
    /// Answers that it generates at once.
    pub(super) rows: AtomicUsize,
    /// Requests that were in line when it looked last.
    pub(super) waiting: AtomicUsize,
    /// When the step that runs began.
    step: Mutex<Option<Instant>>,
    /// Which engine thread serves: the first is 0, each that replaces a stalled one has the next number.
    generation: AtomicU64,
}

impl Shared {
    pub(super) fn new(front: &Arc<Front>, number: usize) -> Self {
        let labels = if front.is_shared() { vec![("engine", number.to_string())] } else { Vec::new() };
        Self {
            info: RwLock::new(None),
            number,
            front: Arc::clone(front),
            labels,
            live: Arc::default(),
            rows: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            step: Mutex::new(None),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn set_status(&self, status: Status) {
        if let Some(info) = &*self.info.read() {
            let serves = matches!(status, Status::Ready | Status::Degraded(_) | Status::Draining);
            metrics::serves(&self.labels, &info.backend, serves);
        }
        if matches!(status, Status::Stopped | Status::Failed(_)) {
            metrics::ended(&self.labels);
        }
        self.front.standing.set(self.number, status);
    }

    /// What to expect of it; None once it has ended.
    pub(super) fn outlook(&self) -> Option<Outlook> {
        let outlook = self.front.standing.outlook(self.number)?;
        let slow = outlook == Outlook::Serves && self.step_for().is_some_and(|step| step > SLOW);
        Some(if slow { Outlook::Slow } else { outlook })
    }

    /// Answers that it could begin at once.
    pub(super) fn room(&self) -> usize {
        // Where there is a line already, pages are short whatever rows are free.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return 0;
        }
        self.rows.load(Ordering::Relaxed).saturating_sub(self.live.len())
    }

    fn step_for(&self) -> Option<Duration> {
        self.step.lock().map(|since| since.elapsed())
    }

    pub(super) fn status(&self) -> Status {
        self.front.standing.of(self.number)
    }

    /// Whether this thread was left behind.
    pub(super) fn is_superseded(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) != generation
    }

    /// Notes that a step begins, or that none runs; a thread that was left behind notes nothing.
    pub(super) fn mark_step(&self, generation: u64, step: Option<Instant>) {
        let mut current = self.step.lock();
        if !self.is_superseded(generation) {
            *current = step;
        }
    }

    /// Leaves the thread behind whose step runs for longer than `stall`; the next one's generation.
    pub(super) fn supersede(&self, stall: Duration) -> Option<u64> {
        let mut step = self.step.lock();
        step.filter(|since| since.elapsed() > stall)?;
        *step = None;
        Some(self.generation.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine thread, which builds the backend; returns before it is loaded.
    pub fn start(
        config: EngineConfig,
        vocabulary: Arc<dyn Vocabulary>,
        factory: BackendFactory,
    ) -> std::io::Result<Self> {
        Self::bounded(None, config, vocabulary, vec![factory])
    }

    /// The same with pages that share a budget with adapters: those of stores over this engine.
    pub fn within(
        memory: Memory,
        config: EngineConfig,
        vocabulary: Arc<dyn Vocabulary>,
        factory: BackendFactory,
    ) -> std::io::Result<Self> {
        Self::bounded(Some(memory), config, vocabulary, vec![factory])
    }

    /// An engine thread for each factory, all of the same model and profile, each bounded by `config` but for the requests that it holds,
    /// which are counted together. As long as several serve, their pages have to lie in memory of their devices: of a budget, one
    /// engine's pages are part.
    ///
    /// One whose factory says that its backend [cannot start](crate::BackendError::Start) ends; what waits there goes on to the others.
    pub fn several(
        memory: Option<Memory>,
        config: EngineConfig,
        vocabulary: Arc<dyn Vocabulary>,
        factories: Vec<BackendFactory>,
    ) -> std::io::Result<Self> {
        Self::bounded(memory, config, vocabulary, factories)
    }

    fn bounded(
        memory: Option<Memory>,
        config: EngineConfig,
        vocabulary: Arc<dyn Vocabulary>,
        factories: Vec<BackendFactory>,
    ) -> std::io::Result<Self> {
        if factories.is_empty() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "an engine needs a backend"));
        }
        let front = Arc::new(Front::new(factories.len()));
        let (mut lanes, mut spawners) = (Vec::new(), Vec::new());
        for (number, factory) in factories.into_iter().enumerate() {
            let (commands, receiver) = crossbeam_channel::unbounded();
            let shared = Arc::new(Shared::new(&front, number));
            spawners.push(Spawner {
                config,
                vocabulary: Arc::clone(&vocabulary),
                factory: Arc::new(Mutex::new(factory)),
                commands: receiver,
                memory: memory.clone(),
            });
            lanes.push(Lane { commands: Arc::new(commands), shared });
        }
        front.connect(lanes.iter().map(|lane| (&lane.commands, &lane.shared)));
        if let Some(memory) = &memory {
            wake_for(memory, &lanes);
        }
        for (lane, spawner) in lanes.iter().zip(spawners) {
            spawner.spawn(&lane.shared, 0, false)?;
            let watched = Arc::downgrade(&lane.shared);
            thread::Builder::new()
                .name("engine-watchdog".into())
                .spawn(move || watchdog::watch(watched, spawner))?;
        }
        Ok(Self { lanes: lanes.into(), memory, front, config })
    }

    /// The budget that its pages are part of, if there is one.
    pub const fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// Where the engine stands. Of several, it serves as long as one does.
    pub fn status(&self) -> Status {
        self.front.standing.whole()
    }

    /// Follows the engine's state.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.front.standing.watch()
    }

    /// Backend, limits and identity, once loaded; of several that serve, of the one that takes the shortest context.
    pub fn info(&self) -> Option<Arc<EngineInfo>> {
        self.infos().into_iter().min_by_key(|info| info.limits.context)
    }

    /// The same of each that serves; where none does, of those that are started again, else of all that are known.
    pub fn infos(&self) -> Vec<Arc<EngineInfo>> {
        let known = |lane: &Lane| lane.shared.info.read().clone().map(|info| (self.outlook(lane), info));
        let all: Vec<_> = self.lanes.iter().filter_map(known).collect();
        let of = |wanted| all.iter().filter(move |(outlook, _)| *outlook == Some(wanted));
        let told = [Outlook::Serves, Outlook::Restarts].into_iter().find(|wanted| of(*wanted).count() > 0);
        let told = all.iter().filter(|(outlook, _)| told.is_none_or(|told| *outlook == Some(told)));
        told.map(|(_, info)| Arc::clone(info)).collect()
    }

    /// What to expect of one, however long its step takes.
    fn outlook(&self, lane: &Lane) -> Option<Outlook> {
        self.front.standing.outlook(lane.shared.number)
    }

    /// Requests it holds.
    pub fn requests(&self) -> usize {
        self.lanes.iter().map(|lane| lane.shared.live.len()).sum()
    }

    /// How long the step that runs has been running, the longest of several: a step takes milliseconds, a stalled backend does not
    /// end one.
    pub fn step_for(&self) -> Option<Duration> {
        self.lanes.iter().filter_map(|lane| lane.shared.step_for()).max()
    }

    /// How many engines serve, and how many of them are in a step that runs for longer than this.
    pub fn stalled(&self, bound: Duration) -> (usize, usize) {
        let serve = self.lanes.iter().filter(|lane| self.outlook(lane) == Some(Outlook::Serves));
        serve.fold((0, 0), |(serve, stalled), lane| {
            let stalls = lane.shared.step_for().is_some_and(|step| step > bound);
            (serve + 1, stalled + usize::from(stalls))
        })
    }

    /// Waits until the model is loaded, or cannot be.
    pub async fn ready(&self) -> Result<Arc<EngineInfo>, SubmitError> {
        let mut status = self.watch();
        let settled = status.wait_for(|status| !matches!(status, Status::Loading)).await;
        drop(settled);
        self.info().ok_or(SubmitError::Unavailable("not loaded"))
    }

    /// Puts a request in line. Dropping the [`Generation`] cancels it.
    pub fn submit(&self, request: GenerateRequest) -> Result<Generation, SubmitError> {
        let info = self.check_status()?;
        check(&request, &info.limits)?;
        let held = self.requests();
        if held >= self.config.max_requests {
            return Err(SubmitError::Overloaded(held));
        }
        let lane = self.place(&request, &info.limits)?;
        let (events, receiver) = mpsc::unbounded_channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let entered = lane.shared.live.enter(self.config.max_requests, &events, &cancelled);
        let ticket = entered.map_err(SubmitError::Overloaded)?;
        let mut request = request;
        request.stop.max_tokens =
            request.stop.max_tokens.min(info.limits.context - request.prompt.len() as u32);
        let submission = Submission {
            request,
            events,
            cancelled: Arc::clone(&cancelled),
            arrived: Instant::now(),
            ticket,
        };
        lane.commands
            .send(Command::Submit(Box::new(submission)))
            .map_err(|_| SubmitError::Unavailable("stopped"))?;
        Ok(Generation { events: receiver, cancelled })
    }

    /// The engine that a request goes to.
    fn place(&self, request: &GenerateRequest, limits: &Limits) -> Result<&Lane, SubmitError> {
        let takes = |outlook: &Outlook| *outlook < Outlook::Later;
        let outlooks: Vec<_> = self.lanes.iter().map(|lane| lane.shared.outlook().filter(takes)).collect();
        // One that is stuck or is started again has few requests, and is not to draw more for that.
        let best = outlooks.iter().copied().flatten().min();
        let load = |(lane, outlook): (&Lane, &Option<Outlook>)| {
            (outlook.is_some() && *outlook == best).then(|| lane.shared.live.len())
        };
        let loads: Vec<Option<usize>> = self.lanes.iter().zip(&outlooks).map(load).collect();
        let slack = slack(self.config.max_running, limits);
        let placed = self.front.place(request, limits.page_tokens.max(1) as usize, &loads, slack);
        let (number, why) = placed.ok_or(SubmitError::Unavailable("broken"))?;
        metrics::placed(&self.lanes[number].shared.labels, why.name());
        Ok(&self.lanes[number])
    }

    fn check_status(&self) -> Result<Arc<EngineInfo>, SubmitError> {
        let unavailable = |what| Err(SubmitError::Unavailable(what));
        match self.status() {
            Status::Loading => unavailable("loading"),
            Status::Draining => unavailable("draining"),
            Status::Stopped => unavailable("stopped"),
            Status::Failed(_) => unavailable("broken"),
            Status::Ready | Status::Degraded(_) | Status::Restarting(_) => {
                self.info().ok_or(SubmitError::Unavailable("loading"))
            }
        }
    }

    /// Takes no more requests, finishes what there is, ends.
    pub async fn drain(&self) {
        let mut status = self.watch();
        let told = self.lanes.iter().filter(|lane| lane.commands.send(Command::Drain).is_ok()).count();
        if told == 0 {
            return;
        }
        // An error means the threads are gone, which is what is waited for.
        drop(status.wait_for(|status| matches!(status, Status::Stopped | Status::Failed(_))).await);
    }
}

/// How many more requests than elsewhere there may be where a request finds its beginning: where half of the rows are taken by them,
/// what is at hand is not worth the wait.
fn slack(max_running: usize, limits: &Limits) -> usize {
    (max_running.min(limits.rows as usize) / 2).max(1)
}

/// Has a budget wake the threads.
fn wake_for(memory: &Memory, lanes: &[Lane]) {
    let all: Vec<_> = lanes.iter().map(|lane| Arc::downgrade(&lane.commands)).collect();
    memory.on_due(Arc::new(move || {
        for commands in &all {
            // An engine that is gone has no pages.
            drop(commands.upgrade().map(|commands| commands.send(Command::GiveBack)));
        }
    }));
}

fn check(request: &GenerateRequest, limits: &Limits) -> Result<(), SubmitError> {
    let prompt = request.prompt.len();
    if prompt == 0 {
        return Err(SubmitError::EmptyPrompt);
    }
    if prompt >= limits.context as usize {
        let prompt = u32::try_from(prompt).unwrap_or(u32::MAX);
        return Err(SubmitError::TooLong { prompt, context: limits.context });
    }
    if let Some(token) = request.prompt.iter().find(|token| **token >= limits.vocab) {
        return Err(SubmitError::BadToken(*token));
    }
    if request.stop.max_tokens == 0 && request.prompt_logprobs.is_none() {
        return Err(SubmitError::NoTokens);
    }
    Ok(())
}

/// An answer on its way. Dropping it cancels the request and frees what it held.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::UnboundedReceiver<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Generation {
    /// The next event; none after the last one.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, from a thread outside any runtime.
    pub fn blocking_next(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }

    /// Ends the answer where it stands; its outcome still comes.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Runs to the end and returns the whole answer.
    pub async fn finish(mut self) -> Result<(String, crate::Outcome), GenerateError> {
        let mut text = String::new();
        while let Some(event) = self.next().await {
            match event {
                Event::Token(token) => text.push_str(&token.text),
                Event::Finished(outcome) => {
                    text.push_str(&outcome.tail);
                    return Ok((text, *outcome));
                }
                Event::Failed(error) => return Err(error),
            }
        }
        Err(GenerateError::Stopped)
    }
}
