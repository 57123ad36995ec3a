//! Filters that are polled.

use crate::{
    RpcContext, RpcError, RpcTransaction,
    blocking::Lane,
    eth::{
        EthFilterApiServer,
        arrivals::Arrivals,
        bounds::{FilterPlace, FilterSpace, bounded},
        logs::matching_logs,
    },
};
use alloy_consensus::BlockHeader;
use alloy_eips::{BlockId, BlockNumHash};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, FilterChanges, FilterId, Log};
use jsonrpsee::core::{RpcResult, async_trait};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tributary_spec::RecoveredBlock;

/// Filters at the same time.
const MAX_FILTERS: usize = 10_000;

/// How far back a poll follows a chain that is no longer canonical.
const MAX_REORG: usize = 64;

/// The installed filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    installed: Mutex<HashMap<FilterId, Arc<Mutex<Installed>>>>,
    /// Where filters of logs are kept.
    pub(crate) space: FilterSpace,
    /// What filters of pending transactions tell.
    arrivals: Arrivals,
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    polled: Instant,
}

#[derive(Debug)]
enum Kind {
    Logs {
        filter: Box<Filter>,
        /// What was told: up to this block.
        told: BlockNumHash,
        _place: FilterPlace,
    },
    /// What was told: up to this block.
    Blocks(BlockNumHash),
    Pending {
        full: bool,
        /// How many arrivals were told.
        told: u64,
    },
}

/// What happened to the chain since a filter was polled.
struct Moves {
    /// Blocks that left it, latest first.
    left: Vec<Arc<RecoveredBlock>>,
    /// Blocks that came, in order.
    came: Vec<Arc<RecoveredBlock>>,
    head: BlockNumHash,
}

impl RpcContext {
    fn head_id(&self) -> BlockNumHash {
        let head = self.chain.head();
        BlockNumHash::new(head.number(), head.hash())
    }

    fn install(&self, kind: impl FnOnce() -> Result<Kind, RpcError>) -> Result<FilterId, RpcError> {
        let mut filters = self.filters.installed.lock();
        let ttl = self.config.stale_filter_ttl;
        filters.retain(|_, filter| filter.try_lock().is_none_or(|filter| filter.polled.elapsed() < ttl));
        if filters.len() >= MAX_FILTERS {
            return Err(RpcError::LimitExceeded(format!("too many filters: at most {MAX_FILTERS}")));
        }
        let id = FilterId::Str(format!("0x{:032x}", rand::random::<u128>()));
        let filter = Installed { kind: kind()?, polled: Instant::now() };
        filters.insert(id.clone(), Arc::new(Mutex::new(filter)));
        Ok(id)
    }

    fn installed(&self, id: &FilterId) -> Result<Arc<Mutex<Installed>>, RpcError> {
        let filter = self.filters.installed.lock().get(id).cloned().ok_or(RpcError::FilterNotFound)?;
        let stale = filter.lock().polled.elapsed() >= self.config.stale_filter_ttl;
        if stale { Err(RpcError::FilterNotFound) } else { Ok(filter) }
    }

    /// Where a poll of this filter belongs: one that is at work for somebody else may be one of logs.
    fn lane_of(&self, id: &FilterId) -> Result<Lane, RpcError> {
        let filters = self.filters.installed.lock();
        let filter = filters.get(id).ok_or(RpcError::FilterNotFound)?;
        let of_logs = filter.try_lock().is_none_or(|filter| matches!(filter.kind, Kind::Logs { .. }));
        Ok(if of_logs { Lane::Logs } else { Lane::Read })
    }

    fn poll(&self, id: &FilterId) -> Result<FilterChanges<RpcTransaction>, RpcError> {
        let filter = self.installed(id)?;
        let mut filter = filter.lock();
        filter.polled = Instant::now();
        match &mut filter.kind {
            Kind::Blocks(told) => {
                let moves = self.moves(*told)?;
                *told = moves.head;
                Ok(FilterChanges::Hashes(moves.came.iter().map(|block| block.hash()).collect()))
            }
            Kind::Logs { filter, told, .. } => {
                let moves = self.moves(*told)?;
                let logs = self.logs_of_moves(filter, &moves)?;
                *told = moves.head;
                Ok(FilterChanges::Logs(logs))
            }
            Kind::Pending { full, told } => {
                let (hashes, count) = self.filters.arrivals.after(*told);
                let changes = if *full {
                    let known = hashes.into_iter().filter_map(|hash| self.rpc_transaction(hash).transpose());
                    FilterChanges::Transactions(known.collect::<Result<_, _>>()?)
                } else {
                    FilterChanges::Hashes(hashes)
                };
                *told = count;
                Ok(changes)
            }
        }
    }

