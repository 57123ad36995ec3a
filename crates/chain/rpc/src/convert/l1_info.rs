//! The L1 block that a block's first deposit tells of.

use alloy_primitives::U256;
use op_revm::{L1BlockInfo, OpSpecId};

/// `setL1BlockValues(uint64,uint64,uint256,bytes32,uint64,bytes32,uint256,uint256)`.
const BEDROCK: [u8; 4] = [0x01, 0x5d, 0x8e, 0xb9];
/// `setL1BlockValuesEcotone()`.
const ECOTONE: [u8; 4] = [0x44, 0x0a, 0x5e, 0x20];
/// `setL1BlockValuesIsthmus()`.
const ISTHMUS: [u8; 4] = [0x09, 0x89, 0x99, 0xbe];
/// `setL1BlockValuesJovian()`.
const JOVIAN: [u8; 4] = [0x3d, 0xb6, 0xbe, 0x2b];

/// Reads the call data of the L1-attributes deposit. The selector says its form: the first block of a fork still has
/// the form of the fork before.
pub(crate) fn read(input: &[u8]) -> Option<L1BlockInfo> {
    let (selector, fields) = input.split_first_chunk::<4>()?;
    match *selector {
        BEDROCK => bedrock(fields),
        ECOTONE => ecotone(fields),
        ISTHMUS => isthmus(fields),
        JOVIAN => Some(L1BlockInfo {
            da_footprint_gas_scalar: Some(u16::from_be_bytes(fields.get(172..174)?.try_into().ok()?)),
            ..isthmus(fields)?
        }),
        _ => None,
    }
}

/// Eight ABI words.
fn bedrock(fields: &[u8]) -> Option<L1BlockInfo> {
    let word = |index: usize| Some(U256::from_be_slice(fields.get(index * 32..(index + 1) * 32)?));
    Some(L1BlockInfo {
        l1_base_fee: word(2)?,
        l1_fee_overhead: Some(word(6)?),
        l1_base_fee_scalar: word(7)?,
        ..L1BlockInfo::default()
    })
}

/// Packed: base fee scalar u32, blob base fee scalar u32, sequence number u64, timestamp u64, number u64, base fee
/// u256, blob base fee u256, hash, batcher hash.
fn ecotone(fields: &[u8]) -> Option<L1BlockInfo> {
    let number = |from: usize, to: usize| Some(U256::from_be_slice(fields.get(from..to)?));
    Some(L1BlockInfo {
        l1_base_fee_scalar: number(0, 4)?,
        l1_blob_base_fee_scalar: Some(number(4, 8)?),
        l1_base_fee: number(32, 64)?,
        l1_blob_base_fee: Some(number(64, 96)?),
        ..L1BlockInfo::default()
    })
}

/// Ecotone's, then operator fee scalar u32 and constant u64.
fn isthmus(fields: &[u8]) -> Option<L1BlockInfo> {
    let number = |from: usize, to: usize| Some(U256::from_be_slice(fields.get(from..to)?));
    Some(L1BlockInfo {
        operator_fee_scalar: Some(number(160, 164)?),
        operator_fee_constant: Some(number(164, 172)?),
        ..ecotone(fields)?
    })
}

/// The cost of a transaction's data, as it was charged.
pub(crate) fn l1_fee(info: &L1BlockInfo, encoded: &[u8], fork: OpSpecId) -> U256 {
    let mut info = info.clone();
    info.clear_tx_l1_cost();
    info.calculate_tx_l1_cost(encoded, fork)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn an_ecotone_deposit_of_op_mainnet_is_read() {
        let input = hex!(
            "440a5e200000146b000f79c50000000000000003000000006725333f000000000141e287000000000000000000000000000000000000000000000000000000012439ee7e0000000000000000000000000000000000000000000000000000000063f363e973e96e7145ff001c81b9562cba7b6104eeb12a2bc4ab9f07c27d45cd81a986620000000000000000000000006887246668a3b87f54deb3b94ba47a6f63f32985"
        );
        let info = read(&input).unwrap();
        assert_eq!(info.l1_base_fee_scalar, U256::from(0x146b));
        assert_eq!(info.l1_blob_base_fee_scalar, Some(U256::from(0xf79c5)));
        assert_eq!(info.l1_base_fee, U256::from(0x1_2439_ee7e_u64));
        assert_eq!(info.l1_blob_base_fee, Some(U256::from(0x63f3_63e9_u64)));
        assert!(info.operator_fee_scalar.is_none() && info.da_footprint_gas_scalar.is_none());
    }

    #[test]
    fn a_jovian_deposit_ends_in_operator_fee_and_footprint_scalar() {
        let mut input = JOVIAN.to_vec();
        input.extend([0; 160]);
        input.extend([0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1, 144]);
        let info = read(&input).unwrap();
        assert_eq!(info.operator_fee_scalar, Some(U256::from(7)));
        assert_eq!(info.operator_fee_constant, Some(U256::from(9)));
        assert_eq!(info.da_footprint_gas_scalar, Some(400));
        assert!(read(&input[..input.len() - 1]).is_none(), "cut short");
        assert!(read(&[]).is_none() && read(&[1, 2, 3, 4]).is_none());
    }
}
