//! The `Tributary-Voucher` header: what a payer signs for one request.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolType, sol_data};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Name of the header.
pub const VOUCHER_HEADER: &str = "tributary-voucher";

/// Characters a header may have: eight words, a 65-byte signature and their padding take 512.
const MAX_CHARS: usize = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Encoding = (
    sol_data::FixedBytes<32>,
    sol_data::Uint<256>,
    sol_data::FixedBytes<32>,
    sol_data::Uint<64>,
    sol_data::Uint<32>,
    sol_data::Uint<128>,
    sol_data::Uint<8>,
    sol_data::Bytes,
);

/// A voucher as it travels: `base64url(abi.encode(channel, cumulative, requestId, l2Block, nIn, maxFee,
/// privacy, signature))`. Nothing of it is checked here but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherHeader {
    /// The channel that pays.
    pub channel: B256,
    /// Cap on all the channel has paid, below 2¹²⁸.
    pub cumulative: U256,
    /// Unique in the channel.
    pub request_id: B256,
    /// The block whose rates apply.
    pub l2_block: u64,
    /// Tokens of the prompt, as the 402 said.
    pub n_in: u32,
    /// Cap on this request, in wei.
    pub max_fee: u128,
    /// 0.
    pub privacy: u8,
    /// r ‖ s ‖ v over the EIP-712 digest.
    pub signature: Bytes,
}

/// Why a header is no voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// Longer than any voucher.
    #[error("the voucher header is too long")]
    TooLong,
    /// Not base64url.
    #[error("the voucher header is not base64url")]
    Base64,
    /// Not the ABI encoding of a voucher.
    #[error("the voucher header is not the canonical ABI encoding of a voucher")]
    Abi,
    /// The signature has not 65 bytes.
    #[error("the voucher's signature must be 65 bytes")]
    Signature,
    /// `cumulative` is 2¹²⁸ or more.
    #[error("the voucher's cumulative amount must be below 2^128")]
    Cumulative,
}

impl VoucherHeader {
    /// Parses a header's value. Only the canonical encoding is taken.
    pub fn parse(value: &str) -> Result<Self, VoucherError> {
        if value.len() > MAX_CHARS {
            return Err(VoucherError::TooLong);
        }
        let bytes = BASE64.decode(value).map_err(|_| VoucherError::Base64)?;
        let (channel, cumulative, request_id, l2_block, n_in, max_fee, privacy, signature) =
            Encoding::abi_decode_params_validate(&bytes).map_err(|_| VoucherError::Abi)?;
        let voucher = Self { channel, cumulative, request_id, l2_block, n_in, max_fee, privacy, signature };
        if voucher.abi_encode() != bytes {
            return Err(VoucherError::Abi);
        }
        if voucher.signature.len() != 65 {
            return Err(VoucherError::Signature);
        }
        if voucher.cumulative >> 128 != U256::ZERO {
            return Err(VoucherError::Cumulative);
        }
        Ok(voucher)
    }

    /// The header's value.
    pub fn encode(&self) -> String {
        BASE64.encode(self.abi_encode())
    }

    fn abi_encode(&self) -> Vec<u8> {
        Encoding::abi_encode_params(&(
            self.channel,
            self.cumulative,
            self.request_id,
            self.l2_block,
            self.n_in,
            self.max_fee,
            self.privacy,
            self.signature.clone(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher() -> VoucherHeader {
        VoucherHeader {
            channel: B256::repeat_byte(0xc1),
            cumulative: U256::from(12_345u64),
            request_id: B256::repeat_byte(0x1d),
            l2_block: 77,
            n_in: 42,
            max_fee: 1 << 90,
            privacy: 0,
            signature: vec![7; 65].into(),
        }
    }

    #[test]
    fn round_trip_with_and_without_padding() {
        let value = voucher().encode();
        assert_eq!(VoucherHeader::parse(&value), Ok(voucher()));
        let padded = format!("{value}{}", "=".repeat((4 - value.len() % 4) % 4));
        assert_eq!(VoucherHeader::parse(&padded), Ok(voucher()));
    }

    /// Words as `cast abi-encode "f(bytes32,uint256,bytes32,uint64,uint32,uint128,uint8,bytes)"` lays them out.
    #[test]
    fn layout() {
        let bytes = voucher().abi_encode();
        assert_eq!(bytes.len(), 32 * 12);
        assert_eq!(bytes[..32], [0xc1; 32]);
        assert_eq!(bytes[127], 77);
        assert_eq!(bytes[159], 42);
        assert_eq!(bytes[254..256], [1, 0]);
        assert_eq!(bytes[32 * 9 - 1], 65);
    }

    #[test]
    fn hostile_headers() {
        let refused = |value: &str| VoucherHeader::parse(value).unwrap_err();
        assert_eq!(refused(&"A".repeat(2000)), VoucherError::TooLong);
        assert_eq!(refused("!!!"), VoucherError::Base64);
        assert_eq!(refused(""), VoucherError::Abi);
        assert_eq!(refused(&BASE64.encode([0xff; 384])), VoucherError::Abi);
        let mut trailing = voucher().abi_encode();
        trailing.push(0);
        assert_eq!(refused(&BASE64.encode(trailing)), VoucherError::Abi);
        let mut dirty = voucher().abi_encode();
        dirty[32 * 3] = 1;
        assert_eq!(refused(&BASE64.encode(dirty)), VoucherError::Abi);
        let short = VoucherHeader { signature: vec![7; 64].into(), ..voucher() };
        assert_eq!(refused(&short.encode()), VoucherError::Signature);
        let huge = VoucherHeader { cumulative: U256::from(1) << 128, ..voucher() };
        assert_eq!(refused(&huge.encode()), VoucherError::Cumulative);
    }
}
