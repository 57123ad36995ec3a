//! Payloads that come in: from JSON to a block whose hash is proved.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_withdrawals_root, ordered_trie_root_encoded},
};
use alloy_eips::{
    Decodable2718, Encodable2718,
    eip4895::{Withdrawal, Withdrawals},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, Sealable, U256};
use rayon::prelude::*;
use serde::Deserialize;
use tributary_spec::{BlockBody, ChainSpec, Header, OpHardfork, RecoveredBlock, SealedHeader, Tx};

use crate::{EngineError, Version, version::Method};

/// Transactions that one thread decodes before it is worth asking another.
const DECODED_AT_ONCE: usize = 64;

/// `executionPayload` of every version. Which of the optional fields must be there is the version's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WirePayload {
    /// Hash of the parent.
    pub parent_hash: B256,
    /// Coinbase.
    pub fee_recipient: Address,
    /// Root of the state after the block.
    pub state_root: B256,
    /// Root of the receipts.
    pub receipts_root: B256,
    /// Bloom of the logs.
    pub logs_bloom: Bloom,
    /// `PREVRANDAO`.
    pub prev_randao: B256,
    /// Number.
    #[serde(with = "alloy_serde::quantity")]
    pub block_number: u64,
    /// Gas limit.
    #[serde(with = "alloy_serde::quantity")]
    pub gas_limit: u64,
    /// Gas used.
    #[serde(with = "alloy_serde::quantity")]
    pub gas_used: u64,
    /// Unix time, in seconds.
    #[serde(with = "alloy_serde::quantity")]
    pub timestamp: u64,
    /// `extraData`.
    pub extra_data: Bytes,
    /// Base fee, wei.
    pub base_fee_per_gas: U256,
    /// What the hash of all this is said to be.
    pub block_hash: B256,
    /// Enveloped transactions.
    pub transactions: Vec<Bytes>,
    /// From Canyon on; always empty.
    #[serde(default)]
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// From Ecotone on; the DA footprint from Jovian on.
    #[serde(default, with = "alloy_serde::quantity::opt")]
    pub blob_gas_used: Option<u64>,
    /// From Ecotone on; always zero.
    #[serde(default, with = "alloy_serde::quantity::opt")]
    pub excess_blob_gas: Option<u64>,
    /// From Isthmus on: storage root of the message passer.
    #[serde(default)]
    pub withdrawals_root: Option<B256>,
}

/// The parameters of one `engine_newPayload`.
#[derive(Debug, Clone)]
pub struct NewPayload {
    /// The method's version.
    pub version: Version,
    /// The payload.
    pub payload: WirePayload,
    /// From V3 on: hashes of blobs; always empty.
    pub versioned_hashes: Option<Vec<B256>>,
    /// From V3 on: EIP-4788.
    pub parent_beacon_block_root: Option<B256>,
    /// From V4 on: EIP-7685; always empty.
    pub execution_requests: Option<Vec<Bytes>>,
}

/// A payload whose hash was checked, and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) header: SealedHeader,
    transactions: Vec<Bytes>,
    withdrawals: Option<Vec<Withdrawal>>,
}

impl NewPayload {
    /// The version against the fork, and the parameters against the version.
    pub fn check_version(&self, spec: &ChainSpec) -> Result<(), EngineError> {
        let (version, timestamp) = (self.version, self.payload.timestamp);
        Method::NewPayload.check(version, spec, timestamp)?;
        let canyon = spec.forks().active(OpHardfork::Canyon, timestamp);
        let blobs = version >= Version::V3;
        let requests = version >= Version::V4;
        let payload = &self.payload;
        expect(version, "withdrawals", payload.withdrawals.is_some(), canyon)?;
        expect(version, "blobGasUsed", payload.blob_gas_used.is_some(), blobs)?;
        expect(version, "excessBlobGas", payload.excess_blob_gas.is_some(), blobs)?;
        expect(version, "withdrawalsRoot", payload.withdrawals_root.is_some(), requests)?;
        expect(version, "expectedBlobVersionedHashes", self.versioned_hashes.is_some(), blobs)?;
        expect(version, "parentBeaconBlockRoot", self.parent_beacon_block_root.is_some(), blobs)?;
        expect(version, "executionRequests", self.execution_requests.is_some(), requests)
    }

    /// The method's version for a block of this time.
    pub fn version_at(spec: &ChainSpec, timestamp: u64) -> Version {
        let active = |fork| spec.forks().active(fork, timestamp);
        match (active(OpHardfork::Isthmus), active(OpHardfork::Ecotone)) {
            (true, _) => Version::V4,
            (false, true) => Version::V3,
            (false, false) => Version::V2,
        }
    }

    /// The block that this says, its hash compared and its senders recovered, and the bytes of its transactions.
    pub fn into_block(self, spec: &ChainSpec) -> Result<(RecoveredBlock, usize), String> {
        self.check_version(spec).map_err(|error| error.to_string())?;
        let sealed = self.seal(spec)?;
        let size = sealed.size();
        Ok((sealed.recover()?, size))
    }

