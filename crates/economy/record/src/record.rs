//! One answered request, version 1.

use crate::header::Totals;
use crate::ids::Request;
use crate::voucher::Voucher;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

/// The only record version so far.
pub const RECORD_VERSION: u8 = 1;

/// A datanet at the epoch an adapter pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The datanet.
    pub datanet: u64,
    /// Its epoch.
    pub epoch: u64,
}

/// Output tokens that stand in a contribution: output[start..start+len] = tokens[offset..offset+len].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First output token.
    pub start: u32,
    /// Tokens.
    pub len: u32,
    /// The contribution.
    pub contribution: u64,
    /// First token in the contribution.
    pub offset: u32,
}

/// A contribution's part of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The contribution.
    pub contribution: u64,
    /// Parts per billion.
    pub ppb: u32,
}

/// An account credited by a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// Place in the agent's payout tree.
    pub index: u32,
    /// Who is credited.
    pub account: Address,
    /// By how much.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
}

/// Record v1: the fields in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The chain.
    pub chain_id: u64,
    /// The agent that served.
    pub agent_id: u64,
    /// Sequence number of the batch that holds the record.
    pub batch_seq: u64,
    /// The paying channel; zero when payments are off.
    pub channel: B256,
    /// Chosen by the payer, unique in the channel.
    pub request_id: B256,
    /// The block whose rates, owners and parameters apply.
    pub l2_block: u64,
    /// The base model.
    pub model_id: u64,
    /// The adapter, 0 for none.
    pub adapter_id: u64,
    /// What the adapter pins.
    pub sources: Vec<Source>,
    /// The base model's tokenizer.
    pub tokenizer_hash: B256,
    /// The attribution algorithm.
    pub algo_id: B256,
    /// The base model's numeric profile.
    pub profile_hash: B256,
    /// 0: traced and public.
    pub privacy: u8,
    /// Hash of the HTTP body.
    pub body_hash: B256,
    /// Prompt tokens.
    pub n_in: u32,
    /// The most the payer agreed to.
    #[serde(with = "crate::decimal")]
    pub max_fee: u128,
    /// The cap of the record's own voucher.
    #[serde(with = "crate::decimal")]
    pub cumulative: u128,
    /// The payer's signature of that voucher: 65 bytes, or none when channel and fee are zero.
    pub signature: Bytes,
    /// Commitment to everything the execution depends on.
    pub exec_hash: B256,
    /// Sampling parameters and seed; layout by profile.
    pub sampling: Bytes,
    /// Commitment to the logits, zero on the fast tier.
    pub logits_root: B256,
    /// Output token ids, all but the final stop token.
    pub output: Vec<u32>,
    /// What it cost.
    #[serde(with = "crate::decimal")]
    pub fee: u128,
    /// Where output tokens come from, sorted by (start, contribution).
    pub spans: Vec<Span>,
    /// Who earns, ascending by contribution.
    pub shares: Vec<Share>,
    /// What nobody earns.
    pub unattributed_ppb: u32,
    /// Accounts credited, ascending by index.
    pub payees: Vec<Payee>,
    /// Running sum of the channel's fees in this batch.
    #[serde(with = "crate::decimal")]
    pub channel_spent: u128,
    /// Running sums of the batch.
    pub totals: Totals,
    /// The agent's payout tree after this record.
    pub payout_root: B256,
    /// Accounts in that tree.
    pub n_accounts: u32,
}

impl Record {
    /// What the payer signed about the request.
    #[must_use]
    pub const fn request(&self) -> Request {
        Request {
            request_id: self.request_id,
            model_id: self.model_id,
            adapter_id: self.adapter_id,
            l2_block: self.l2_block,
            n_in: self.n_in,
            max_fee: self.max_fee,
            privacy: self.privacy,
            body_hash: self.body_hash,
        }
    }

    /// The record's own voucher.
    #[must_use]
    pub fn voucher(&self) -> Voucher {
        Voucher {
            channel: self.channel,
            cumulative: U256::from(self.cumulative),
            request_hash: self.request().hash(),
        }
    }

    /// What the batch sorts by and what is unique.
    #[must_use]
    pub const fn key(&self) -> (B256, B256) {
        (self.channel, self.request_id)
    }

    /// Hash of the record's bytes.
    ///
    /// # Errors
    /// When a list is above its bound.
    pub fn hash(&self) -> Result<B256, crate::DecodeError> {
        self.encode().map(keccak256)
    }
}
