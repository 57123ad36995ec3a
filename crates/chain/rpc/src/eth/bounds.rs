//! How much a filter of logs may name, and how much memory all that are kept may take.

use crate::RpcError;
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{Filter, FilterSet};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Addresses of one filter, as in geth.
const MAX_ADDRESSES: usize = 1_000;

/// Topics in one of a filter's positions, as in geth. There are four positions.
const MAX_TOPICS: usize = 1_000;

/// KiB of all filters that are kept: those that are polled and those of subscriptions together.
const MAX_KEPT: usize = 64 << 10;

/// Memory for filters that outlive the request they came in. Clones share.
#[derive(Clone, Debug)]
pub(crate) struct FilterSpace(Arc<Semaphore>);

/// A filter's place in that memory; dropped, it is free again.
pub(crate) type FilterPlace = OwnedSemaphorePermit;

impl Default for FilterSpace {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_KEPT)))
    }
}

impl FilterSpace {
    /// Finds room for a filter.
    pub(crate) fn place(&self, filter: &Filter) -> Result<FilterPlace, RpcError> {
        let size = u32::try_from(footprint(filter).div_ceil(1024)).unwrap_or(u32::MAX);
        self.0.clone().try_acquire_many_owned(size).map_err(|_| {
            RpcError::LimitExceeded(format!("too many filters: at most {} MiB of them", MAX_KEPT >> 10))
        })
    }
}

/// The filter, if it does not name too much, without the room that its making left over: a list that names one address
/// a hundred thousand times becomes a set of one address with room for all of them.
pub(crate) fn bounded(filter: Filter) -> Result<Filter, RpcError> {
    if filter.address.iter().len() > MAX_ADDRESSES {
        return Err(RpcError::InvalidParams("exceed max addresses".to_owned()));
    }
    if filter.topics.iter().any(|position| position.iter().len() > MAX_TOPICS) {
        return Err(RpcError::InvalidParams("exceed max topics".to_owned()));
    }
    let address: FilterSet<Address> = filter.address.iter().copied().collect();
    let topics = filter.topics.each_ref().map(|position| position.iter().copied().collect());
    Ok(Filter { address, topics, ..filter })
}

/// Bytes that a filter takes. A hash table has a byte of its own for each place, and is between 7/16 and 7/8 full.
fn footprint(filter: &Filter) -> usize {
    let table = |entries: usize, size: usize| entries * (size + 1) * 16 / 7;
    let topics: usize =
        filter.topics.iter().map(|position| table(position.iter().len(), size_of::<B256>())).sum();
    size_of::<Filter>() + table(filter.address.iter().len(), size_of::<Address>()) + topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    fn naming(addresses: u64, topics: u64) -> Filter {
        let addresses: Vec<Address> =
            (0..addresses).map(|n| Address::from_word(U256::from(n).into())).collect();
        let topics: Vec<B256> = (0..topics).map(|n| U256::from(n).into()).collect();
        Filter::new().address(addresses).event_signature(topics.clone()).topic3(topics)
    }

    #[test]
    fn what_is_refused_is_named_as_geth_names_it() {
        let refusal = |filter| bounded(filter).unwrap_err().to_string();
        assert!(bounded(naming(1_000, 1_000)).is_ok());
        assert_eq!(refusal(naming(1_001, 0)), "exceed max addresses");
        assert_eq!(refusal(naming(0, 1_001)), "exceed max topics");
    }

    #[test]
    fn filters_together_take_a_bounded_room_and_give_it_back() {
        let (space, filter) = (FilterSpace::default(), naming(1_000, 1_000));
        let mut places = Vec::new();
        while let Ok(place) = space.place(&filter) {
            places.push(place);
        }
        let taken = places.len() * footprint(&filter);
        assert!(taken <= MAX_KEPT << 10 && taken > MAX_KEPT << 9, "{taken}");
        assert!(space.place(&Filter::new()).is_ok() || places.pop().is_some());
        places.pop();
        assert!(space.place(&filter).is_ok());
    }
}