    /// The way from a block that was told of to the head.
    fn moves(&self, told: BlockNumHash) -> Result<Moves, RpcError> {
        let mut left = Vec::new();
        let mut at = told;
        while self.canonical_hash(at.number)? != Some(at.hash) && left.len() < MAX_REORG {
            let Some(block) = self.block(BlockId::hash(at.hash))? else { break };
            at = BlockNumHash::new(at.number.saturating_sub(1), block.parent_hash());
            left.push(block);
        }
        let head = self.chain.head();
        let most = self.config.max_blocks_per_filter;
        if most > 0 && head.number().saturating_sub(at.number) > most {
            return Err(RpcError::InvalidParams(format!("query exceeds max block range {most}")));
        }
        let mut came = Vec::new();
        for number in at.number + 1..=head.number() {
            match self.block(BlockId::number(number))? {
                Some(block) => came.push(block),
                None => break,
            }
        }
        let head = came.last().map_or(at, |block| BlockNumHash::new(block.number(), block.hash()));
        Ok(Moves { left, came, head })
    }

    fn logs_of_moves(&self, filter: &Filter, moves: &Moves) -> Result<Vec<Log>, RpcError> {
        // A clone: what a filter remembers of its comparisons takes more room than the filter.
        let anywhere = Filter { block_option: FilterBlockOption::default(), ..filter.clone() };
        let mut logs = Vec::new();
        for (block, removed) in
            moves.left.iter().map(|block| (block, true)).chain(moves.came.iter().map(|block| (block, false)))
        {
            if !in_range(filter, block.number()) || !anywhere.matches_bloom(block.header().logs_bloom()) {
                continue;
            }
            let receipts = self.receipts(block.hash())?.unwrap_or_default();
            logs.extend(matching_logs(&anywhere, block.header(), block.transactions(), &receipts, removed));
        }
        Ok(logs)
    }
}

/// Whether the filter's range has the block; labels mean "as it goes on".
fn in_range(filter: &Filter, number: u64) -> bool {
    let (from, to) = filter.extract_block_range();
    from.is_none_or(|from| number >= from) && to.is_none_or(|to| number <= to)
}

/// The methods.
#[derive(Debug)]
pub(crate) struct FilterMethods(pub(crate) RpcContext);

#[async_trait]
impl EthFilterApiServer for FilterMethods {
    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>> {
        let filter = bounded(filter)?;
        self.0.run(Lane::Logs, move |context| context.logs(&filter)).await
    }

    async fn new_filter(&self, filter: Filter) -> RpcResult<FilterId> {
        let filter = Box::new(bounded(filter)?);
        Ok(self.0.install(|| {
            let place = self.0.filters.space.place(&filter)?;
            Ok(Kind::Logs { filter, told: self.0.head_id(), _place: place })
        })?)
    }

    async fn new_block_filter(&self) -> RpcResult<FilterId> {
        Ok(self.0.install(|| Ok(Kind::Blocks(self.0.head_id())))?)
    }

    async fn new_pending_transaction_filter(&self, full: Option<bool>) -> RpcResult<FilterId> {
        let told = self.0.filters.arrivals.count(&self.0.pool);
        Ok(self.0.install(|| Ok(Kind::Pending { full: full.unwrap_or_default(), told }))?)
    }

    async fn filter_changes(&self, id: FilterId) -> RpcResult<FilterChanges<RpcTransaction>> {
        let lane = self.0.lane_of(&id)?;
        self.0.run(lane, move |context| context.poll(&id)).await
    }

    async fn filter_logs(&self, id: FilterId) -> RpcResult<Vec<Log>> {
        self.0
            .run(Lane::Logs, move |context| {
                let filter = context.installed(&id)?;
                let filter = match &mut *filter.lock() {
                    Installed { kind: Kind::Logs { filter, .. }, polled } => {
                        *polled = Instant::now();
                        filter.clone()
                    }
                    _ => return Err(RpcError::FilterNotFound),
                };
                context.logs(&filter)
            })
            .await
    }

    async fn uninstall_filter(&self, id: FilterId) -> RpcResult<bool> {
        Ok(self.0.filters.installed.lock().remove(&id).is_some())
    }
}
