//! One budget for all that serving keeps in memory: weights, pages of keys and values, adapters.
//!
//! ```text
//!                 ┌────────────── Memory: total = weights + pages + adapters + free ──────────────┐
//!  engine thread ─┤ claim a page: free, else whatever was idle longest: own page │ other's adapter │
//!  loads ─────────┤ claim for an adapter: likewise; then ask for pages and wait                   │
//!                 └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Either side takes from the other what nobody uses, oldest first by a common clock. Pages of one sequence as long as the context
//! (the *floor*) are never adapters': so some sequence always gets on, its adapters come free, and no two wait for each other. A load
//! that has waited for its turn has running sequences give way, down to the floor; what it waits for, nobody else is given meanwhile.

use parking_lot::Mutex;
use std::{
    fmt,
    sync::{Arc, Weak},
};
use tokio::sync::Notify;

/// A budget; clones share it.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Told whenever pages were given back.
    freed: Notify,
}

#[derive(Default)]
struct State {
    total: usize,
    weights: usize,
    pages: usize,
    floor: usize,
    adapters: usize,
    /// Which engine's pages they are: one that was left behind counts no more.
    generation: u64,
    /// When the oldest page that nobody holds was left.
    idle_pages: Option<u64>,
    want: Option<Due>,
    /// What the load that waits needs in all: given to nobody else.
    reserved: usize,
    clock: u64,
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
    idle_adapters: Option<Weak<dyn IdleAdapters>>,
}

/// Adapters that nobody uses, as the other side sees them.
pub(crate) trait IdleAdapters: Send + Sync {
    /// When the one was last used that goes next.
    fn oldest(&self) -> Option<u64>;
    /// Bytes that could be had.
    fn bytes(&self) -> usize;
    /// Drops the one that goes next; false if there is none.
    fn drop_oldest(&self) -> bool;
}

/// What a load waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Bytes that pages are to give back.
    pub bytes: usize,
    /// Idle pages older than this go; younger ones are worth more than an adapter that could go instead.
    pub older: u64,
    /// Whether running sequences give way too.
    pub presses: bool,
}

/// Who has how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// The budget.
    pub total: usize,
    /// Weights of the base model.
    pub weights: usize,
    /// Pages of keys and values, in use or kept.
    pub pages: usize,
    /// Adapters.
    pub adapters: usize,
}

/// The budget does not hold the model and one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a memory budget of {total} bytes holds no weights of {weights} bytes and one context of {context} bytes"
)]
pub struct TooSmall {
    /// The budget.
    pub total: usize,
    /// Weights of the base model.
    pub weights: usize,
    /// Pages of one context.
    pub context: usize,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(total: usize) -> Self {
        let state = State { total, ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), freed: Notify::new() }))
    }

    /// Who has how much.
    pub fn stats(&self) -> MemoryStats {
        let State { total, weights, pages, adapters, .. } = *self.0.state.lock();
        MemoryStats { total, weights, pages, adapters }
    }

    /// Begins with a model whose weights and longest sequence have these sizes, and no page of it taken. The pages' side of the budget is
    /// the caller's; who had it before has none.
    pub fn open(&self, weights: usize, context: usize) -> Result<PageBudget, TooSmall> {
        let mut state = self.0.state.lock();
        let total = state.total;
        if weights.checked_add(context).is_none_or(|least| least > total) {
            return Err(TooSmall { total, weights, context });
        }
        state.generation += 1;
        (state.weights, state.floor, state.pages, state.idle_pages) = (weights, context, 0, None);
        Ok(PageBudget { memory: self.clone(), generation: state.generation })
    }

    /// How the engine is told that something is due.
    pub fn on_due(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.0.state.lock().wake = Some(wake);
    }

    pub(crate) fn lend_adapters(&self, idle: Weak<dyn IdleAdapters>) {
        self.0.state.lock().idle_adapters = Some(idle);
    }

    /// The next instant of the common clock.
    pub(crate) fn tick(&self) -> u64 {
        let mut state = self.0.state.lock();
        state.clock += 1;
        state.clock
    }

    /// Bytes that adapters may ever have.
    pub(crate) fn most_adapters(&self) -> usize {
        let state = self.0.state.lock();
        state.total.saturating_sub(state.weights + state.floor)
    }

    /// Takes memory for an adapter, or tells how much is missing.
    pub(crate) fn claim_adapter(&self, bytes: usize) -> Result<(), usize> {
        let mut state = self.0.state.lock();
        let others = state.weights + state.pages.max(state.floor) + state.adapters;
        let free = state.total.saturating_sub(others);
        if bytes > free {
            return Err(bytes - free);
        }
        state.adapters += bytes;
        Ok(())
    }

    pub(crate) fn release_adapter(&self, bytes: usize) {
        let mut state = self.0.state.lock();
        state.adapters = state.adapters.saturating_sub(bytes);
    }

    /// When the oldest page that nobody holds was left.
    pub(crate) fn idle_pages(&self) -> Option<u64> {
        self.0.state.lock().idle_pages
    }

    /// Asks for pages, so that `needed` bytes will be there, or no longer does.
    pub(crate) fn want(&self, want: Option<(Due, usize)>) {
        let mut state = self.0.state.lock();
        let (due, needed) = want.unzip();
        let news = due.is_some() && state.want != due;
        (state.want, state.reserved) = (due, needed.unwrap_or(0));
        let wake = state.wake.clone().filter(|_| news);
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Told whenever pages were given back.
    pub(crate) fn freed(&self) -> &Notify {
        &self.0.freed
    }
}

