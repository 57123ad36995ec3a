//! Where the six precompiles live.

use alloy_primitives::{Address, address};

/// Datanets, contributions, epochs.
pub const DATANETS: Address = address!("0x0000000000000000000000000000000000000A01");
/// Base models and adapters.
pub const MODELS: Address = address!("0x0000000000000000000000000000000000000A02");
/// Agents and their stake.
pub const AGENTS: Address = address!("0x0000000000000000000000000000000000000A03");
/// Channels, fees, claims.
pub const SETTLEMENT: Address = address!("0x0000000000000000000000000000000000000A04");
/// Batches, availability, finality.
pub const ATTRIBUTION: Address = address!("0x0000000000000000000000000000000000000A05");
/// Governed parameters.
pub const PARAMS: Address = address!("0x0000000000000000000000000000000000000A06");

/// All six, ascending.
pub const ALL: [Address; 6] = [DATANETS, MODELS, AGENTS, SETTLEMENT, ATTRIBUTION, PARAMS];
