//! What can be wrong with a record or a batch.

use crate::bytes::DecodeError;
use crate::fees::FeeError;
use crate::merkle::TreeError;
use crate::payouts::LedgerError;
use crate::spans::SpanFault;
use crate::view::ViewError;
use crate::voucher::SignatureError;
use alloy_primitives::{Address, B256};

/// The outcome of a check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The record or batch is wrong, whoever looks: refuse it, or dispute it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The chain could not be read: try again.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The witness given does not prove what the check needs: nothing is said about the record.
    #[error(transparent)]
    Witness(LedgerError),
    /// A record of the batch is at fault.
    #[error("record {index}: {error}")]
    Record {
        /// Its place in the batch.
        index: usize,
        /// What was found.
        error: Box<CheckError>,
    },
}

impl CheckError {
    /// The fault, in whichever record.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Record { error, .. } => error.fault(),
            Self::View(_) | Self::Witness(_) => None,
        }
    }
}

/// What is wrong with a record or a batch. Each is a refutation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not the protocol's format.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Above `maxRecordBytes`.
    #[error("a record of {got} bytes, {max} are allowed")]
    RecordBytes {
        /// Its length.
        got: usize,
        /// The parameter.
        max: u32,
    },
    /// Written for another chain, agent or batch.
    #[error("{0} is not that of the batch")]
    Place(&'static str),
    /// A privacy mode that version 1 does not have.
    #[error("privacy {0} is reserved")]
    Privacy(u8),
    /// Not strictly after its predecessor by (channel, requestId).
    #[error("out of order or twice in the batch")]
    Order,
    /// An earlier batch holds this request.
    #[error("the request was recorded before")]
    Repeated,
    /// The l2Block is not within maxRecordAge before the commit block.
    #[error("l2Block {block} is outside [{from}, {to})")]
    Age {
        /// The record's block.
        block: u64,
        /// Oldest that may be.
        from: u64,
        /// The commit block.
        to: u64,
    },
    /// A field that must be zero when payments are off.
    #[error("{0} without a channel")]
    Unpaid(&'static str),
    /// No such channel, or one of another agent.
    #[error("channel {0} is not one of the agent's")]
    Channel(B256),
    /// The signature is no signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signed by someone else.
    #[error("signed by {got}, the channel's signer is {want}")]
    Signer {
        /// Recovered.
        got: Address,
        /// The channel's.
        want: Address,
    },
    /// The request's cap is above its voucher's.
    #[error("maxFee {max_fee} above the voucher's {cumulative}")]
    Cap {
        /// The request's cap.
        max_fee: u128,
        /// The voucher's.
        cumulative: u128,
    },
    /// No such model at that block.
    #[error("model {0} did not exist")]
    Model(u64),
    /// The model served was retired at that block.
    #[error("model {0} was retired")]
    Retired(u64),
    /// The adapter is one of another base model.
    #[error("adapter {0} is of another base model")]
    AdapterBase(u64),
    /// A field that the registry fixes.
    #[error("{0} is not what the registry says")]
    Registry(&'static str),
    /// The fee does not follow from tokens and rates.
    #[error("fee {got}, {want} follows from tokens and rates")]
    Fee {
        /// The record's.
        got: u128,
        /// The formula's.
        want: u128,
    },
    /// Above what the payer agreed to.
    #[error("fee {fee} above maxFee {max_fee}")]
    MaxFee {
        /// The fee.
        fee: u128,
        /// The payer's cap.
        max_fee: u128,
    },
    /// The fee cannot be computed or cut.
    #[error(transparent)]
    Arithmetic(#[from] FeeError),
    /// More spans than `maxSpans`.
    #[error("{got} spans, {max} are allowed")]
    TooManySpans {
        /// The record's.
        got: usize,
        /// The parameter.
        max: usize,
    },
    /// A span of a contribution that the pinned epochs do not hold.
    #[error("span {0} cites a contribution outside the pinned epochs")]
    Outside(usize),
    /// A span past the end of its contribution.
    #[error("span {0} reaches past its contribution")]
    PastContribution(usize),
    /// A span list that the trace does not produce.
    #[error(transparent)]
    Spans(#[from] SpanFault),
    /// Shares do not follow from the spans.
    #[error("shares do not follow from the spans")]
    Shares,
    /// The unattributed part does not follow from the spans.
    #[error("unattributedPpb {got}, {want} follows from the spans")]
    Unattributed {
        /// The record's.
        got: u32,
        /// Recomputed.
        want: u32,
    },
    /// Payees do not follow from shares, owners and the payout tree.
    #[error("payees do not follow from shares and owners")]
    Payees,
    /// The step of the payout tree cannot be taken.
    #[error(transparent)]
    Ledger(LedgerError),
    /// A running sum or root that does not follow from the predecessor.
    #[error("{0} does not follow from the predecessor")]
    Running(&'static str),
    /// A sum above 128 bits.
    #[error("{0} overflows")]
    Overflow(&'static str),
    /// A header field that the batch bytes contradict.
    #[error("the header's {0} is not that of the batch")]
    Header(&'static str),
    /// A batch without records.
    #[error("a batch without records")]
    Empty,
    /// More channels than a batch may have.
    #[error("{0} channels in one batch")]
    Channels(usize),
    /// Debits are not one per channel, ascending, with the channel's last sum.
    #[error("debit {0} is not what the records add up to")]
    Debit(usize),
    /// As many signatures as debits.
    #[error("{signatures} signatures for {debits} debits")]
    Signatures {
        /// Given.
        signatures: usize,
        /// Needed.
        debits: usize,
    },
    /// A debit above what voucher or deposit cover.
    #[error("channel {channel}: {spent} taken in all, {covered} covered")]
    Uncovered {
        /// The channel.
        channel: B256,
        /// Settled and this batch.
        spent: u128,
        /// min(cumulative, deposited).
        covered: u128,
    },
    /// The committed totals are not the last record's, or not balanced.
    #[error("totals are not the last record's")]
    Totals,
}

impl From<TreeError> for Fault {
    fn from(_: TreeError) -> Self {
        Self::Header("nRecords")
    }
}
