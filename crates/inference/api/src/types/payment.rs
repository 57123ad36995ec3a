use alloy_primitives::{Address, B256, Bytes, U128, U256};
use serde::{Deserialize, Serialize};

/// What a payer has to know to sign a voucher: the fields of a 402 body, beside `error`. Amounts in wei, as
/// hex quantities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// The channel the voucher named, if it names one that exists.
    pub channel: Option<B256>,
    /// The agent that serves.
    pub agent_id: u64,
    /// Chain of the EIP-712 domain.
    pub chain_id: u64,
    /// The base model on chain, to be signed.
    pub model_id: u64,
    /// The adapter on chain, 0 for none, to be signed.
    pub adapter_id: u64,
    /// Settled on chain.
    pub settled: U128,
    /// Served since, not settled yet.
    pub spent: U128,
    /// Caps of requests in flight.
    pub reserved: U128,
    /// What the channel holds in all.
    pub deposit: U128,
    /// Tokens of the prompt.
    pub n_in: u32,
    /// A cap that the whole answer fits.
    pub max_fee: U128,
    /// The least `cumulative` that is accepted with that cap.
    pub cumulative: U256,
    /// Wei per 1,000 tokens of prompt.
    pub in_rate: U128,
    /// Wei per 1,000 tokens of answer.
    pub out_rate: U128,
    /// Wei per request.
    pub platform_fee: U128,
    /// The block whose rates these are, to be signed.
    pub l2_block: u64,
}

/// The `tributary` field of a reply: what was paid, for which data, under whose signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Receipt {
    /// The request's id in its channel.
    pub request_id: B256,
    /// The channel that pays; zero without payment.
    pub channel: B256,
    /// The agent that served.
    pub agent_id: u64,
    /// The base model on chain.
    pub model_id: u64,
    /// The adapter on chain, 0 for none.
    pub adapter_id: u64,
    /// The block whose rates, owners and parameters apply.
    pub l2_block: u64,
    /// Tokens of the prompt.
    pub in_tokens: u32,
    /// Tokens of the answer.
    pub out_tokens: u32,
    /// The answer's tokens: what the receipt's signature and every span refer to.
    pub output: Vec<u32>,
    /// Wei.
    pub fee: U128,
    /// Where runs of the answer come from.
    pub spans: Vec<SpanView>,
    /// Who gets which part.
    pub shares: Vec<ShareView>,
    /// Billionths of the contributors' part that nobody's data accounts for.
    pub unattributed_ppb: u32,
    /// The numeric profile that the answer was computed in; who checks it has to compute in the same.
    #[serde(skip_serializing_if = "B256::is_zero")]
    pub profile_hash: B256,
    /// Hash of everything that went into the answer.
    pub exec_hash: B256,
    /// Head of the hash chain over its tokens.
    pub logits_root: B256,
    /// How its tokens were chosen, the seed included: the record's sampling bytes.
    pub sampling: Bytes,
    /// What the voucher signed.
    pub request_hash: B256,
    /// The operator's signature of this receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Bytes>,
}

/// A run of the answer and its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpanView {
    /// First token of the answer.
    pub start: u32,
    /// Tokens.
    pub len: u32,
    /// The contribution.
    pub contribution_id: u64,
    /// First token of the contribution.
    pub offset: u32,
    /// The words, from the answer.
    pub text: String,
    /// Where the words begin in the contribution's text, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_start: Option<u64>,
    /// Where they end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_end: Option<u64>,
    /// The contribution's own uri or title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A contribution's part of the fee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShareView {
    /// The contribution.
    pub contribution_id: u64,
    /// Who put it on chain.
    pub contributor: Address,
    /// Billionths of the contributors' part.
    pub ppb: u32,
    /// Wei.
    pub amount: U128,
}
