//! One message: 65 bytes of signature, then the payload.

use std::{fmt, str::FromStr};

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::{
    Message, SECP256K1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use tributary_engine_api::NewPayload;
use tributary_spec::{ChainSpec, OpHardfork, RecoveredBlock};

use crate::{
    NetworkError,
    payload::{self, Shape},
};

const SIGNATURE: usize = 65;
/// How old a block may be.
const OLDEST: u64 = 60;
/// How far its time may be ahead.
const AHEAD: u64 = 5;

/// What is wrong with a message, and thus with who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("{0} bytes")]
    Size(usize),
    #[error("signature: {0}")]
    Signature(String),
    #[error("signed by {0}")]
    Signer(Address),
    #[error("payload: {0}")]
    Payload(String),
    #[error("a {found:?} payload on the topic of {wanted:?}")]
    Topic { found: Shape, wanted: Shape },
    #[error("time {timestamp}, and it is {now}")]
    Time { timestamp: u64, now: u64 },
}

/// The key that a sequencer signs its blocks with.
#[derive(Clone)]
pub struct SequencerKey(SecretKey);

impl SequencerKey {
    /// Who signs.
    pub fn address(&self) -> Address {
        let public = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_raw_public_key(&public[1..])
    }
}

impl fmt::Debug for SequencerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SequencerKey").field(&self.address()).finish()
    }
}

impl FromStr for SequencerKey {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Address("a sequencer's key is 32 bytes in hex".to_owned());
        let bytes: B256 = text.trim().parse().map_err(|_| wrong())?;
        SecretKey::from_byte_array(&bytes.0).map(Self).map_err(|_| wrong())
    }
}

/// What is signed: the domain of blocks, the chain, the payload.
fn digest(chain_id: u64, payload: &[u8]) -> Message {
    let mut bytes = [0; 96];
    bytes[56..64].copy_from_slice(&chain_id.to_be_bytes());
    bytes[64..].copy_from_slice(keccak256(payload).as_slice());
    Message::from_digest(keccak256(bytes).0)
}

/// A block that its sequencer signed, and whose hash is right.
#[derive(Debug, Clone)]
pub(crate) struct SignedBlock {
    pub(crate) payload: NewPayload,
}

impl SignedBlock {
    /// The message for a block.
    pub(crate) fn sign(spec: &ChainSpec, key: &SequencerKey, block: &RecoveredBlock) -> (Shape, Vec<u8>) {
        let payload = payload::encode(spec, block);
        let message = digest(spec.chain_id(), &payload);
        let signature = SECP256K1.sign_ecdsa_recoverable(&message, &key.0);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = Vec::with_capacity(SIGNATURE + payload.len());
        bytes.extend(compact);
        bytes.push(i32::from(recovery) as u8);
        bytes.extend(payload);
        (Shape::at(spec, block.header().timestamp), bytes)
    }

    /// Reads a message of a topic, and checks all that can be checked without the chain.
    pub(crate) fn verify(
        spec: &ChainSpec,
        signer: Address,
        wanted: Shape,
        bytes: &[u8],
        now: u64,
    ) -> Result<Self, MessageError> {
        let (signature, bytes) = bytes.split_at_checked(SIGNATURE).ok_or(MessageError::Size(bytes.len()))?;
        let found = recover(spec.chain_id(), signature, bytes)?;
        if found != signer {
            return Err(MessageError::Signer(found));
        }
        let (found, payload) =
            payload::decode(spec, wanted.has_root(), bytes).map_err(MessageError::Payload)?;
        let timestamp = payload.payload.timestamp;
        if timestamp.saturating_add(OLDEST) < now || timestamp > now.saturating_add(AHEAD) {
            return Err(MessageError::Time { timestamp, now });
        }
        if found != wanted || Shape::at(spec, timestamp) != wanted {
            return Err(MessageError::Topic { found, wanted });
        }
        check_fields(spec, &payload).map_err(MessageError::Payload)?;
        payload.verified_header(spec).map_err(MessageError::Payload)?;
        Ok(Self { payload })
    }
}

fn recover(chain_id: u64, signature: &[u8], payload: &[u8]) -> Result<Address, MessageError> {
    let failed = |error: secp256k1::Error| MessageError::Signature(error.to_string());
    let recovery = RecoveryId::try_from(i32::from(signature[64])).map_err(failed)?;
    let parsed = RecoverableSignature::from_compact(&signature[..64], recovery).map_err(failed)?;
    let public = SECP256K1.recover_ecdsa(&digest(chain_id, payload), &parsed).map_err(failed)?;
    Ok(Address::from_raw_public_key(&public.serialize_uncompressed()[1..]))
}

/// Fields that no valid block of this chain has otherwise.
fn check_fields(spec: &ChainSpec, payload: &NewPayload) -> Result<(), String> {
    payload.check_version(spec).map_err(|error| error.to_string())?;
    let wire = &payload.payload;
    if wire.withdrawals.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err("withdrawals are not empty".to_owned());
    }
    if wire.excess_blob_gas.is_some_and(|gas| gas != 0) {
        return Err("excessBlobGas is not zero".to_owned());
    }
    let footprint = spec.forks().active(OpHardfork::Jovian, wire.timestamp);
    if !footprint && wire.blob_gas_used.is_some_and(|gas| gas != 0) {
        return Err("blobGasUsed is not zero".to_owned());
    }
    Ok(())
}