impl State {
    /// Bytes of pages there may be, given adapters as they are and what a load waits for.
    fn page_limit(&self) -> usize {
        let others = self.weights + self.adapters + self.reserved;
        self.total.saturating_sub(others).max(self.floor)
    }

    fn adapters(&self) -> Option<Arc<dyn IdleAdapters>> {
        self.idle_adapters.as_ref()?.upgrade()
    }
}

/// The pages' side of a budget, one engine's.
#[derive(Clone, Debug)]
pub struct PageBudget {
    memory: Memory,
    generation: u64,
}

/// Where a page's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageClaim {
    /// From the budget.
    Taken,
    /// From the caller's own oldest idle page.
    OwnIdle,
    /// There is none.
    None,
}

impl PageBudget {
    fn with<T>(&self, of_stranger: T, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.memory.0.state.lock();
        if state.generation == self.generation { act(&mut state) } else { of_stranger }
    }

    /// The next instant of the common clock.
    pub fn tick(&self) -> u64 {
        self.memory.tick()
    }

    /// Memory for a page, from whatever was idle longest if none is free. `own`: when the caller's oldest idle page was left.
    pub fn claim(&self, bytes: usize, own: Option<u64>) -> PageClaim {
        loop {
            let claim = |state: &mut State| {
                let fits = state.pages + bytes <= state.page_limit();
                state.pages += if fits { bytes } else { 0 };
                // While a load waits, idle adapters are its own.
                (fits, state.adapters().filter(|_| state.want.is_none()))
            };
            let (fits, adapters) = self.with((false, None), claim);
            if fits {
                return PageClaim::Taken;
            }
            // Asked without the lock: that side locks its own state first, then this one.
            let other = adapters.as_ref().and_then(|adapters| adapters.oldest());
            match (own, other, adapters) {
                (Some(own), other, _) if other.is_none_or(|other| own < other) => return PageClaim::OwnIdle,
                (_, Some(_), Some(adapters)) if adapters.drop_oldest() => {}
                (Some(_), ..) => return PageClaim::OwnIdle,
                (None, ..) => return PageClaim::None,
            }
        }
    }

    /// Bytes that could be claimed.
    pub fn room(&self) -> usize {
        let look =
            |state: &mut State| (state.page_limit(), state.pages, state.want.is_some(), state.adapters());
        let (limit, pages, wanted, adapters) = self.with((0, 0, true, None), look);
        // While a load waits, what adapters leave is its own.
        let idle = adapters.filter(|_| !wanted).map_or(0, |adapters| adapters.bytes());
        (limit + idle).saturating_sub(pages)
    }

    /// Gives memory of pages back.
    pub fn release(&self, bytes: usize) {
        self.with((), |state| {
            state.pages = state.pages.saturating_sub(bytes);
            if let Some(due) = &mut state.want {
                due.bytes = due.bytes.saturating_sub(bytes);
            }
        });
        self.memory.0.freed.notify_waiters();
    }

    /// Tells when the oldest page that nobody holds was left.
    pub fn note_idle(&self, oldest: Option<u64>) {
        let changed = self.with(false, |state| std::mem::replace(&mut state.idle_pages, oldest) != oldest);
        // A load that waits may now ask for them.
        if changed && self.with(false, |state| state.want.is_some()) {
            self.memory.0.freed.notify_waiters();
        }
    }

    /// What has to be given back, if anything.
    pub fn due(&self) -> Option<Due> {
        self.with(None, |state| {
            let due = state.want?;
            Some(Due { bytes: due.bytes.min(state.pages.saturating_sub(state.floor)), ..due })
                .filter(|due| due.bytes > 0)
        })
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
