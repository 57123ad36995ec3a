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

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::proofs::calculate_transaction_root;
    use alloy_eips::{eip4895::Withdrawals, eip7685::EMPTY_REQUESTS_HASH};
    use alloy_primitives::{Bytes, Sealable};
    use tributary_spec::{BlockBody, Header, Tx};

    const NOW: u64 = 1_800_000_000;

    fn key() -> SequencerKey {
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap()
    }

    fn header(timestamp: u64) -> Header {
        Header {
            number: 7,
            timestamp,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(1_000),
            extra_data: Bytes::from_static(&[1, 0, 0, 0, 250, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]),
            transactions_root: calculate_transaction_root::<Tx>(&[]),
            withdrawals_root: Some(B256::repeat_byte(9)),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            // A dev L1 has no beacon blocks.
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    fn block(header: Header) -> RecoveredBlock {
        let body = BlockBody { withdrawals: Some(Withdrawals::default()), ..BlockBody::default() };
        RecoveredBlock::new_unchecked(header.seal_slow(), body, Vec::new())
    }

    fn verify(bytes: &[u8], topic: Shape, now: u64) -> Result<SignedBlock, MessageError> {
        SignedBlock::verify(&ChainSpec::dev(), key().address(), topic, bytes, now)
    }

    #[test]
    fn a_signed_block_is_read_as_it_was() {
        let spec = ChainSpec::dev();
        let block = block(header(NOW));
        let (shape, bytes) = SignedBlock::sign(&spec, &key(), &block);
        assert_eq!(shape, Shape::V4);
        let read = verify(&bytes, shape, NOW).unwrap();
        let (read, _) = read.payload.into_block(&spec).unwrap();
        assert_eq!(read, block);
    }

    #[test]
    fn old_blocks_and_early_ones_are_refused() {
        let (shape, bytes) = SignedBlock::sign(&ChainSpec::dev(), &key(), &block(header(NOW)));
        for now in [NOW - AHEAD, NOW + OLDEST] {
            verify(&bytes, shape, now).unwrap();
        }
        for now in [NOW - AHEAD - 1, NOW + OLDEST + 1, 0, u64::MAX] {
            let error = verify(&bytes, shape, now).unwrap_err();
            assert!(matches!(error, MessageError::Time { .. }), "{now}: {error}");
        }
    }

    #[test]
    fn no_byte_can_be_changed() {
        let (shape, bytes) = SignedBlock::sign(&ChainSpec::dev(), &key(), &block(header(NOW)));
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(verify(&changed, shape, NOW).is_err(), "byte {index}");
        }
        for length in 0..bytes.len() {
            assert!(verify(&bytes[..length], shape, NOW).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn whoever_else_signs_is_named() {
        let other: SequencerKey =
            "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a".parse().unwrap();
        let (shape, bytes) = SignedBlock::sign(&ChainSpec::dev(), &other, &block(header(NOW)));
        assert_eq!(verify(&bytes, shape, NOW).unwrap_err(), MessageError::Signer(other.address()));
    }

    #[test]
    fn what_no_valid_block_says_is_refused() {
        let spec = ChainSpec::dev();
        let mut listed = block(header(NOW));
        let refused = |block: &RecoveredBlock, why: &str| {
            let (shape, bytes) = SignedBlock::sign(&spec, &key(), block);
            let error = verify(&bytes, shape, NOW).unwrap_err().to_string();
            assert!(error.contains(why), "{error} instead of {why}");
        };
        refused(&block(Header { excess_blob_gas: Some(1), ..header(NOW) }), "excessBlobGas");
        refused(&block(Header { extra_data: Bytes::new(), ..header(NOW) }), "extra");
        let (sealed, mut body, _) = listed.clone().into_parts();
        body.withdrawals = Some(Withdrawals::new(vec![Default::default()]));
        listed = RecoveredBlock::new_unchecked(sealed, body, Vec::new());
        refused(&listed, "withdrawals");
        let mut wrong_hash = block(header(NOW));
        let (sealed, body, _) = wrong_hash.into_parts();
        let unsealed = alloy_primitives::Sealed::new_unchecked(sealed.into_inner(), B256::repeat_byte(5));
        wrong_hash = RecoveredBlock::new_unchecked(unsealed, body, Vec::new());
        refused(&wrong_hash, "hash");
    }

    #[test]
    fn a_payload_on_another_forks_topic_is_refused() {
        let (_, bytes) = SignedBlock::sign(&ChainSpec::dev(), &key(), &block(header(NOW)));
        assert!(matches!(verify(&bytes, Shape::V3, NOW).unwrap_err(), MessageError::Topic { .. }));
        assert!(matches!(verify(&bytes, Shape::V2, NOW).unwrap_err(), MessageError::Payload(_)));
    }
}
