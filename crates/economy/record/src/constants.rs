//! Addresses and bounds that both sides of a batch agree on.

use alloy_primitives::{Address, B256, address, b256};

/// Precompile of datanets, contributions and epochs.
pub const DATANETS: Address = address!("0000000000000000000000000000000000000A01");
/// Precompile of base models, adapters and rates.
pub const MODELS: Address = address!("0000000000000000000000000000000000000A02");
/// Precompile of operators, validators and autonomous agents.
pub const AGENTS: Address = address!("0000000000000000000000000000000000000A03");
/// Precompile of channels, vouchers, the fee split and claims.
pub const SETTLEMENT: Address = address!("0000000000000000000000000000000000000A04");
/// Precompile of batches, availability, finality and disputes.
pub const ATTRIBUTION: Address = address!("0000000000000000000000000000000000000A05");
/// Precompile of governed parameters.
pub const PARAMS: Address = address!("0000000000000000000000000000000000000A06");

/// The attribution algorithm of record version 1: `keccak256("tributary.trace.1")`.
pub const ALGO_ID: B256 = b256!("5618e0ea2223f209b62432d0b50cf9c284a358a3661f45ea3d92c8ad12b0f605");

/// Depth of the trees over contributions and payouts.
pub const DEPTH_WIDE: usize = 32;
/// Depth of the trees over the records of a batch and the chunks of a contribution.
pub const DEPTH_NARROW: usize = 16;
/// Token ids in one chunk of a contribution.
pub const CHUNK_TOKENS: usize = 256;
/// Most tokens of one contribution.
pub const MAX_CONTRIBUTION_TOKENS: u32 = 1 << 24;

/// Most (datanet, epoch) pairs an adapter pins.
pub const MAX_SOURCES: usize = 8;
/// Most channels in one batch.
pub const MAX_CHANNELS: usize = 256;
/// Most payees of one record: the earning contributors and two model owners.
pub const MAX_PAYEES: usize = 34;
/// Most contributions that earn from one record.
pub const MAX_EARNERS: usize = 32;
/// Most spans of one record.
pub const MAX_SPANS: usize = 512;
/// Most bytes of a batch.
pub const MAX_BATCH_BYTES: usize = 120 * 1024;
/// The protocol's ceiling on a record; `Params.maxRecordBytes` may be lower, never higher.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Bounds of a datanet's shortest match.
pub const MIN_MATCH_RANGE: core::ops::RangeInclusive<u32> = 8..=64;

/// Parts in "parts per billion".
pub const BILLION: u32 = 1_000_000_000;
/// Basis points in the whole.
pub const BPS: u32 = 10_000;
