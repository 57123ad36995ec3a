//! A transaction as the pool keeps it.

use crate::{PoolError, Window};
use alloy_consensus::{
    Transaction,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{Decodable2718, Encodable2718, Typed2718};
use alloy_primitives::{Address, B256, Bytes};
use op_alloy_consensus::OpTxType;
use tributary_spec::Tx;

/// Where a transaction came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Sent to this node: journalled, thrown out last.
    Local,
    /// Heard of, or put back after a reorganisation.
    External,
}

/// A decoded transaction with its sender, its bytes, and its place in the order of arrival.
#[derive(Clone, Debug)]
pub struct PooledTransaction {
    tx: Recovered<Tx>,
    encoded: Bytes,
    authorities: Vec<Address>,
    origin: Origin,
    window: Window,
}

impl PooledTransaction {
    /// Decodes and recovers a raw transaction, refusing every type that only a block may carry.
    pub fn decode(raw: &[u8], origin: Origin) -> Result<Self, PoolError> {
        check_type_byte(raw)?;
        let tx = Tx::decode_2718_exact(raw).map_err(PoolError::Decode)?;
        let encoded = tx.encoded_2718();
        if encoded != raw {
            return Err(PoolError::NonCanonical);
        }
        let signer = tx.recover_signer().map_err(|_| PoolError::InvalidSignature)?;
        Ok(Self::assemble(Recovered::new_unchecked(tx, signer), encoded.into(), origin))
    }

    /// The same as if it had come from elsewhere.
    pub(crate) fn into_external(self) -> Self {
        Self { origin: Origin::External, ..self }
    }

    /// Only for blocks within these bounds. The journal does not know of bounds, so the transaction is not local.
    pub fn within(self, window: Window) -> Self {
        Self { window, origin: Origin::External, ..self }
    }

    /// The bounds of the block that may include it.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Wraps a transaction whose sender is known.
    pub fn new(tx: Recovered<Tx>, origin: Origin) -> Result<Self, PoolError> {
        let encoded = tx.encoded_2718();
        check_type_byte(&encoded)?;
        Ok(Self::assemble(tx, encoded.into(), origin))
    }

    fn assemble(tx: Recovered<Tx>, encoded: Bytes, origin: Origin) -> Self {
        let authorities = tx
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|authorization| authorization.recover_authority().ok())
            .collect();
        Self { tx, encoded, authorities, origin, window: Window::default() }
    }

    /// The transaction and its sender.
    pub fn transaction(&self) -> &Recovered<Tx> {
        &self.tx
    }

    /// Its hash.
    pub fn hash(&self) -> B256 {
        self.tx.tx_hash()
    }

    /// Who signed it.
    pub fn sender(&self) -> Address {
        self.tx.signer()
    }

    /// Its nonce.
    pub fn nonce(&self) -> u64 {
        self.tx.nonce()
    }

    /// Its EIP-2718 bytes.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Accounts whose EIP-7702 authorization it carries.
    pub fn authorities(&self) -> &[Address] {
        &self.authorities
    }

    /// Where it came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// True if it was sent to this node.
    pub fn is_local(&self) -> bool {
        self.origin == Origin::Local
    }

    /// What it may pay for gas at most, per unit.
    pub fn fee_cap(&self) -> u128 {
        self.tx.max_fee_per_gas()
    }

    /// What the block's maker gets per unit of gas at `base_fee`; nothing if the cap is below it.
    pub fn tip(&self, base_fee: u64) -> u128 {
        self.tx.effective_tip_per_gas(base_fee).unwrap_or_default()
    }

    /// What it counts for against the size limits.
    pub fn size(&self) -> usize {
        self.encoded.len()
    }

    /// Whether it raises both fees of `old` by `bump` percent.
    pub(crate) fn outbids(&self, old: &Self, bump: u128) -> bool {
        let tip = |tx: &Self| tx.tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.fee_cap());
        raises(old.fee_cap(), self.fee_cap(), bump) && raises(tip(old), tip(self), bump)
    }
}

/// `new ≥ old + bump %`, and more than before unless both are zero (a free transaction cannot be outbid in its tip).
fn raises(old: u128, new: u128, bump: u128) -> bool {
    let threshold = old.saturating_mul(100 + bump).div_ceil(100);
    new >= threshold && (new > old || old == 0)
}

/// Types that only forced transactions have are refused before anything is parsed.
fn check_type_byte(raw: &[u8]) -> Result<(), PoolError> {
    match raw.first() {
        Some(&byte) if byte >= 0xc0 => Ok(()),
        Some(&byte) => match OpTxType::try_from(byte) {
            Ok(OpTxType::Eip2930 | OpTxType::Eip1559 | OpTxType::Eip7702) => Ok(()),
            _ => Err(PoolError::UnsupportedType(byte)),
        },
        None => Err(PoolError::Decode(alloy_rlp::Error::InputTooShort.into())),
    }
}

/// True for a type that a fork before Isthmus does not know.
pub(crate) fn is_set_code(tx: &Tx) -> bool {
    tx.ty() == OpTxType::Eip7702 as u8
}
