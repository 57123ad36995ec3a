//! Vouchers: EIP-712 caps on what a channel may have paid, signed by its payer.

use crate::abi::Words;
use crate::constants::SETTLEMENT;
use alloy_primitives::{Address, B256, Signature, U256, b256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

/// Length of a signature: r ‖ s ‖ v.
pub const SIGNATURE_BYTES: usize = 65;

/// keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
const DOMAIN_TYPE: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
/// keccak256("Voucher(bytes32 channel,uint256 cumulative,bytes32 requestHash)")
const VOUCHER_TYPE: B256 = b256!("20f8427784e1e54fa3b473f2927d8f0b83cb986dda02354d7662431bab5f4d99");
/// keccak256("Tributary")
const NAME: B256 = b256!("1631d751cbaef3e6e4c559096912ac4660521bed17530325a90b331dc3307c64");
/// keccak256("1")
const VERSION: B256 = b256!("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");

/// Why a signature was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 65 bytes, or v neither 27 nor 28.
    #[error("a signature is r, s and a v of 27 or 28")]
    Form,
    /// s in the upper half of the group order: the same signature in its other form.
    #[error("the signature's s is high")]
    HighS,
    /// No key signed this.
    #[error("the signature recovers to no key")]
    Unrecoverable,
}

/// A payer's cap: "of this channel, up to `cumulative` in all".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voucher {
    /// The channel it draws on.
    pub channel: B256,
    /// All that the channel may have paid, this request's cap included.
    pub cumulative: U256,
    /// The request it was signed for.
    pub request_hash: B256,
}

impl Voucher {
    /// The EIP-712 digest that is signed.
    #[must_use]
    pub fn digest(&self, chain_id: u64) -> B256 {
        let message = Words::new()
            .word(VOUCHER_TYPE)
            .word(self.channel)
            .u256(self.cumulative)
            .word(self.request_hash)
            .hash();
        typed_digest(domain_separator(chain_id), message)
    }

    /// The account that signed.
    ///
    /// # Errors
    /// When the signature is malformed, malleable or of nobody.
    pub fn signer(&self, chain_id: u64, signature: &[u8]) -> Result<Address, SignatureError> {
        recover(self.digest(chain_id), signature)
    }
}

/// The EIP-712 domain: ("Tributary", "1", chainId, Settlement).
#[must_use]
pub fn domain_separator(chain_id: u64) -> B256 {
    Words::new().word(DOMAIN_TYPE).word(NAME).word(VERSION).uint(chain_id).address(SETTLEMENT).hash()
}

fn typed_digest(domain: B256, message: B256) -> B256 {
    let mut bytes = [0u8; 66];
    bytes[0] = 0x19;
    bytes[1] = 0x01;
    bytes[2..34].copy_from_slice(domain.as_slice());
    bytes[34..].copy_from_slice(message.as_slice());
    keccak256(bytes)
}

/// r ‖ s of a signature in its one accepted form: 65 bytes, v 27 or 28, low s.
fn canonical(signature: &[u8]) -> Result<RecoverableSignature, SignatureError> {
    let (scalars, last) = signature.split_first_chunk::<64>().ok_or(SignatureError::Form)?;
    let odd = match last {
        [27] => RecoveryId::Zero,
        [28] => RecoveryId::One,
        _ => return Err(SignatureError::Form),
    };
    let parsed =
        RecoverableSignature::from_compact(scalars, odd).map_err(|_| SignatureError::Unrecoverable)?;
    if Signature::from_bytes_and_parity(scalars, last == [28]).normalize_s().is_some() {
        return Err(SignatureError::HighS);
    }
    Ok(parsed)
}

/// Recovers the signer of `digest` from r ‖ s ‖ v with a low s and v 27 or 28.
///
/// # Errors
/// When the signature is malformed, malleable or of nobody.
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    let signature = canonical(signature)?;
    let key = SECP256K1
        .recover_ecdsa(&Message::from_digest(digest.0), &signature)
        .map_err(|_| SignatureError::Unrecoverable)?;
    let signer = Address::from_raw_public_key(&key.serialize_uncompressed()[1..]);
    if signer.is_zero() { Err(SignatureError::Unrecoverable) } else { Ok(signer) }
}
