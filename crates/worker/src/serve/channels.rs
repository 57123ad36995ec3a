//! What each channel has promised and not yet settled.
//!
//! `settled` is the chain's, `spent` is every fee this worker ever recorded (both grow, and every settled wei was spent first), `reserved` are
//! the caps of answers being decoded. A request passes when max(settled, spent) + reserved + maxFee ≤ min(cumulative, deposited).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use alloy_primitives::B256;
use parking_lot::Mutex;

use crate::store::{Store, StoreError};

/// Reservations of all channels.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    store: Store,
    open: Arc<Mutex<HashMap<B256, Open>>>,
}

#[derive(Debug, Default)]
struct Open {
    reserved: u128,
    requests: HashSet<B256>,
}

/// How a channel stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    pub(super) spent: u128,
    pub(super) reserved: u128,
}

/// Why a reservation was not made.
#[derive(Debug)]
pub(super) enum Refused {
    /// The caps do not fit: what would be needed in all.
    Short { needed: u128 },
    /// The request id was used before, or is in use.
    Replayed,
    /// The store.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Channels {
    pub(super) fn new(store: Store) -> Self {
        Self { store, open: Arc::default() }
    }

    /// How a channel stands, `settled` being the chain's figure.
    pub(super) fn standing(&self, channel: B256, settled: u128) -> Result<Standing, StoreError> {
        let spent = self.store.spent(channel)?.max(settled) - settled;
        let reserved = self.open.lock().get(&channel).map_or(0, |open| open.reserved);
        Ok(Standing { spent, reserved })
    }

    /// Reserves a cap under a limit.
    pub(super) fn reserve(
        &self,
        channel: B256,
        request: B256,
        max_fee: u128,
        settled: u128,
        limit: u128,
    ) -> Result<Reservation, Refused> {
        let mut all = self.open.lock();
        if self.store.is_answered(channel, request)? {
            return Err(Refused::Replayed);
        }
        let used = self.store.spent(channel)?.max(settled);
        let open = all.entry(channel).or_default();
        let needed = used.saturating_add(open.reserved).saturating_add(max_fee);
        if needed > limit {
            return Err(Refused::Short { needed });
        }
        if !open.requests.insert(request) {
            return Err(Refused::Replayed);
        }
        open.reserved += max_fee;
        Ok(Reservation { channels: self.clone(), channel, request, max_fee })
    }
}

/// A reserved cap; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    channels: Channels,
    channel: B256,
    request: B256,
    max_fee: u128,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut all = self.channels.open.lock();
        if let Some(open) = all.get_mut(&self.channel) {
            open.reserved = open.reserved.saturating_sub(self.max_fee);
            open.requests.remove(&self.request);
            if open.requests.is_empty() {
                all.remove(&self.channel);
            }
        }
    }
}
