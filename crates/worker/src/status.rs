//! What `tributary_workerStatus` tells.

use std::sync::Arc;

use alloy_primitives::{Address, U64};
use serde_json::{Value, json};
use tributary_engine::Engine;

use crate::{
    chain::{ChainError, Registry},
    serve::{BaseModel, PaymentPolicy},
    store::Store,
};

/// The worker's own condition.
#[derive(Debug)]
pub struct Status {
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) base: Arc<BaseModel>,
    pub(crate) engine: Engine,
    pub(crate) da: String,
    pub(crate) operator: Address,
    pub(crate) policy: PaymentPolicy,
    pub(crate) api: String,
}

impl Status {
    /// As JSON.
    pub(crate) fn to_json(&self) -> Result<Value, ChainError> {
        let local = &self.base.local;
        let agent = self.registry.agent_of_operator(self.operator)?;
        let unreadable = |error: crate::store::StoreError| ChainError::Unavailable(error.to_string());
        let pending = self.store.pending().map_err(unreadable)?.len();
        let open = self.store.open_batches().map_err(unreadable)?.len();
        let last = match &agent {
            Some(agent) => self.store.last_batch(agent.id).map_err(unreadable)?,
            None => None,
        };
        let backends: Vec<String> = self.engine.infos().iter().map(|info| info.backend.clone()).collect();
        Ok(json!({
            "operator": self.operator,
            "agentId": agent.map(|agent| U64::from(agent.id)),
            "payments": if self.policy == PaymentPolicy::Required { "required" } else { "off" },
            "api": self.api,
            "model": {
                "name": local.name,
                "id": self.base.id()?.map(U64::from),
                "weightsHash": local.weights,
                "tokenizerHash": local.tokenizer,
                "profileHash": local.profile,
            },
            "engine": format!("{:?}", self.engine.status()),
            "backend": (!backends.is_empty()).then(|| backends.join(", ")),
            "requests": U64::from(self.engine.requests()),
            "da": self.da,
            "pendingRecords": U64::from(pending),
            "openBatches": U64::from(open),
            "batches": U64::from(last.map_or(0, |last| last.header.seq)),
        }))
    }
}
