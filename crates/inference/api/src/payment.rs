//! Where payment meets serving: a gate before the first token, a meter after the last.
//!
//! ```text
//! request ─► resolve ─► tokens ─► Gate::authorize ─ refused ─► 402 with the terms
//!                                      │
//!                                    Meter ── max_output_tokens ─► engine ─► Outcome
//!                                      └──────────────── settle ◄──────────────┘ ─► receipt
//! ```
//! A meter that is dropped before it settles gives back what the gate reserved.

use crate::{
    resolve::ResolvedModel,
    types::{PaymentRequired, Receipt},
    voucher::VoucherHeader,
};
use alloy_primitives::B256;
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tributary_engine::{DraftSource, Outcome};

/// What a gate decides about.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The voucher, if the request carries one.
    pub voucher: Option<VoucherHeader>,
    /// What is to answer.
    pub model: ResolvedModel,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of answer at most.
    pub max_tokens: u32,
    /// keccak of the HTTP body.
    pub body_hash: B256,
}

/// Why a gate lets a request not pass.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// Payment is missing, short, or not valid: 402.
    Payment {
        /// For people.
        message: String,
        /// For programs: `voucher_required`, `voucher_invalid`, `voucher_too_low`, `channel_closed`, …
        code: &'static str,
        /// What is asked.
        terms: Box<PaymentRequired>,
    },
    /// The request cannot be paid for at all: 400.
    Invalid(String),
    /// Too much in flight: 429.
    Busy {
        /// For people.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The chain or the agent is not there: 503.
    Unavailable(String),
}

/// Why an answer could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer could not be recorded: {0}")]
pub struct SettleError(pub String);

/// Lets requests pass.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Checks the voucher and reserves its cap, before a token is decoded.
    async fn authorize(&self, ask: Ask) -> Result<Box<dyn Meter>, Refusal>;

    /// Whether a voucher that passes is the payer's own. Where nobody checks them, one says nothing of who asks.
    fn checks_vouchers(&self) -> bool {
        true
    }
}

/// One request that passed.
#[async_trait]
pub trait Meter: Send + Sync {
    /// The request's id: the voucher's, or a fresh one.
    fn request_id(&self) -> B256;

    /// Tokens of answer that the cap pays for; none without a cap.
    fn max_output_tokens(&self) -> Option<u32>;

    /// Texts that the answer may quote: what it is likely to be is looked up there, and checked.
    fn drafts(&self) -> Option<Arc<dyn DraftSource>> {
        None
    }

    /// Takes the answer as served: fee, spans, shares, receipt. Also called when the client left after
    /// tokens had been sent.
    async fn settle(self: Box<Self>, outcome: &Outcome) -> Result<Receipt, SettleError>;
}

/// Serves for nothing and traces nothing: an API without a chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct FreeGate;

#[async_trait]
impl Gate for FreeGate {
    async fn authorize(&self, ask: Ask) -> Result<Box<dyn Meter>, Refusal> {
        let request_id = B256::from(rand::random::<[u8; 32]>());
        Ok(Box::new(FreeMeter { request_id, model: ask.model }))
    }

    fn checks_vouchers(&self) -> bool {
        false
    }
}

struct FreeMeter {
    request_id: B256,
    model: ResolvedModel,
}

#[async_trait]
impl Meter for FreeMeter {
    fn request_id(&self) -> B256 {
        self.request_id
    }

    fn max_output_tokens(&self) -> Option<u32> {
        None
    }

    async fn settle(self: Box<Self>, outcome: &Outcome) -> Result<Receipt, SettleError> {
        Ok(Receipt {
            request_id: self.request_id,
            model_id: self.model.model_id,
            adapter_id: self.model.adapter_id,
            in_tokens: outcome.prompt_tokens,
            out_tokens: outcome.tokens.len() as u32,
            output: outcome.tokens.clone(),
            unattributed_ppb: 1_000_000_000,
            exec_hash: outcome.exec_hash,
            logits_root: outcome.logits_root,
            sampling: outcome.sampling.clone().into(),
            ..Receipt::default()
        })
    }
}
