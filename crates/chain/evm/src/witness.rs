//! Witnesses: what it takes to execute a block where there is no state.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes, Sealable, keccak256};
use alloy_rlp::Decodable;
use serde::{Deserialize, Serialize};
use tributary_spec::{Header, RecoveredBlock, SealedHeader};
use tributary_state::{Record, Recorder, StateError, StateRef, WitnessError, WitnessState, collect_nodes};

use crate::{BuildAttributes, BuildError, ExecutedBlock, Executor, ImportError};

/// `BLOCKHASH` reaches this far back, and so do a witness's headers.
const MAX_HEADERS: usize = 256;

/// What a block reads, and what its roots are computed from: the answer of `debug_executionWitness`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Nodes of the account trie and of storage tries before the block, RLP.
    pub state: Vec<Bytes>,
    /// Code that ran or was looked at.
    pub codes: Vec<Bytes>,
    /// Addresses and slots as they are before they are hashed.
    pub keys: Vec<Bytes>,
    /// Headers in RLP, up to the parent's: from the oldest whose hash was asked for, the parent's alone if none was.
    pub headers: Vec<Bytes>,
}

/// Why a block was not executed from a witness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatelessError {
    /// The headers are not the ancestors of the block.
    #[error("witness headers: {0}")]
    Headers(String),
    /// The witness lacks something that the block needs.
    #[error("the witness does not carry the block")]
    Witness(#[from] WitnessError),
    /// The block is invalid.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessBuildError {
    /// The block does not execute.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The block is not to be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// An ancestor whose hash was asked for is not there.
    #[error("header of ancestor {0} is not there")]
    Ancestor(B256),
}

/// Finds the header of a block by its hash.
pub type Ancestors<'a> = &'a dyn Fn(B256) -> Option<Header>;

impl Executor {
    /// Executes a block of this chain on its parent's state and tells what that took.
    pub fn witness(
        &self,
        parent: &SealedHeader,
        block: RecoveredBlock,
        state: StateRef,
        ancestors: Ancestors<'_>,
    ) -> Result<Witness, WitnessBuildError> {
        let recorder = Arc::new(Recorder::new(StateRef::clone(&state)));
        let executed = self.import(parent, block, recorder.clone())?;
        witness_of(parent, &executed, &recorder.record(), &state, ancestors)
    }

    /// Builds a block of forced transactions alone, and tells what executing it takes.
    pub fn payload_witness(
        &self,
        parent: &SealedHeader,
        attributes: BuildAttributes,
        state: StateRef,
        ancestors: Ancestors<'_>,
    ) -> Result<(ExecutedBlock, Witness), WitnessBuildError> {
        let recorder = Arc::new(Recorder::new(StateRef::clone(&state)));
        let attributes = BuildAttributes { no_tx_pool: true, ..attributes };
        let executed = self.build(parent, attributes, recorder.clone(), &mut ())?.executed;
        let witness = witness_of(parent, &executed, &recorder.record(), &state, ancestors)?;
        Ok((executed, witness))
    }

    /// Executes a block from its witness alone. The parent is the witness's, and is the one that the block names by its
    /// hash; every node, code and block hash is found from there.
    pub fn execute_stateless(
        &self,
        block: RecoveredBlock,
        witness: &Witness,
    ) -> Result<ExecutedBlock, StatelessError> {
        let (parent, block_hashes) = linked_headers(block.parent_hash(), &witness.headers)?;
        let (nodes, codes) = (witness.state.iter().cloned(), witness.codes.iter().cloned());
        let state = Arc::new(WitnessState::new(parent.state_root, nodes, codes, block_hashes));
        let executed = self.import(&parent, block, state.clone());
        match state.fault() {
            Some(fault) => Err(fault.into()),
            None => Ok(executed?),
        }
    }
}

fn witness_of(
    parent: &SealedHeader,
    executed: &ExecutedBlock,
    record: &Record,
    state: &StateRef,
    ancestors: Ancestors<'_>,
) -> Result<Witness, WitnessBuildError> {
    Ok(Witness {
        state: collect_nodes(&**state, parent.state_root, &record.targets(), &executed.hashed)?,
        codes: record.codes.values().cloned().collect(),
        keys: record.preimages(),
        headers: headers(parent, record.oldest_block.unwrap_or(parent.number), ancestors)?,
    })
}

/// Headers of the blocks from `oldest` to the parent.
fn headers(
    parent: &SealedHeader,
    oldest: u64,
    ancestors: Ancestors<'_>,
) -> Result<Vec<Bytes>, WitnessBuildError> {
    let mut headers = vec![Bytes::from(alloy_rlp::encode(parent.inner()))];
    let (mut number, mut hash) = (parent.number, parent.parent_hash);
    while number > oldest {
        let header = ancestors(hash).ok_or(WitnessBuildError::Ancestor(hash))?;
        headers.push(alloy_rlp::encode(&header).into());
        (number, hash) = (header.number, header.parent_hash);
    }
    headers.reverse();
    Ok(headers)
}

/// The parent, and the hashes of it and of those before it.
fn linked_headers(
    parent_hash: B256,
    headers: &[Bytes],
) -> Result<(SealedHeader, BTreeMap<u64, B256>), StatelessError> {
    let fault = |reason: String| StatelessError::Headers(reason);
    if headers.len() > MAX_HEADERS {
        return Err(fault(format!("{} of them, at most {MAX_HEADERS} are of use", headers.len())));
    }
    let mut hashes = BTreeMap::new();
    let mut parent = None;
    let mut expected = parent_hash;
    for bytes in headers.iter().rev() {
        let hash = keccak256(bytes);
        if hash != expected {
            return Err(fault(format!("{hash} stands where {expected} is wanted")));
        }
        let header = Header::decode(&mut &bytes[..]).map_err(|error| fault(format!("{hash}: {error}")))?;
        hashes.insert(header.number, hash);
        expected = header.parent_hash;
        parent.get_or_insert_with(|| header.seal_unchecked(hash));
    }
    let parent = parent.ok_or_else(|| fault("there are none, not even the parent's".to_owned()))?;
    Ok((parent, hashes))
}
