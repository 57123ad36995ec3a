//! Where Solidity puts the state of the reference contracts in `contracts/reference`.
//!
//! A test compares every line with the storage layout that `forge` reports for them.

/// A field as Solidity lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutEntry {
    /// The contract, or `Contract.Struct`.
    pub owner: &'static str,
    /// The variable's or member's name.
    pub label: &'static str,
    /// The slot, counted from the beginning of the contract or struct.
    pub slot: u64,
    /// The first byte in the slot, counted from the lowest.
    pub offset: usize,
    /// The size in bytes.
    pub bytes: usize,
}

macro_rules! layout {
    ($( $module:ident = $owner:literal { $( $name:ident = $label:literal @ $slot:literal, $offset:literal, $bytes:literal; )* } )*) => {
        $(
            pub(crate) mod $module {
                use crate::storage::Field;
                $( pub(crate) const $name: Field = Field::new($slot, $offset, $bytes); )*
            }
        )*
        /// Every field of every reference contract.
        pub const LAYOUT: &[LayoutEntry] = &[
            $( $( LayoutEntry { owner: $owner, label: $label, slot: $slot, offset: $offset, bytes: $bytes }, )* )*
        ];
    };
}

layout! {
    params = "Params" {
        HISTORY = "history" @ 0, 0, 32;
    }

    datanets = "Datanets" {
        COUNT = "count" @ 0, 0, 8;
        DATANETS = "datanets" @ 1, 0, 32;
        CONTRIBUTIONS = "contributions" @ 2, 0, 32;
        COMMITMENTS = "commitments" @ 3, 0, 32;
    }
    datanet = "Datanets.Datanet" {
        OWNER = "owner" @ 0, 0, 20;
        MIN_MATCH = "minMatch" @ 0, 20, 4;
        CONTRIBUTIONS = "contributions" @ 0, 24, 4;
        CHANGED = "changed" @ 0, 28, 1;
        EPOCHS = "epochs" @ 1, 0, 8;
        LIVE_TOKENS = "liveTokens" @ 1, 8, 8;
        TOKENIZER_HASH = "tokenizerHash" @ 2, 0, 32;
        NAME = "name" @ 3, 0, 32;
        URI = "uri" @ 4, 0, 32;
        FRONTIER = "frontier" @ 5, 0, 1024;
        SEALED = "sealedEpochs" @ 37, 0, 32;
    }
    epoch = "Datanets.Epoch" {
        ROOT = "root" @ 0, 0, 32;
        COUNT = "count" @ 1, 0, 4;
        TOKENS = "tokens" @ 1, 4, 8;
        SEALED_BLOCK = "sealedBlock" @ 1, 12, 8;
    }
    contribution = "Datanets.Contribution" {
        CONTRIBUTOR = "contributor" @ 0, 0, 20;
        COMMIT_BLOCK = "commitBlock" @ 0, 20, 8;
        TOKENS = "tokens" @ 0, 28, 4;
        CONTENT_HASH = "contentHash" @ 1, 0, 32;
        TOKENS_ROOT = "tokensRoot" @ 2, 0, 32;
        FIRST_EPOCH = "firstEpoch" @ 3, 0, 8;
        REMOVED_EPOCH = "removedEpoch" @ 3, 8, 8;
        REJECTED = "rejected" @ 3, 16, 1;
        URI = "uri" @ 4, 0, 32;
    }
    commitment = "Datanets.Commitment" {
        BLOCK_NUMBER = "blockNumber" @ 0, 0, 8;
        TIMESTAMP = "timestamp" @ 0, 8, 8;
        CONTRIBUTION_ID = "contributionId" @ 0, 16, 8;
    }

    models = "Models" {
        COUNT = "count" @ 0, 0, 8;
        MODELS = "models" @ 1, 0, 32;
        BY_NAME = "byName" @ 2, 0, 32;
        BY_ARTIFACT = "byArtifact" @ 3, 0, 32;
    }
    model = "Models.Model" {
        BASE_ID = "baseId" @ 0, 0, 8;
        REGISTERED_BLOCK = "registeredBlock" @ 0, 8, 8;
        RETIRED_FROM = "retiredFrom" @ 0, 16, 8;
        RANK = "rank" @ 0, 24, 4;
        PENDING_OWNER = "pendingOwner" @ 1, 0, 20;
        HASH = "hash" @ 2, 0, 32;
        TOKENIZER_HASH = "tokenizerHash" @ 3, 0, 32;
        PROFILE_HASH = "profileHash" @ 4, 0, 32;
        NAME = "name" @ 5, 0, 32;
        URI = "uri" @ 6, 0, 32;
        SOURCES = "sources" @ 7, 0, 32;
        RATES = "rates" @ 8, 0, 32;
        OWNERS = "owners" @ 9, 0, 32;
    }
    source = "Models.Source" {
        DATANET_ID = "datanetId" @ 0, 0, 8;
        EPOCH = "epoch" @ 0, 8, 8;
    }

    agents = "Agents" {
        COUNT = "count" @ 0, 0, 8;
        AGENTS = "agents" @ 1, 0, 32;
        POSITIONS = "positions" @ 2, 0, 32;
    }
    agent = "Agents.Agent" {
        OWNER = "owner" @ 0, 0, 20;
        KIND = "kind" @ 0, 20, 1;
        SLASHED = "slashed" @ 0, 21, 1;
        REGISTERED_BLOCK = "registeredBlock" @ 0, 22, 8;
        RETIRED_FROM = "retiredFrom" @ 1, 0, 8;
        HEAD = "head" @ 1, 8, 8;
        REWARD = "reward" @ 1, 16, 16;
        ASSETS = "assets" @ 2, 0, 16;
        SHARES = "shares" @ 2, 16, 16;
        EARNING_SHARES = "earningShares" @ 3, 0, 16;
        UNPAID = "unpaid" @ 3, 16, 16;
        PER_SHARE = "perShare" @ 4, 0, 32;
        CARRY = "carry" @ 5, 0, 32;
        CHALLENGER = "challenger" @ 6, 0, 20;
        CHALLENGED_SEQ = "challengedSeq" @ 6, 20, 8;
        URI = "uri" @ 7, 0, 32;
        PEER_ID = "peerId" @ 8, 0, 32;
        OPERATORS = "operators" @ 9, 0, 32;
        BUCKETS = "buckets" @ 10, 0, 32;
    }
    bucket = "Agents.Bucket" {
        EARNS_FROM = "earnsFrom" @ 0, 0, 8;
        SHARES = "shares" @ 0, 8, 16;
        PER_SHARE = "perShare" @ 1, 0, 32;
    }
    position = "Agents.Position" {
        SHARES = "shares" @ 0, 0, 16;
        EARNING = "earning" @ 0, 16, 16;
        UNSTAKING = "unstaking" @ 1, 0, 16;
        READY_AT = "readyAt" @ 1, 16, 8;
        HEAD = "head" @ 1, 24, 8;
        PER_SHARE = "perShare" @ 2, 0, 32;
        EARNED = "earned" @ 3, 0, 32;
        WAITING = "waiting" @ 4, 0, 32;
    }
    waiting = "Agents.Waiting" {
        BUCKET = "bucket" @ 0, 0, 8;
        SHARES = "shares" @ 0, 8, 16;
    }

    settlement = "Settlement" {
        CHANNELS = "channels" @ 0, 0, 32;
        CHANNEL_COUNTS = "channelCounts" @ 1, 0, 32;
        LEDGERS = "ledgers" @ 2, 0, 32;
        CLAIMED = "claimed" @ 3, 0, 32;
    }
    channel = "Settlement.Channel" {
        SIGNER = "signer" @ 0, 0, 20;
        AGENT_ID = "agentId" @ 0, 20, 8;
        STATUS = "status" @ 0, 28, 1;
        PAYER = "payer" @ 1, 0, 20;
        CLOSE_AT = "closeAt" @ 1, 20, 8;
        DEPOSITED = "deposited" @ 2, 0, 16;
        SETTLED = "settled" @ 2, 16, 16;
    }
    ledger = "Settlement.Ledger" {
        CREDITED = "credited" @ 0, 0, 16;
        CLAIMED = "claimed" @ 0, 16, 16;
    }

    attribution = "Attribution" {
        BATCHES = "batches" @ 0, 0, 32;
        CHAINS = "chains" @ 1, 0, 32;
        BATCH_IDS = "batchIds" @ 2, 0, 32;
    }
    chain = "Attribution.Chain" {
        LAST_SEQ = "lastSeq" @ 0, 0, 8;
        FINAL_SEQ = "finalSeq" @ 0, 8, 8;
        VOID_FROM = "voidFrom" @ 0, 16, 8;
        LAST_BATCH = "lastBatch" @ 1, 0, 32;
    }
    batch = "Attribution.Batch" {
        AGENT_ID = "agentId" @ 0, 0, 8;
        SEQ = "seq" @ 0, 8, 8;
        DEADLINE = "deadline" @ 0, 16, 8;
        COMMIT_BLOCK = "commitBlock" @ 0, 24, 8;
        COMMITTED_AT = "committedAt" @ 1, 0, 8;
        N_BYTES = "nBytes" @ 1, 8, 4;
        N_RECORDS = "nRecords" @ 1, 12, 4;
        N_ACCOUNTS = "nAccounts" @ 1, 16, 4;
        RESPONSE_WINDOW = "responseWindow" @ 1, 20, 4;
        DISPUTE_EXTENSION = "disputeExtension" @ 1, 24, 4;
        FINAL = "isFinal" @ 1, 28, 1;
        REFUNDED = "refunded" @ 1, 29, 1;
        BATCH_HASH = "batchHash" @ 2, 0, 32;
        RECORDS_ROOT = "recordsRoot" @ 3, 0, 32;
        PAYOUT_ROOT = "payoutRoot" @ 4, 0, 32;
        DA_HASH = "daHash" @ 5, 0, 32;
        DEBITS_HASH = "debitsHash" @ 6, 0, 32;
        PLATFORM = "platform" @ 7, 0, 16;
        MODEL = "model" @ 7, 16, 16;
        STAKERS = "stakers" @ 8, 0, 16;
        CONTRIBUTORS = "contributors" @ 8, 16, 16;
        TREASURY = "treasury" @ 9, 0, 16;
        BOND = "bond" @ 9, 16, 16;
        CHALLENGER = "challenger" @ 10, 0, 20;
        RESPOND_BY = "respondBy" @ 10, 20, 8;
        PUBLISHED = "published" @ 10, 28, 4;
        PUBLISHED_BYTES = "publishedBytes" @ 11, 0, 4;
    }
}
