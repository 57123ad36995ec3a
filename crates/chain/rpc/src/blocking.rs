//! Work that would stall the network threads goes to threads of its own, in lanes that cannot crowd each other out.

use crate::{EthConfig, RpcContext, RpcError};
use jsonrpsee::{core::RpcResult, types::ErrorObjectOwned};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Reads that run at the same time.
const READS: usize = 64;

/// What kind of work it is.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
    /// A look into the store or the pool.
    Read,
    /// A search for logs: through many blocks, it may be, and with no clock.
    Logs,
    /// A run of the EVM, bounded by the gas cap and by the clock.
    Call,
    /// A run of the EVM that records what it does.
    Trace,
}

/// How much of each runs at the same time.
#[derive(Debug)]
pub(crate) struct Lanes {
    reads: Arc<Semaphore>,
    logs: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    traces: Arc<Semaphore>,
    call_timeout: Option<Duration>,
}

impl Lanes {
    pub(crate) fn new(config: &EthConfig) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.max(1)));
        Self {
            reads: semaphore(READS),
            logs: semaphore(config.max_concurrent_log_queries),
            calls: semaphore(config.max_concurrent_calls),
            traces: semaphore(config.max_tracing_requests),
            call_timeout: Some(config.evm_timeout).filter(|timeout| !timeout.is_zero()),
        }
    }
}

impl RpcContext {
    /// Runs `work` on a thread that may block, when its lane has room.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> RpcResult<T> {
        self.run_inner(lane, work).await.map_err(ErrorObjectOwned::from)
    }

    async fn run_inner<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let (semaphore, timeout) = match lane {
            Lane::Read => (&self.lanes.reads, None),
            Lane::Logs => (&self.lanes.logs, None),
            Lane::Call => (&self.lanes.calls, self.lanes.call_timeout),
            Lane::Trace => (&self.lanes.traces, None),
        };
        let (context, semaphore) = (self.clone(), semaphore.clone());
        let task = async move {
            let permit = semaphore.acquire_owned().await.map_err(RpcError::internal)?;
            tokio::task::spawn_blocking(move || {
                let result = work(&context);
                drop(permit);
                result
            })
            .await
            .map_err(RpcError::internal)?
        };
        match timeout {
            Some(limit) => tokio::time::timeout(limit, task).await.unwrap_or(Err(RpcError::Timeout(limit))),
            None => task.await,
        }
    }

    /// A read whose error is looked at here.
    pub(crate) async fn read_inner<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        self.run_inner(Lane::Read, work).await
    }

    /// [`run`](Self::run) for reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> RpcResult<T> {
        self.run(Lane::Read, work).await
    }
}
