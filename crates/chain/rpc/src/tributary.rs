//! `tributary_*`: the economy's reads. The node declares them and serves them; who knows the answers is given to it.

use crate::RpcContext;
use alloy_primitives::{Address, B256, U64, U256};
use jsonrpsee::{
    PendingSubscriptionSink,
    core::{RpcResult, SubscriptionResult, async_trait},
    proc_macros::rpc,
    types::ErrorObjectOwned,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;
use tokio::sync::broadcast;

/// Code of a record that the node's archive does not hold.
const NOT_IN_ARCHIVE: i32 = -32001;
/// Code of everything else that is not there or not possible.
const SERVER: i32 = -32000;

/// Why a read has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TributaryError {
    /// Nothing of that name is on the chain.
    #[error("{0} not found")]
    NotFound(String),
    /// The record exists but its bytes are not here; where they are is said.
    #[error("record is not in this node's archive")]
    NotInArchive {
        /// The batch that has it.
        batch_id: B256,
        /// Where the batch was put; empty if it was never dispersed.
        da_commitment: alloy_primitives::Bytes,
    },
    /// No worker runs in this node.
    #[error("no worker runs in this node")]
    NoWorker,
    /// A parameter that says nothing sensible.
    #[error("{0}")]
    InvalidParams(String),
    /// Something that is this node's fault.
    #[error("{0}")]
    Internal(String),
}

impl From<TributaryError> for ErrorObjectOwned {
    fn from(error: TributaryError) -> Self {
        let message = error.to_string();
        match error {
            TributaryError::NotInArchive { batch_id, da_commitment } => {
                let place = serde_json::json!({ "batchId": batch_id, "daCommitment": da_commitment });
                Self::owned(NOT_IN_ARCHIVE, message, Some(place))
            }
            TributaryError::InvalidParams(_) => Self::owned(-32602, message, None::<()>),
            TributaryError::Internal(_) => Self::owned(-32603, message, None::<()>),
            TributaryError::NotFound(_) | TributaryError::NoWorker => {
                Self::owned(SERVER, message, None::<()>)
            }
        }
    }
}

/// What a subscriber can hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TributaryEvents {
    /// Batches that are committed, finalized or voided.
    Batches,
    /// Disputes that are opened or decided.
    Disputes,
}

/// A read of the economy.
#[derive(Clone, Debug, PartialEq)]
pub enum TributaryQuery {
    /// A datanet: owner, epochs, terms, totals.
    Datanet(U256),
    /// A contribution: `datanetId << 32 | leaf index`.
    Contribution(U256),
    /// A base model or an adapter, by id or by name.
    Model(ModelKey),
    /// An agent: owner, operator, stake, totals.
    Agent(U256),
    /// A channel: payer, agent, deposit, spent, state.
    Channel(B256),
    /// A batch: header, DA commitment, status.
    Batch(B256),
    /// A record.
    Record {
        /// Its channel.
        channel: B256,
        /// Its request id.
        request: B256,
    },
    /// Spans, sources, shares, payouts and proofs of one answer.
    Explain {
        /// Its channel.
        channel: B256,
        /// Its request id.
        request: B256,
    },
    /// What an account may claim: agent, seq, index, cumulative, proof.
    Claim(Address),
    /// The economy's parameters in force.
    Params,
    /// What a request would cost: model id, input tokens, output tokens.
    Quote {
        /// Base model or adapter.
        model: ModelKey,
        /// Tokens of the prompt.
        in_tokens: u64,
        /// Tokens of the answer.
        out_tokens: u64,
    },
    /// What the worker in this node is doing.
    WorkerStatus,
}

/// A model by its id or by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelKey {
    /// The id: a quantity.
    Id(U256),
    /// The unique name.
    Name(String),
}

/// Who answers. Answers are JSON as `eth_*` has it: hex quantities, camelCase.
pub trait TributaryApi: Send + Sync + Debug {
    /// Answers a query; may block, as it is never called on a network thread.
    fn read(&self, query: TributaryQuery) -> Result<Value, TributaryError>;

    /// Events as they happen; `None` if nobody tells.
    fn subscribe(&self, events: TributaryEvents) -> Option<broadcast::Receiver<Value>>;
}

/// A node without a worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWorker;

impl TributaryApi for NoWorker {
    fn read(&self, _: TributaryQuery) -> Result<Value, TributaryError> {
        Err(TributaryError::NoWorker)
    }

