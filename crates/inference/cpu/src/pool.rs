//! A few threads that share the tasks of one step after another.
//!
//! The caller takes tasks like everyone else and a job is over when its tasks are, so a worker that the system has
//! put aside delays nothing but the task it holds. Within a step workers spin, so handing out work costs no system
//! call; after a while without work they sleep.

use crate::{CpuError, float_mode};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

/// Turns of a worker's spin before it sleeps: about 100 µs.
const SPIN: u32 = 2_500;
/// Turns of the caller's spin before it lets others run.
const PATIENCE: u32 = 500;

/// What tasks run: task index, thread index.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The number of tasks not yet taken, below the number of the job: one word, so that a task is taken from the
/// job that it belongs to or not at all.
const LEFT_BITS: u32 = 20;
const LEFT_MASK: u64 = (1 << LEFT_BITS) - 1;

struct Shared {
    ticket: AtomicU64,
    /// Work of the current job as a fat pointer in two words, and its number of tasks. Written before the ticket of a job is
    /// published, read only by who took a task of it.
    work: [AtomicUsize; 2],
    tasks: AtomicUsize,
    done: AtomicUsize,
    sleeping: AtomicU32,
    panicked: AtomicBool,
    stop: AtomicBool,
}

/// The threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    job: u64,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Pool {
    /// Starts `threads − 1` workers; the caller is the other thread.
    pub(crate) fn new(threads: usize) -> Result<Self, CpuError> {
        float_mode::check()?;
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            work: [AtomicUsize::new(0), AtomicUsize::new(0)],
            tasks: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            sleeping: AtomicU32::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::new(), handles: Vec::new(), job: 0 };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("infer-{index}"))
                .spawn(move || shared.serve(index))
                .map_err(|error| CpuError::Threads(error.to_string()))?;
            pool.handles.push(worker.thread().clone());
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub(crate) const fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work(task, thread)` for every task below `tasks` and returns when all are done. Results must not depend on
    /// which thread runs what.
    pub(crate) fn run(&mut self, tasks: usize, work: &Work<'_>) -> Result<(), CpuError> {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| work(task, 0));
            return Ok(());
        }
        assert!(tasks as u64 <= LEFT_MASK, "{tasks} tasks");
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; nobody uses the pointer after the last task is done, which is awaited below.
        let words: [usize; 2] = unsafe { std::mem::transmute::<&Work<'_>, [usize; 2]>(work) };
        shared.work[0].store(words[0], Ordering::Relaxed);
        shared.work[1].store(words[1], Ordering::Relaxed);
        shared.tasks.store(tasks, Ordering::Relaxed);
        shared.done.store(0, Ordering::Relaxed);
        self.job += 1;
        shared.ticket.store(self.job << LEFT_BITS | tasks as u64, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            self.handles.iter().for_each(Thread::unpark);
        }
        while shared.take_one(0) {}
        let mut turns = 0;
        while shared.done.load(Ordering::Acquire) < tasks {
            turns += 1;
            if turns > PATIENCE {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        if shared.panicked.load(Ordering::Acquire) {
            return Err(CpuError::Threads("a kernel panicked".into()));
        }
        Ok(())
    }
}

impl Shared {
    fn serve(&self, index: usize) {
        if float_mode::check().is_err() {
            self.panicked.store(true, Ordering::Release);
        }
        let mut idle = 0;
        while !self.stop.load(Ordering::Acquire) {
            if self.take_one(index) {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < SPIN {
                std::hint::spin_loop();
                continue;
            }
            self.sleeping.fetch_add(1, Ordering::SeqCst);
            // A job published before the count went up is seen here; one published after wakes this thread.
            if self.ticket.load(Ordering::SeqCst) & LEFT_MASK == 0 && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.sleeping.fetch_sub(1, Ordering::SeqCst);
            idle = 0;
        }
    }

    /// Takes and runs a task, if there is one.
    fn take_one(&self, thread: usize) -> bool {
        let mut ticket = self.ticket.load(Ordering::Acquire);
        loop {
            if ticket & LEFT_MASK == 0 {
                return false;
            }
            match self.ticket.compare_exchange_weak(ticket, ticket - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => ticket = now,
            }
        }
        let words = [self.work[0].load(Ordering::Relaxed), self.work[1].load(Ordering::Relaxed)];
        // SAFETY: this task belongs to the job whose work was stored before its ticket, and `run` waits for it.
        let work: &Work<'_> = unsafe { std::mem::transmute::<[usize; 2], &Work<'_>>(words) };
        let task = self.tasks.load(Ordering::Relaxed) - (ticket & LEFT_MASK) as usize;
        if catch_unwind(AssertUnwindSafe(|| work(task, thread))).is_err() {
            self.panicked.store(true, Ordering::Release);
        }
        self.done.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.handles.iter().for_each(Thread::unpark);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_timing() {
        for threads in [1, 2, 4] {
            let mut pool = Pool::new(threads).unwrap();
            for round in 0..2000 {
                let tasks = round % 37;
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, thread| {
                    assert!(thread < threads);
                    counts[task].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                if round % 500 == 0 {
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_not_a_hang() {
        let mut pool = Pool::new(2).unwrap();
        let result = pool.run(8, &|task, _| assert!(task != 5, "task 5"));
        assert!(result.is_err());
    }
}
