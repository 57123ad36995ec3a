#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod abi;
mod bytes;
mod check;
mod codec;
mod constants;
pub mod decimal;
pub mod fees;
mod header;
mod ids;
mod memory;
pub mod merkle;
mod payouts;
mod record;
mod spans;
mod view;
pub mod voucher;

pub use bytes::DecodeError;
pub use check::{
    BatchClaim, BatchPlace, CheckError, Checked, Fault, Prior, RecordContext, Settlement, check_batch,
    check_record, settle,
};
pub use codec::{BatchBytes, MAGIC};
pub use constants::{
    AGENTS, ALGO_ID, ATTRIBUTION, BILLION, BPS, CHUNK_TOKENS, DATANETS, DEPTH_NARROW, DEPTH_WIDE,
    MAX_BATCH_BYTES, MAX_CHANNELS, MAX_CONTRIBUTION_TOKENS, MAX_EARNERS, MAX_PAYEES, MAX_RECORD_BYTES,
    MAX_SOURCES, MAX_SPANS, MIN_MATCH_RANGE, MODELS, PARAMS, SETTLEMENT,
};
pub use header::{Debit, Header, Totals};
pub use ids::{
    Contribution, Request, channel_id, contribution_id, datanet_of, index_of, receipt_digest, token_bytes,
    tokens_from_bytes, tokens_root, tokens_tree,
};
pub use memory::MemoryView;
pub use payouts::{Credit, Ledger, LedgerError, PayoutTree, PayoutWitness};
pub use record::{Payee, RECORD_VERSION, Record, Share, Source, Span};
pub use spans::{Attributed, Placed, SpanFault, TraceBounds, attribute, check_spans};
pub use view::{
    AdapterAt, ChainView, ChannelAt, ContributionAt, EpochAt, ModelAt, ParamsAt, Standing, ViewError,
};