    fn subscribe(&self, _: TributaryEvents) -> Option<broadcast::Receiver<Value>> {
        None
    }
}

/// The methods and their parameters.
#[rpc(server, client, namespace = "tributary")]
pub trait TributaryRpc {
    /// A datanet.
    #[method(name = "getDatanet")]
    async fn datanet(&self, id: U256) -> RpcResult<Value>;

    /// A contribution.
    #[method(name = "getContribution")]
    async fn contribution(&self, id: U256) -> RpcResult<Value>;

    /// A base model or an adapter, by id or by name.
    #[method(name = "getModel")]
    async fn model(&self, key: ModelKey) -> RpcResult<Value>;

    /// An agent.
    #[method(name = "getAgent")]
    async fn agent(&self, id: U256) -> RpcResult<Value>;

    /// A channel.
    #[method(name = "getChannel")]
    async fn channel(&self, id: B256) -> RpcResult<Value>;

    /// A batch.
    #[method(name = "getBatch")]
    async fn batch(&self, id: B256) -> RpcResult<Value>;

    /// A record; error -32001 with `batchId` and `daCommitment` when the archive lacks it.
    #[method(name = "getRecord")]
    async fn record(&self, channel: B256, request: B256) -> RpcResult<Value>;

    /// Spans, sources, shares, payouts and proofs of one answer.
    #[method(name = "explain")]
    async fn explain(&self, channel: B256, request: B256) -> RpcResult<Value>;

    /// What an account may claim.
    #[method(name = "getClaim")]
    async fn claim(&self, account: Address) -> RpcResult<Value>;

    /// The economy's parameters in force.
    #[method(name = "params")]
    async fn params(&self) -> RpcResult<Value>;

    /// What a request would cost.
    #[method(name = "quote")]
    async fn quote(&self, model: ModelKey, in_tokens: U64, out_tokens: U64) -> RpcResult<Value>;

    /// What the worker in this node is doing.
    #[method(name = "workerStatus")]
    async fn worker_status(&self) -> RpcResult<Value>;

    /// `batches` or `disputes`.
    #[subscription(name = "subscribe" => "subscription", unsubscribe = "unsubscribe", item = Value)]
    async fn news(&self, events: TributaryEvents) -> SubscriptionResult;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct TributaryMethods(pub(crate) RpcContext);

impl TributaryMethods {
    async fn answer(&self, query: TributaryQuery) -> RpcResult<Value> {
        let api = self.0.tributary.clone();
        let answer = self.0.read(move |_| Ok(api.read(query))).await?;
        Ok(answer?)
    }
}

#[async_trait]
impl TributaryRpcServer for TributaryMethods {
    async fn datanet(&self, id: U256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Datanet(id)).await
    }

    async fn contribution(&self, id: U256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Contribution(id)).await
    }

    async fn model(&self, key: ModelKey) -> RpcResult<Value> {
        self.answer(TributaryQuery::Model(key)).await
    }

    async fn agent(&self, id: U256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Agent(id)).await
    }

    async fn channel(&self, id: B256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Channel(id)).await
    }

    async fn batch(&self, id: B256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Batch(id)).await
    }

    async fn record(&self, channel: B256, request: B256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Record { channel, request }).await
    }

    async fn explain(&self, channel: B256, request: B256) -> RpcResult<Value> {
        self.answer(TributaryQuery::Explain { channel, request }).await
    }

    async fn claim(&self, account: Address) -> RpcResult<Value> {
        self.answer(TributaryQuery::Claim(account)).await
    }

    async fn params(&self) -> RpcResult<Value> {
        self.answer(TributaryQuery::Params).await
    }

    async fn quote(&self, model: ModelKey, in_tokens: U64, out_tokens: U64) -> RpcResult<Value> {
        let query = TributaryQuery::Quote { model, in_tokens: in_tokens.to(), out_tokens: out_tokens.to() };
        self.answer(query).await
    }

    async fn worker_status(&self) -> RpcResult<Value> {
        self.answer(TributaryQuery::WorkerStatus).await
    }

    async fn news(&self, pending: PendingSubscriptionSink, events: TributaryEvents) -> SubscriptionResult {
        let Some(news) = self.0.tributary.subscribe(events) else {
            pending.reject(ErrorObjectOwned::from(TributaryError::NoWorker)).await;
            return Ok(());
        };
        self.0.backlog.deliver(pending, news, |event| vec![event.clone()]).await
    }
}
