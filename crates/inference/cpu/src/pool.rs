//! A few threads that share the tasks of one step after another.
//!
//! Each thread has a stretch of a job's tasks, which it takes from the front; whoever is done takes from the back of
//! the others. So a thread that the system has put aside delays nothing but the task it holds, neighbouring
//! tasks mostly run on one core, and a job costs each thread a few cache lines. Within a step workers spin, so handing out
//! work costs no system call; after a while without work they sleep.

use crate::{Affinity, CpuError, affinity, float_mode};
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

/// A stretch of tasks not yet taken, `from..to`, and the job it belongs to, in one word: a task is taken from the
/// job that it belongs to or not at all.
#[derive(Clone, Copy)]
struct Ticket(u64);

/// Tasks of a job at most; a longer one is run in parts.
const MOST: usize = u16::MAX as usize;

impl Ticket {
    fn new(job: u32, from: usize, to: usize) -> Self {
        Self(u64::from(job) << 32 | (from as u64) << 16 | to as u64)
    }

    const fn from(self) -> usize {
        (self.0 >> 16) as u16 as usize
    }

    const fn to(self) -> usize {
        self.0 as u16 as usize
    }

    const fn is_empty(self) -> bool {
        self.from() >= self.to()
    }
}

/// One thread's stretch, on cache lines of its own.
#[repr(align(128))]
struct Stretch {
    ticket: AtomicU64,
    /// Work of the job as a fat pointer in two words. Written before its ticket is published, read only by who took a
    /// task of it.
    work: [AtomicUsize; 2],
}

/// A value on cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    stretches: Box<[Stretch]>,
    done: Apart<AtomicUsize>,
    sleeping: Apart<AtomicU32>,
    panicked: AtomicBool,
    stop: AtomicBool,
}

/// The threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    job: u32,
    /// Where the caller's thread stays from its first job on: who makes the pool need not be who uses it.
    caller: Option<usize>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Pool {
    /// Starts `threads − 1` workers; the caller is the other thread.
    pub(crate) fn new(threads: usize, affinity: &Affinity) -> Result<Self, CpuError> {
        float_mode::check()?;
        let cpus = affinity.place(threads.max(1))?;
        let stretch = || Stretch { ticket: AtomicU64::new(0), work: [const { AtomicUsize::new(0) }; 2] };
        let shared = Arc::new(Shared {
            stretches: (0..threads.max(1)).map(|_| stretch()).collect(),
            done: Apart(AtomicUsize::new(0)),
            sleeping: Apart(AtomicU32::new(0)),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let caller = cpus.first().copied();
        let mut pool = Self { shared, workers: Vec::new(), handles: Vec::new(), job: 0, caller };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let cpu = cpus.get(index).copied();
            let worker = thread::Builder::new()
                .name(format!("infer-{index}"))
                .spawn(move || {
                    cpu.into_iter().for_each(affinity::bind);
                    shared.serve(index);
                })
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
        if let Some(cpu) = self.caller.take() {
            affinity::bind(cpu);
        }
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| work(task, 0));
            return Ok(());
        }
        let mut first = 0;
        while tasks - first > MOST {
            self.share_out(MOST, &|task, thread| work(first + task, thread))?;
            first += MOST;
        }
        match first {
            0 => self.share_out(tasks, work),
            _ => self.share_out(tasks - first, &|task, thread| work(first + task, thread)),
        }
    }

    fn share_out(&mut self, tasks: usize, work: &Work<'_>) -> Result<(), CpuError> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; nobody uses the pointer after the last task is done, which is awaited below.
        let words: [usize; 2] = unsafe { std::mem::transmute::<&Work<'_>, [usize; 2]>(work) };
        shared.done.0.store(0, Ordering::Relaxed);
        self.job = self.job.wrapping_add(1);
        let threads = shared.stretches.len();
        // The others first: they begin while this thread is still handing out.
        for (index, stretch) in shared.stretches.iter().enumerate().rev() {
            stretch.work[0].store(words[0], Ordering::Relaxed);
            stretch.work[1].store(words[1], Ordering::Relaxed);
            let part = Ticket::new(self.job, tasks * index / threads, tasks * (index + 1) / threads);
            stretch.ticket.store(part.0, Ordering::SeqCst);
        }
        if shared.sleeping.0.load(Ordering::SeqCst) > 0 {
            self.handles.iter().for_each(Thread::unpark);
        }
        shared.take_all(0);
        let mut turns = 0;
        while shared.done.0.load(Ordering::Acquire) < tasks {
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
            // Between jobs only the own stretch is looked at, so that the line stays here until there is work.
            if self.has_work(index) && self.take_all(index) {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < SPIN {
                std::hint::spin_loop();
                continue;
            }
            self.sleeping.0.fetch_add(1, Ordering::SeqCst);
            // A job published before the count went up is seen here; one published after wakes this thread.
            if !self.has_work(index) && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.sleeping.0.fetch_sub(1, Ordering::SeqCst);
            idle = 0;
        }
    }

    fn has_work(&self, index: usize) -> bool {
        !Ticket(self.stretches[index].ticket.load(Ordering::SeqCst)).is_empty()
    }

    /// Runs tasks, the thread's own first, until none is left to take. Whether there was one.
    fn take_all(&self, thread: usize) -> bool {
        let mut ran = 0;
        let threads = self.stretches.len();
        for offset in 0..threads {
            let stretch = &self.stretches[(thread + offset) % threads];
            while let Some(task) = stretch.take(offset > 0) {
                let words =
                    [stretch.work[0].load(Ordering::Relaxed), stretch.work[1].load(Ordering::Relaxed)];
                // SAFETY: this task belongs to the job whose work was stored before its ticket, and `run` waits for it.
                let work: &Work<'_> = unsafe { std::mem::transmute::<[usize; 2], &Work<'_>>(words) };
                if catch_unwind(AssertUnwindSafe(|| work(task, thread))).is_err() {
                    self.panicked.store(true, Ordering::Release);
                }
                ran += 1;
            }
        }
        // Only now: until then the job is not over, so all that ran were of one job.
        if ran > 0 {
            self.done.0.fetch_add(ran, Ordering::AcqRel);
        }
        ran > 0
    }
}

impl Stretch {
    /// Takes a task from the front, or from the back.
    fn take(&self, back: bool) -> Option<usize> {
        let mut ticket = Ticket(self.ticket.load(Ordering::Acquire));
        loop {
            if ticket.is_empty() {
                return None;
            }
            let (task, rest) = if back {
                (ticket.to() - 1, Ticket(ticket.0 - 1))
            } else {
                (ticket.from(), Ticket(ticket.0 + (1 << 16)))
            };
            match self.ticket.compare_exchange_weak(ticket.0, rest.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(task),
                Err(now) => ticket = Ticket(now),
            }
        }
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
            let mut pool = Pool::new(threads, &Affinity::System).unwrap();
            for round in 0..2000 {
                let tasks = if round == 7 { 3 * MOST + 1 } else { round % 37 };
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
    fn threads_stay_on_the_cpus_they_are_given() {
        let ran = std::thread::spawn(|| {
            let mut pool = Pool::new(1, &Affinity::Cores).unwrap();
            pool.run(1, &|_, _| ()).unwrap();
            affinity::here()
        });
        assert_eq!(ran.join().unwrap(), Affinity::Cores.place(1));
    }

    #[test]
    fn a_panic_is_an_error_not_a_hang() {
        let mut pool = Pool::new(2, &Affinity::System).unwrap();
        let result = pool.run(8, &|task, _| assert!(task != 5, "task 5"));
        assert!(result.is_err());
    }
}
