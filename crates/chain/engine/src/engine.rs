//! [`Engine`]: the calls, once they are read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use alloy_rpc_types_engine::{
    ForkchoiceState, ForkchoiceUpdated, PayloadId, PayloadStatus, PayloadStatusEnum,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tributary_builder::PayloadBuilder;
use tributary_spec::{ChainSpec, RecoveredBlock, SealedHeader};
use tributary_tree::{Chain, ForkchoiceStatus, PayloadStatus as ImportStatus};

use crate::{
    EngineError, NewPayload, PayloadEnvelope, Version, attributes, linker::Linker, payload::Sealed,
    version::Method,
};

/// How long a fork choice waits for a head that came in the wrong order and is being executed.
const LINK_PATIENCE: Duration = Duration::from_secs(2);

/// `engine_getClientVersionV1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientVersion {
    /// Two letters.
    pub code: String,
    /// The client's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The first four bytes of the commit it was built from, in hex.
    pub commit: String,
}

/// Drives the chain as a rollup node says. Clones share one. Calls block: run them where that is no harm.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

/// A head that was chosen and cannot be reached yet: blocks beneath it are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The missing block nearest to the head: its descendants are here already.
    pub missing: B256,
    /// Its number, if a child of it is here.
    pub number: Option<u64>,
    /// What was chosen.
    pub state: ForkchoiceState,
}

#[derive(Debug)]
struct Shared {
    builder: PayloadBuilder,
    linker: Linker,
    client: ClientVersion,
    wanted: watch::Sender<Option<Wanted>>,
    /// When the rollup node called last.
    heard: Mutex<Option<Instant>>,
}

impl Engine {
    /// Over the builder and its chain.
    pub fn new(builder: PayloadBuilder, client: ClientVersion) -> Result<Self, EngineError> {
        let linker = Linker::start(builder.chain().clone())?;
        let (wanted, heard) = (watch::Sender::new(None), Mutex::default());
        Ok(Self(Arc::new(Shared { builder, linker, client, wanted, heard })))
    }

    /// What this client calls itself.
    pub fn client(&self) -> &ClientVersion {
        &self.0.client
    }

    /// When the rollup node called last; `None`: never yet.
    pub fn heard(&self) -> Option<Instant> {
        *self.0.heard.lock()
    }

    pub(crate) fn hear(&self) {
        *self.0.heard.lock() = Some(Instant::now());
    }

    /// Builds payloads.
    pub fn builder(&self) -> &PayloadBuilder {
        &self.0.builder
    }

    /// What is driven.
    pub fn chain(&self) -> &Chain {
        self.0.builder.chain()
    }

    /// The head that cannot be reached, for whoever can fetch what is missing. `None` as long as the head is what was chosen last.
    pub fn wanted(&self) -> watch::Receiver<Option<Wanted>> {
        self.0.wanted.subscribe()
    }

    /// A block that was fetched, of so many bytes: executed, or kept until its parent comes.
    pub fn fetched(&self, block: RecoveredBlock, bytes: usize) -> Result<ImportStatus, EngineError> {
        Ok(self.0.linker.import(block, bytes)?)
    }

    /// Tells that a block that was not executed is invalid, and so is what waits for it.
    pub fn reject(&self, hash: B256, latest_valid: B256, reason: &str) {
        self.chain().mark_invalid(hash, latest_valid, reason);
        self.0.linker.arrived(hash);
    }

    /// Chooses again what could not be reached. Labels that are not on that chain are left as they are.
    pub fn resume(&self) -> Result<PayloadStatus, EngineError> {
        let Some(Wanted { state, .. }) = *self.0.wanted.borrow() else {
            return Ok(valid(self.chain().head().hash()));
        };
        self.choose(state, false).or_else(|error| {
            tracing::debug!(target: "engine", %error, "Labels of the head that was fetched not taken over");
            self.choose(
                ForkchoiceState { head_block_hash: state.head_block_hash, ..ForkchoiceState::default() },
                false,
            )
        })
    }

