//! Which parameters there are, what they may be, and what they begin with.

use alloy_primitives::{Address, B256, U256};

/// A parameter: its name, its range, and its first value on a dev chain and on any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamSpec {
    /// The name; its ASCII bytes, left aligned, are the key.
    pub name: &'static str,
    /// The least value.
    pub min: u128,
    /// The greatest value; `None`: an address, any but zero.
    pub max: Option<u128>,
    /// The first value on a dev chain; addresses come with the genesis.
    pub dev: u128,
    /// The first value on any other chain.
    pub live: u128,
}

/// The key of a parameter: its name in ASCII, left aligned.
#[must_use]
pub const fn key_of(name: &str) -> B256 {
    let bytes = name.as_bytes();
    let mut key = [0u8; 32];
    let mut at = 0;
    while at < bytes.len() && at < 32 {
        key[at] = bytes[at];
        at += 1;
    }
    B256::new(key)
}

impl ParamSpec {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> B256 {
        key_of(self.name)
    }

    /// The range as words.
    #[must_use]
    pub fn range(&self) -> (U256, U256) {
        match self.max {
            Some(max) => (U256::from(self.min), U256::from(max)),
            None => (U256::ONE, Address::repeat_byte(0xff).into_word().into()),
        }
    }
}

macro_rules! params {
    ($( $(#[$doc:meta])* $variant:ident $name:literal [$min:expr, $max:expr] dev $dev:expr, live $live:expr; )*) => {
        /// The parameters, as indices into [`PARAMS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Param { $( $(#[$doc])* $variant, )* }

        pub(crate) const ALL: &[Param] = &[ $( Param::$variant, )* ];

        /// Every parameter, in the order of `all()`.
        pub const PARAMS: &[ParamSpec] = &[
            $( ParamSpec { name: $name, min: $min, max: $max, dev: $dev, live: $live }, )*
        ];
    };
}

const GWEI: u128 = 1_000_000_000;
const MILLI: u128 = 1_000_000 * GWEI;
const OPEN: u128 = 1_000 * MILLI;
const MAX_AMOUNT: u128 = (1 << 96) - 1;
const MINUTE: u128 = 60;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

params! {
    /// Who may set parameters.
    Governor "governor" [1, None] dev 0, live 0;
    /// Who gets fees of registration and what nobody earned.
    Treasury "treasury" [1, None] dev 0, live 0;
    /// β: of a net fee, to the model owners.
    Beta "betaBps" [0, Some(10_000)] dev 2_500, live 2_500;
    /// γ: of a net fee, to the stakers.
    Gamma "gammaBps" [0, Some(10_000)] dev 1_500, live 1_500;
    /// δ: of a net fee, to the contributors.
    Delta "deltaBps" [0, Some(10_000)] dev 6_000, live 6_000;
    /// Of β, to the base model's owner when an adapter was used.
    BaseShare "baseShareBps" [0, Some(10_000)] dev 2_000, live 2_000;
    /// Wei per record to the agent's owner.
    PlatformFee "platformFee" [0, Some(MAX_AMOUNT)] dev 1_000 * GWEI, live 1_000 * GWEI;
    /// What a datanet costs.
    DatanetFee "datanetFee" [0, Some(MAX_AMOUNT)] dev MILLI, live OPEN;
    /// What a contributed token costs.
    TokenFee "tokenFee" [0, Some(MAX_AMOUNT)] dev GWEI, live 1_000 * GWEI;
    /// The owner's own stake in an agent.
    MinStake "minStake" [1, Some(MAX_AMOUNT)] dev OPEN, live 1_000 * OPEN;
    /// Bond of an availability challenge.
    BondBase "availabilityBondBase" [0, Some(MAX_AMOUNT)] dev MILLI, live OPEN / 10;
    /// Bond of an availability challenge, for each byte of the batch.
    BondPerByte "availabilityBondPerByte" [0, Some(MAX_AMOUNT)] dev GWEI, live 10_000 * GWEI;
    /// Seconds to reveal a commitment.
    RevealWindow "revealWindow" [1, Some(30 * DAY)] dev 10 * MINUTE, live DAY;
    /// Seconds a batch can be challenged.
    ChallengeWindow "challengeWindow" [1, Some(12 * DAY)] dev 5, live 2 * DAY;
    /// Seconds to answer an availability challenge.
    ResponseWindow "responseWindow" [1, Some(12 * DAY)] dev 5, live DAY;
    /// Seconds left to dispute what was published late.
    DisputeExtension "disputeExtension" [1, Some(12 * DAY)] dev 5, live 2 * DAY;
    /// Seconds validators have to vote.
    VoteWindow "voteWindow" [1, Some(30 * DAY)] dev 5, live 3 * DAY;
    /// Seconds from asking for stake to having it.
    UnstakeCooldown "unstakeCooldown" [1, Some(90 * DAY)] dev 20, live 10 * DAY;
    /// Seconds from asking to close a channel to closing it.
    CloseDelay "closeDelay" [1, Some(90 * DAY)] dev 610, live 3 * DAY;
    /// Blocks a record may be old when its batch is committed.
    MaxRecordAge "maxRecordAge" [1, Some(1_000_000)] dev 600, live 3_600;
    /// Seconds between blocks, at most: what a block counts for where ages meet delays.
    BlockTime "blockTime" [1, Some(MINUTE)] dev 1, live 2;
    /// Bytes of a record.
    MaxRecordBytes "maxRecordBytes" [1_024, Some(65_536)] dev 65_536, live 65_536;
    /// Bytes of a batch.
    MaxBatchBytes "maxBatchBytes" [4_096, Some(122_880)] dev 122_880, live 122_880;
    /// Bytes of a DA commitment.
    MaxDaCommitmentBytes "maxDaCommitmentBytes" [64, Some(8_192)] dev 8_192, live 8_192;
    /// Channels of a batch.
    MaxChannels "maxChannels" [1, Some(256)] dev 256, live 256;
    /// Sources of an adapter.
    MaxSources "maxSources" [1, Some(8)] dev 8, live 8;
    /// Payees of a record.
    MaxPayees "maxPayees" [3, Some(34)] dev 34, live 34;
    /// Spans of a record.
    MaxSpans "maxSpans" [1, Some(512)] dev 512, live 512;
    /// Bytes of a name or a uri.
    MaxTextBytes "maxTextBytes" [64, Some(256)] dev 256, live 256;
    /// Bytes of a peer id.
    MaxPeerIdBytes "maxPeerIdBytes" [1, Some(64)] dev 64, live 64;
}

impl Param {
    pub(crate) fn spec(self) -> &'static ParamSpec {
        &PARAMS[self as usize]
    }
}
