//! The engine thread: commands in, steps through the backend, events out.

use super::{
    BackendFactory, EngineConfig, apply,
    front::{Moved, To},
    handle::{EngineInfo, Shared, Status},
};
use crate::{
    backend::{BackendError, Health, InferenceBackend, StepOutput},
    grammar::TokenMask,
    metrics,
    request::GenerateError,
    sampling::Sampler,
    schedule::{Scheduler, Sequence, Submission, Width},
    text::Vocabulary,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use parking_lot::Mutex;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tributary_adapters::{Memory, PageBudget};

/// How often a thread with nothing runnable looks again.
const POLL: Duration = Duration::from_millis(1);

/// What a thread is told.
pub(crate) enum Command {
    Submit(Box<Submission>),
    /// From another engine.
    Carry(Box<Sequence>),
    /// Adapters need memory: what is due is seen with the next plan.
    GiveBack,
    Drain,
}

impl Command {
    /// The request in it.
    pub(super) fn moved(self) -> Option<Moved> {
        match self {
            Self::Submit(submission) => Some(Moved::New(submission)),
            Self::Carry(sequence) => Some(Moved::Waiting(sequence)),
            Self::GiveBack | Self::Drain => None,
        }
    }
}

/// What engine threads are made of.
#[derive(Clone)]
pub(super) struct Spawner {
    pub(super) config: EngineConfig,
    pub(super) vocabulary: Arc<dyn Vocabulary>,
    pub(super) factory: Arc<Mutex<BackendFactory>>,
    pub(super) commands: Receiver<Command>,
    pub(super) memory: Option<Memory>,
}

pub(super) struct Worker {
    config: EngineConfig,
    pub(super) vocabulary: Arc<dyn Vocabulary>,
    factory: Arc<Mutex<BackendFactory>>,
    commands: Receiver<Command>,
    memory: Option<Memory>,
    shared: Arc<Shared>,
    generation: u64,
    draining: bool,
    pub(super) output: StepOutput,
    pub(super) sampler: Sampler,
    pub(super) mask: TokenMask,
}

impl Worker {
    pub(super) fn new(spawner: Spawner, shared: Arc<Shared>, generation: u64, draining: bool) -> Self {
        let Spawner { config, vocabulary, factory, commands, memory } = spawner;
        Self {
            config,
            vocabulary,
            factory,
            commands,
            memory,
            shared,
            generation,
            draining,
            output: StepOutput::default(),
            sampler: Sampler::default(),
            mask: TokenMask::default(),
        }
    }

    /// Runs until drained or beyond repair.
    pub(super) fn run(mut self) {
        let mut carried = Vec::new();
        let mut pause = self.config.restart_first;
        loop {
            let (mut backend, budget) = match self.start() {
                Ok(started) => started,
                Err(BackendError::Start(reason)) => return self.give_up(carried, reason),
                Err(_) if Arc::strong_count(&self.shared) == 1 => return,
                Err(error) => {
                    self.pause(&mut pause, &error.to_string());
                    continue;
                }
            };
            let started = Instant::now();
            let mut scheduler = self.scheduler(backend.as_ref(), budget);
            scheduler.carry(std::mem::take(&mut carried));
            let served = self.serve(&mut scheduler, backend.as_mut());
            if self.shared.is_superseded(self.generation) {
                // Its requests were failed when it was left behind, and another thread serves.
                tracing::warn!("A stalled inference backend came back and is dropped");
                return;
            }
            let Err(reason) = served else { break };
            tracing::error!(engine = self.shared.number, %reason, "Inference backend failed, restarting it");
            metrics::restarted(&self.shared.labels);
            // It holds few requests from now on, and dropping its backend takes a while: nobody should take that for room.
            self.set_status(Status::Restarting(reason.clone()));
            scheduler.fail_running(&GenerateError::Backend(reason.clone()));
            carried = self.give_to_others(scheduler.into_waiting());
            // Nothing of a backend that panicked is trusted, its destructor included.
            if catch_unwind(AssertUnwindSafe(|| drop(backend))).is_err() {
                tracing::error!("Inference backend panicked while it was dropped");
            }
            if started.elapsed() > self.config.restart_max {
                pause = self.config.restart_first;
            }
            self.pause(&mut pause, &reason);
        }
        self.end(Status::Stopped);
        self.shared.pass_on(&self.commands);
    }

    fn set_status(&self, status: Status) {
        self.shared.set_status(status);
    }

    fn give_up(&self, carried: Vec<Sequence>, reason: String) {
        tracing::error!(engine = self.shared.number, %reason, "Inference backend cannot start");
        self.end(Status::Failed(reason));
        carried.into_iter().for_each(|sequence| self.shared.hand_on(Moved::Waiting(Box::new(sequence))));
        self.shared.pass_on(&self.commands);
    }

    /// Ends for good: what the factory and the preparer hold is let go of, matrices of the host among it.
    fn end(&self, status: Status) {
        let ended = || Err(BackendError::Start("the engine ended".to_owned()));
        // First, so that whoever is last sees that it is.
        *self.factory.lock() = Box::new(ended);
        self.set_status(status);
        if self.shared.front.outlives(self.shared.number) {
            *self.shared.info.write() = None;
        }
    }

    /// Gives those that wait for a new backend to engines that serve now; those for whom there is none come back.
    fn give_to_others(&self, waiting: Vec<Sequence>) -> Vec<Sequence> {
        let (front, number) = (&self.shared.front, self.shared.number);
        let mut back = Vec::new();
        for sequence in waiting {
            match front.hand_on(number, To::Serving, Moved::Waiting(Box::new(sequence))) {
                Ok(()) => metrics::handed_on(&self.shared.labels, 1),
                Err(Moved::Waiting(sequence)) => back.push(*sequence),
                Err(Moved::New(_)) => {}
            }
        }
        back
    }

    /// Gives half of those that wait to an engine that has room.
    fn share(&self, scheduler: &mut Scheduler) {
        let (front, number) = (&self.shared.front, self.shared.number);
        if !front.is_shared() || scheduler.waiting() == 0 {
            return;
        }
        let Some((to, room)) = front.room(number) else { return };
        for sequence in scheduler.spare(room) {
            match front.hand_on(number, To::This(to), Moved::Waiting(Box::new(sequence))) {
                Ok(()) => metrics::handed_on(&self.shared.labels, 1),
                Err(Moved::Waiting(back)) => scheduler.carry(vec![*back]),
                Err(Moved::New(_)) => {}
            }
        }
    }

    fn pause(&self, pause: &mut Duration, reason: &str) {
        self.set_status(Status::Restarting(reason.to_owned()));
        std::thread::sleep(*pause);
        *pause = (*pause * 2).min(self.config.restart_max);
    }

    fn start(&mut self) -> Result<(Box<dyn InferenceBackend>, Option<PageBudget>), BackendError> {
        let backend = catch_unwind(AssertUnwindSafe(|| (self.factory.lock())()))
            .unwrap_or_else(|panic| Err(BackendError::Failed(panic_message(panic.as_ref()))))?;
        let mut limits = *backend.limits();
        limits.context = limits.context.min(limits.pages.saturating_mul(limits.page_tokens));
        if limits.context < 2 || limits.rows == 0 || limits.step_tokens < 2 {
            return Err(BackendError::Start(format!("limits allow no request: {limits:?}")));
        }
        if !self.shared.front.agrees(backend.identity()) {
            let reason = "it computes by another profile than the other engines".to_owned();
            return Err(BackendError::Start(reason));
        }
        let longest = limits.context.div_ceil(limits.page_tokens.max(1)) as usize * limits.page_bytes;
        let budget = self.memory.as_ref().map(|memory| memory.open(limits.weight_bytes, longest)).transpose();
        let budget = budget.map_err(|error| BackendError::Start(error.to_string()))?;
        let info = EngineInfo {
            backend: backend.name().to_owned(),
            limits,
            identity: *backend.identity(),
            preparer: backend.preparer(),
        };
        tracing::info!(
            engine = self.shared.number,
            backend = info.backend,
            context = limits.context,
            pages = limits.pages,
            "Engine ready"
        );
        *self.shared.info.write() = Some(Arc::new(info));
        self.set_status(if self.draining { Status::Draining } else { Status::Ready });
        Ok((backend, budget))
    }

    fn scheduler(&self, backend: &dyn InferenceBackend, budget: Option<PageBudget>) -> Scheduler {
        let limits = backend.limits();
        let step_tokens = self.config.step_tokens.min(limits.step_tokens as usize).max(2);
        let width = Width {
            // Half the budget at least is left to prompts, however many rows decode.
            running: self.config.max_running.min(limits.rows as usize).min(step_tokens / 2).max(1),
            step_tokens,
            chunk: self.config.prefill_chunk.max(1),
            light: self.config.draft_tokens.min(step_tokens),
            share: self.config.prefix_cache,
        };
        self.shared.rows.store(width.running, Ordering::Relaxed);
        Scheduler::new(width, limits, *backend.identity(), budget, Arc::clone(&self.shared.front.ids))
    }

    /// Steps until drained. An error is why the backend has to be replaced.
    fn serve(&mut self, scheduler: &mut Scheduler, backend: &mut dyn InferenceBackend) -> Result<(), String> {
        loop {
            if !self.receive(scheduler) {
                return Ok(());
            }
            self.shared.mark_step(self.generation, Some(Instant::now()));
            let step = catch_unwind(AssertUnwindSafe(|| self.iterate(scheduler, backend)));
            self.shared.mark_step(self.generation, None);
            if self.shared.is_superseded(self.generation) {
                return Err("left behind".to_owned());
            }
            match step {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(panic) => return Err(panic_message(panic.as_ref())),
            }
        }
    }

    /// Takes what commands there are, waiting for one when there is nothing to do. False at the end.
    fn receive(&mut self, scheduler: &mut Scheduler) -> bool {
        if scheduler.is_idle() {
            scheduler.pages().note_idle();
            self.show(scheduler);
            if self.draining && self.commands.is_empty() {
                return false;
            }
            match self.commands.recv() {
                Ok(command) => self.obey(command, scheduler),
                Err(_) => return false,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command, scheduler),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn show(&self, scheduler: &Scheduler) {
        self.shared.waiting.store(scheduler.waiting(), Ordering::Relaxed);
        metrics::gauges(scheduler, &self.shared.labels);
        if let Some(memory) = &self.memory {
            metrics::memory(&memory.stats());
        }
    }

    fn obey(&mut self, command: Command, scheduler: &mut Scheduler) {
        match command {
            Command::Submit(submission) => scheduler.push(*submission),
            Command::Carry(sequence) => scheduler.carry(vec![*sequence]),
            Command::GiveBack => {}
            Command::Drain => {
                self.draining = true;
                self.set_status(Status::Draining);
            }
        }
    }

    fn iterate(
        &mut self,
        scheduler: &mut Scheduler,
        backend: &mut dyn InferenceBackend,
    ) -> Result<(), BackendError> {
        scheduler.sweep(backend);
        let plan = scheduler.plan(backend)?;
        if plan.is_empty() {
            self.wait(scheduler);
            return Ok(());
        }
        let start = Instant::now();
        let rows = apply::rows(scheduler, &plan);
        backend.step(&rows, &mut self.output)?;
        drop(rows);
        if self.shared.is_superseded(self.generation) {
            return Err(BackendError::Failed("left behind".to_owned()));
        }
        self.apply(scheduler, &plan, backend);
        self.share(scheduler);
        self.show(scheduler);
        metrics::step(scheduler, plan.iter().map(|row| row.take).sum(), start.elapsed());
        self.report_health(backend);
        Ok(())
    }

    /// Nothing can run yet: adapters are on their way to the device.
    fn wait(&mut self, scheduler: &mut Scheduler) {
        match self.commands.recv_timeout(POLL) {
            Ok(command) => self.obey(command, scheduler),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
    }

    fn report_health(&self, backend: &dyn InferenceBackend) {
        if self.draining {
            return;
        }
        let status = match backend.health() {
            Health::Ok => Status::Ready,
            Health::Degraded(reason) => Status::Degraded(reason),
        };
        if self.shared.status() != status {
            self.set_status(status);
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("no message"))
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
