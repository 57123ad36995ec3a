//! The header's extraData since Holocene: EIP-1559 parameters on the wire.
//!
//! Holocene: `00 ‖ denominator u32 ‖ elasticity u32`; Jovian: `01 ‖ denominator ‖ elasticity ‖ minBaseFee u64`.
//! <https://specs.optimism.io/protocol/holocene/exec-engine.html>, <https://specs.optimism.io/protocol/jovian/exec-engine.html>

use alloy_primitives::{B64, Bytes};

use crate::ExtraDataError;

const HOLOCENE_LEN: usize = 9;
const JOVIAN_LEN: usize = 17;

/// EIP-1559 parameters, neither of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eip1559Params {
    denominator: u32,
    elasticity: u32,
}

impl Eip1559Params {
    /// Checks that neither is zero.
    pub const fn new(denominator: u32, elasticity: u32) -> Result<Self, ExtraDataError> {
        if denominator == 0 {
            return Err(ExtraDataError::ZeroDenominator);
        }
        if elasticity == 0 {
            return Err(ExtraDataError::ZeroElasticity);
        }
        Ok(Self { denominator, elasticity })
    }

    /// From the eight bytes of the wire: denominator first.
    pub fn from_wire(bytes: [u8; 8]) -> Result<Self, ExtraDataError> {
        let packed = u64::from_be_bytes(bytes);
        Self::new((packed >> 32) as u32, packed as u32)
    }

    /// As the eight bytes of payload attributes and extraData.
    pub fn to_wire(self) -> B64 {
        B64::from(u64::from(self.denominator) << 32 | u64::from(self.elasticity))
    }

    /// How far the base fee moves at most in a block: 1/denominator.
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    /// Gas limit over gas target.
    pub const fn elasticity(self) -> u32 {
        self.elasticity
    }
}

/// The extraData of a block since Holocene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraData {
    /// Version 0.
    Holocene(Eip1559Params),
    /// Version 1.
    Jovian {
        /// EIP-1559 parameters.
        params: Eip1559Params,
        /// Floor of the next block's base fee, wei.
        min_base_fee: u64,
    },
}

impl ExtraData {
    /// Decodes version 0, and nothing else.
    pub fn decode_holocene(bytes: &[u8]) -> Result<Self, ExtraDataError> {
        let (version, rest) = split::<HOLOCENE_LEN>(bytes)?;
        expect_version(version, 0)?;
        Ok(Self::Holocene(Eip1559Params::from_wire(head(rest))?))
    }

    /// Decodes version 1, and nothing else.
    pub fn decode_jovian(bytes: &[u8]) -> Result<Self, ExtraDataError> {
        let (version, rest) = split::<JOVIAN_LEN>(bytes)?;
        expect_version(version, 1)?;
        let params = Eip1559Params::from_wire(head(rest))?;
        Ok(Self::Jovian { params, min_base_fee: u64::from_be_bytes(head(&rest[8..])) })
    }

    /// The bytes of the header field.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Holocene(params) => [&[0], params.to_wire().as_slice()].concat().into(),
            Self::Jovian { params, min_base_fee } => {
                [&[1], params.to_wire().as_slice(), &min_base_fee.to_be_bytes()].concat().into()
            }
        }
    }

    /// EIP-1559 parameters.
    pub const fn params(&self) -> Eip1559Params {
        match self {
            Self::Holocene(params) | Self::Jovian { params, .. } => *params,
        }
    }

    /// Floor of the next block's base fee; none before Jovian.
    pub const fn min_base_fee(&self) -> Option<u64> {
        match self {
            Self::Holocene(_) => None,
            Self::Jovian { min_base_fee, .. } => Some(*min_base_fee),
        }
    }
}

fn split<const LEN: usize>(bytes: &[u8]) -> Result<(u8, &[u8]), ExtraDataError> {
    match bytes {
        [version, rest @ ..] if bytes.len() == LEN => Ok((*version, rest)),
        _ => Err(ExtraDataError::Length { found: bytes.len(), expected: LEN }),
    }
}

fn expect_version(found: u8, expected: u8) -> Result<(), ExtraDataError> {
    if found == expected { Ok(()) } else { Err(ExtraDataError::Version { found, expected }) }
}

fn head(bytes: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[..8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn the_denominator_comes_first_on_the_wire() {
        let bytes = hex!("00000000fa00000006");
        let decoded = ExtraData::decode_holocene(&bytes).unwrap();
        assert_eq!(decoded.params().denominator(), 250);
        assert_eq!(decoded.params().elasticity(), 6);
        assert_eq!(decoded.encode().as_ref(), bytes);
    }

    #[test]
    fn jovian_carries_the_floor() {
        let bytes = hex!("01000000fa0000000600000000000f4240");
        let decoded = ExtraData::decode_jovian(&bytes).unwrap();
        assert_eq!(decoded.min_base_fee(), Some(1_000_000));
        assert_eq!(decoded.encode().as_ref(), bytes);
    }

    #[test]
    fn each_version_refuses_the_other() {
        let holocene = hex!("00000000fa00000006");
        let jovian = hex!("01000000fa000000060000000000000000");
        assert_eq!(
            ExtraData::decode_jovian(&holocene),
            Err(ExtraDataError::Length { found: 9, expected: 17 })
        );
        assert_eq!(
            ExtraData::decode_holocene(&jovian),
            Err(ExtraDataError::Length { found: 17, expected: 9 })
        );
        assert_eq!(
            ExtraData::decode_holocene(&hex!("01000000fa00000006")),
            Err(ExtraDataError::Version { found: 1, expected: 0 })
        );
        assert_eq!(ExtraData::decode_holocene(&[]), Err(ExtraDataError::Length { found: 0, expected: 9 }));
    }

    /// op-alloy's decoders let both through, and a zero divides by zero one block later.
    #[test]
    fn zero_halves_are_refused() {
        assert_eq!(
            ExtraData::decode_holocene(&hex!("000000000000000006")),
            Err(ExtraDataError::ZeroDenominator)
        );
        assert_eq!(
            ExtraData::decode_holocene(&hex!("00000000fa00000000")),
            Err(ExtraDataError::ZeroElasticity)
        );
    }
}
