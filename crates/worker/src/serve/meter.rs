//! Takes an answer as served: traces it, prices it, keeps the record, signs the receipt.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use tributary_api::{Meter, ResolvedModel, SettleError, types::Receipt};
use tributary_engine::{DraftSource, Outcome};
use tributary_index::Pinned;
use tributary_record::{ALGO_ID, Record, Request, Source, Totals, TraceBounds};
use tributary_trace::{Trace, Windows, trace_within};

use super::{channels::Reservation, gate::Shared, quotes::Quotes, receipt, terms::Terms};
use crate::store::Answer;

/// What pays for a request.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) channel: B256,
    pub(super) cumulative: u128,
    pub(super) signature: Bytes,
    /// Held until the answer is in the store, or given up.
    pub(super) reservation: Option<Reservation>,
}

/// One request that passed.
#[derive(Debug)]
pub(super) struct RequestMeter {
    pub(super) shared: Arc<Shared>,
    pub(super) model: ResolvedModel,
    /// `None`: served for nothing by a node without an agent; not recorded.
    pub(super) agent: Option<u64>,
    pub(super) request: Request,
    pub(super) sources: Vec<Source>,
    pub(super) pinned: Vec<Arc<Pinned>>,
    pub(super) bounds: TraceBounds,
    pub(super) terms: Option<Terms>,
    pub(super) payment: Option<Payment>,
}

#[async_trait]
impl Meter for RequestMeter {
    fn request_id(&self) -> B256 {
        self.request.request_id
    }

    fn max_output_tokens(&self) -> Option<u32> {
        self.terms.and_then(|terms| terms.affordable(self.request.n_in, self.request.max_fee))
    }

    fn drafts(&self) -> Option<Arc<dyn DraftSource>> {
        Quotes::of(&self.pinned)
    }

    async fn settle(mut self: Box<Self>, outcome: &Outcome) -> Result<Receipt, SettleError> {
        let traced = self.trace(outcome.tokens.clone()).await?;
        let fee = self.fee(outcome)?;
        let signature = match self.agent {
            Some(_) => Some(self.sign(&outcome.tokens, fee)?),
            None => None,
        };
        if let Some(agent) = self.agent {
            self.keep(self.record(agent, outcome, &traced, fee)).await?;
            // From here on the channel would count the answer twice: as spent, and as its cap.
            if let Some(payment) = &mut self.payment {
                payment.reservation = None;
            }
            self.shared.packed.notify_one();
        }
        crate::metrics::answered(fee);
        Ok(receipt::receipt(&self, outcome, &traced, fee, signature).await)
    }
}

impl RequestMeter {
    async fn trace(&self, output: Vec<u32>) -> Result<Trace, SettleError> {
        let (pinned, bounds) = (self.pinned.clone(), self.bounds);
        let traced = tokio::task::spawn_blocking(move || {
            let windows: Vec<&dyn Windows> = pinned.iter().map(|pinned| &**pinned as &dyn Windows).collect();
            trace_within(&output, &windows, &bounds)
        });
        traced.await.map_err(settle_error)
    }

    fn fee(&self, outcome: &Outcome) -> Result<u128, SettleError> {
        let Some(terms) = self.terms else { return Ok(0) };
        let fee = terms.fee(self.request.n_in, outcome.tokens.len() as u32).map_err(settle_error)?;
        if fee > self.request.max_fee {
            return Err(SettleError(format!("the fee of {fee} wei passes maxFee {}", self.request.max_fee)));
        }
        Ok(fee)
    }

    fn sign(&self, output: &[u32], fee: u128) -> Result<Bytes, SettleError> {
        let digest = tributary_record::receipt_digest(self.request.hash(), output, fee);
        let signature =
            alloy_signer::SignerSync::sign_hash_sync(&self.shared.operator, &digest).map_err(settle_error)?;
        Ok(signature.as_bytes().into())
    }

    fn record(&self, agent: u64, outcome: &Outcome, traced: &Trace, fee: u128) -> Record {
        let local = &self.shared.base.local;
        let payment = self.payment.as_ref();
        Record {
            chain_id: self.shared.registry.chain().chain_id(),
            agent_id: agent,
            batch_seq: 0,
            channel: payment.map_or(B256::ZERO, |payment| payment.channel),
            request_id: self.request.request_id,
            l2_block: self.request.l2_block,
            model_id: self.request.model_id,
            adapter_id: self.request.adapter_id,
            sources: self.sources.clone(),
            tokenizer_hash: local.tokenizer,
            algo_id: ALGO_ID,
            profile_hash: local.profile,
            privacy: self.request.privacy,
            body_hash: self.request.body_hash,
            n_in: self.request.n_in,
            max_fee: self.request.max_fee,
            cumulative: payment.map_or(0, |payment| payment.cumulative),
            signature: payment.map_or_else(Bytes::new, |payment| payment.signature.clone()),
            exec_hash: outcome.exec_hash,
            sampling: outcome.sampling.clone().into(),
            logits_root: outcome.logits_root,
            output: outcome.tokens.clone(),
            fee,
            spans: traced.spans.clone(),
            shares: traced.shares.clone(),
            unattributed_ppb: traced.unattributed_ppb,
            payees: Vec::new(),
            channel_spent: 0,
            totals: Totals::default(),
            payout_root: B256::ZERO,
            n_accounts: 0,
        }
    }

    /// On disk when this returns; before that nothing was acknowledged.
    async fn keep(&self, record: Record) -> Result<(), SettleError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let answered_at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let answer = Answer { record, model: self.model.name.clone(), answered_at };
        let store = self.shared.store.clone();
        tokio::task::spawn_blocking(move || store.put_answer(&answer))
            .await
            .map_err(settle_error)?
            .map_err(settle_error)
    }
}

fn settle_error(error: impl std::fmt::Display) -> SettleError {
    SettleError(error.to_string())
}