    /// The header that this says, which has the hash that it says; and what the hash does not cover is as it must be.
    pub fn verified_header(&self, spec: &ChainSpec) -> Result<SealedHeader, String> {
        if self.versioned_hashes.as_ref().is_some_and(|hashes| !hashes.is_empty()) {
            return Err("expectedBlobVersionedHashes is not empty, and this chain has no blobs".to_owned());
        }
        if self.execution_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
            return Err("executionRequests is not empty, and this chain has none".to_owned());
        }
        if self.payload.withdrawals_root.is_some()
            && self.payload.withdrawals.as_ref().is_some_and(|withdrawals| !withdrawals.is_empty())
        {
            return Err("withdrawals is not empty, and withdrawalsRoot is not of them".to_owned());
        }
        check_extra_data(spec, &self.payload)?;
        let claimed = self.payload.block_hash;
        let header = self.header()?.seal_slow();
        if header.hash() != claimed {
            return Err(format!("block hash is {}, the payload says {claimed}", header.hash()));
        }
        Ok(header)
    }

    /// Hashes the payload and compares. What is wrong is told in words: the block is invalid, whoever its parent is.
    pub(crate) fn seal(self, spec: &ChainSpec) -> Result<Sealed, String> {
        let header = self.verified_header(spec)?;
        let WirePayload { transactions, withdrawals, .. } = self.payload;
        Ok(Sealed { header, transactions, withdrawals })
    }

    fn header(&self) -> Result<Header, String> {
        let payload = &self.payload;
        let base_fee = payload.base_fee_per_gas;
        let base_fee =
            u64::try_from(base_fee).map_err(|_| format!("base fee {base_fee} does not fit 64 bits"))?;
        let listed_root = payload.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list));
        Ok(Header {
            parent_hash: payload.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: payload.fee_recipient,
            state_root: payload.state_root,
            transactions_root: ordered_trie_root_encoded(&payload.transactions),
            receipts_root: payload.receipts_root,
            logs_bloom: payload.logs_bloom,
            number: payload.block_number,
            gas_limit: payload.gas_limit,
            gas_used: payload.gas_used,
            timestamp: payload.timestamp,
            extra_data: payload.extra_data.clone(),
            mix_hash: payload.prev_randao,
            base_fee_per_gas: Some(base_fee),
            withdrawals_root: payload.withdrawals_root.or(listed_root),
            blob_gas_used: payload.blob_gas_used,
            excess_blob_gas: payload.excess_blob_gas,
            parent_beacon_block_root: self.parent_beacon_block_root,
            requests_hash: self.execution_requests.is_some().then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        })
    }
}

impl Sealed {
    /// Decodes the transactions and recovers their senders.
    pub(crate) fn recover(self) -> Result<RecoveredBlock, String> {
        let transactions = self
            .transactions
            .par_iter()
            .with_min_len(DECODED_AT_ONCE)
            .enumerate()
            .map(|(index, bytes)| {
                decode_transaction(bytes).map_err(|why| format!("transaction {index}: {why}"))
            })
            .collect::<Result<_, _>>()?;
        let withdrawals = self.withdrawals.map(Withdrawals::new);
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        RecoveredBlock::recover_sealed(self.header, body).map_err(|error| error.to_string())
    }

    /// Bytes of the transactions.
    pub(crate) fn size(&self) -> usize {
        self.transactions.iter().map(|tx| tx.len()).sum()
    }
}

/// One enveloped transaction. Bytes that encode differently once decoded are refused: they would be another
/// transaction in the block.
pub(crate) fn decode_transaction(bytes: &[u8]) -> Result<Tx, String> {
    let tx = Tx::decode_2718_exact(bytes).map_err(|error| error.to_string())?;
    if tx.encode_2718_len() != bytes.len() || tx.encoded_2718() != bytes {
        return Err("not encoded canonically".to_owned());
    }
    Ok(tx)
}

/// extraData is checked before the parent is known.
fn check_extra_data(spec: &ChainSpec, payload: &WirePayload) -> Result<(), String> {
    match spec.decode_extra_data(&payload.extra_data, payload.timestamp) {
        Ok(Some(_)) => Ok(()),
        Ok(None) if payload.extra_data.is_empty() => Ok(()),
        Ok(None) => Err(format!("extraData has {} bytes before Holocene", payload.extra_data.len())),
        Err(error) => Err(error.to_string()),
    }
}

fn expect(version: Version, field: &str, found: bool, wanted: bool) -> Result<(), EngineError> {
    match (found, wanted) {
        (false, true) => {
            Err(EngineError::Params(format!("{field} is missing, newPayload{version} needs it")))
        }
        (true, false) => Err(EngineError::Params(format!("{field} is not for this newPayload{version}"))),
        _ => Ok(()),
    }
}