    fn spec(&self) -> &ChainSpec {
        self.chain().spec()
    }

    /// `engine_newPayload`: executes a block. It never moves the head.
    pub fn new_payload(&self, payload: NewPayload) -> Result<PayloadStatus, EngineError> {
        payload.check_version(self.spec())?;
        let (number, hash) = (payload.payload.block_number, payload.payload.block_hash);
        let status = match payload.seal(self.spec()) {
            Ok(sealed) => self.import(sealed)?,
            Err(reason) => {
                tracing::warn!(target: "engine", number, %hash, reason, "Invalid payload");
                invalid(reason, None)
            }
        };
        tracing::debug!(target: "engine", number, %hash, status = status.status.as_str(), "New payload");
        Ok(status)
    }

    fn import(&self, sealed: Sealed) -> Result<PayloadStatus, EngineError> {
        let hash = sealed.header.hash();
        // Also what was built here.
        if self.chain().header_by_hash(hash)?.is_some() {
            return Ok(valid(hash));
        }
        let (header, size) = (sealed.header.clone(), sealed.size());
        let block = match sealed.recover() {
            Ok(block) => block,
            Err(reason) => return self.undecodable(&header, reason),
        };
        Ok(match self.0.linker.import(block, size)? {
            ImportStatus::Valid => valid(hash),
            ImportStatus::Invalid { latest_valid, reason } => invalid(reason, latest_valid),
            ImportStatus::Syncing => PayloadStatus::from_status(PayloadStatusEnum::Syncing),
        })
    }

    /// A block whose hash is right and whose transactions are not is invalid for ever; so are its descendants.
    fn undecodable(&self, header: &SealedHeader, reason: String) -> Result<PayloadStatus, EngineError> {
        let (hash, parent) = (header.hash(), header.parent_hash);
        tracing::warn!(target: "engine", number = header.number, %hash, reason, "Invalid payload");
        if self.chain().header_by_hash(parent)?.is_none() {
            return Ok(invalid(reason, None));
        }
        self.chain().mark_invalid(hash, parent, &reason);
        self.0.linker.arrived(hash);
        Ok(invalid(reason, Some(parent)))
    }

    /// `engine_forkchoiceUpdated`: moves head and labels, then begins a payload if there are attributes.
    pub fn forkchoice_updated(
        &self,
        version: Version,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> Result<ForkchoiceUpdated, EngineError> {
        let status = self.choose(state, attributes.is_some())?;
        let mut answer = ForkchoiceUpdated::new(status);
        tracing::debug!(
            target: "engine",
            head = %state.head_block_hash,
            status = answer.payload_status.status.as_str(),
            attributes = attributes.is_some(),
            "Forkchoice updated"
        );
        if let Some(json) = attributes.filter(|_| answer.is_valid()) {
            answer.payload_id = Some(self.begin(version, state.head_block_hash, json)?);
        }
        Ok(answer)
    }

    /// `builds`: a payload is begun on the head.
    fn choose(&self, state: ForkchoiceState, builds: bool) -> Result<PayloadStatus, EngineError> {
        let asked = state.state_head_hash().ok_or_else(EngineError::zero_head)?;
        let (safe, finalized) = (state.state_safe_hash(), state.state_finalized_hash());
        let head = if builds { asked } else { self.unless_behind(asked, [safe, finalized])? };
        let mut status = self.chain().set_forkchoice(head, safe, finalized)?;
        if status == ForkchoiceStatus::Syncing && self.0.linker.wait_for(head, LINK_PATIENCE)? {
            status = self.chain().set_forkchoice(head, safe, finalized)?;
        }
        self.want(&status, state);
        Ok(match status {
            ForkchoiceStatus::Valid => {
                if let Some(finalized) = self.chain().finalized() {
                    self.0.linker.finalized(finalized.number);
                }
                valid(asked)
            }
            ForkchoiceStatus::Invalid { latest_valid, reason } => invalid(reason, Some(latest_valid)),
            ForkchoiceStatus::Syncing => PayloadStatus::from_status(PayloadStatusEnum::Syncing),
        })
    }

    /// The present head, if the one that was asked for lies beneath it on the same chain. A rollup node that resets names such a head
    /// and then builds the blocks above it anew, most of them as they were: until one differs, nothing is taken back.
    fn unless_behind(&self, asked: B256, labels: [Option<B256>; 2]) -> Result<B256, EngineError> {
        let (chain, head) = (self.chain(), self.chain().head());
        let Some(header) = chain.header_by_hash(asked)? else { return Ok(asked) };
        let number = header.number;
        let beneath = number < head.number && chain.canonical_hash(number)? == Some(asked);
        let final_above = chain.finalized().is_some_and(|finalized| finalized.number > number);
        for label in labels.into_iter().flatten() {
            // Labels above the head are refused, whichever head stays.
            if chain.header_by_hash(label)?.is_some_and(|label| label.number > number) {
                return Ok(asked);
            }
        }
        Ok(if beneath && !final_above { head.hash() } else { asked })
    }

    /// `debug_setHead`: takes blocks back, for an operator who knows better.
    pub fn set_head(&self, number: u64) -> Result<(), EngineError> {
        let hash = self.chain().canonical_hash(number)?;
        let hash = hash.ok_or_else(|| EngineError::Params(format!("block {number} not found")))?;
        tracing::warn!(target: "engine", number, %hash, "Head set by the operator");
        self.chain().set_forkchoice(hash, None, None)?;
        self.0.wanted.send_replace(None);
        Ok(())
    }

    /// Tells whoever fetches blocks which are missing, or that none are.
    fn want(&self, status: &ForkchoiceStatus, state: ForkchoiceState) {
        let wanted = (*status == ForkchoiceStatus::Syncing).then(|| {
            let (missing, number) = self.0.linker.missing(state.head_block_hash);
            Wanted { missing, number, state }
        });
        self.0.wanted.send_if_modified(|present| {
            let changed = *present != wanted;
            *present = wanted;
            changed
        });
    }

    fn begin(&self, version: Version, head: B256, json: Value) -> Result<PayloadId, EngineError> {
        let wire = attributes::parse(json)?;
        attributes::check_version(&wire, version, self.spec())?;
        let id = wire.payload_id(&head, version.byte());
        let attributes = attributes::decode(wire)?;
        let (timestamp, forced) = (attributes.timestamp, attributes.transactions.len());
        self.0.builder.start(id, head, attributes).inspect_err(|error| {
            tracing::warn!(target: "engine", %head, timestamp, %error, "Payload not begun");
        })?;
        tracing::debug!(target: "engine", %id, %head, timestamp, forced, "Payload begun");
        Ok(id)
    }

    /// `engine_getPayload`: the best block of a job so far. It is in the tree then, and need not be executed again.
    pub fn get_payload(&self, version: Version, id: PayloadId) -> Result<PayloadEnvelope, EngineError> {
        let builder = &self.0.builder;
        Method::GetPayload.check(version, self.spec(), builder.timestamp(id)?)?;
        let payload = builder.resolve(id)?;
        let block = &payload.executed.block;
        if let Err(error) = self.chain().insert(Arc::clone(&payload.executed)) {
            // Then it is executed when it comes back.
            tracing::warn!(target: "engine", %id, %error, "Payload not kept");
        }
        self.0.linker.arrived(block.hash());
        tracing::info!(
            target: "engine",
            number = block.number(),
            hash = %block.hash(),
            transactions = block.transactions().len(),
            gas = block.header().gas_used,
            "Block built"
        );
        Ok(PayloadEnvelope::new(version, block, payload.fees))
    }
}

fn valid(hash: B256) -> PayloadStatus {
    PayloadStatus::new(PayloadStatusEnum::Valid, Some(hash))
}

fn invalid(validation_error: String, latest_valid: Option<B256>) -> PayloadStatus {
    PayloadStatus::new(PayloadStatusEnum::Invalid { validation_error }, latest_valid)
}
