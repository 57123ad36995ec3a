//! The first transaction of every block: what the chain knows of L1.
//!
//! <https://specs.optimism.io/protocol/jovian/l1-attributes.html>

use alloy_primitives::{Address, B256, TxKind, U256};
use op_alloy_consensus::{L1InfoDepositSource, TxDeposit};
use tributary_spec::predeploys::{DEPOSITOR, L1_BLOCK};

/// Bytes of `setL1BlockValuesJovian` calldata, selector included.
pub const JOVIAN_ATTRIBUTES_LEN: usize = 178;

/// `setL1BlockValuesJovian()`.
const SELECTOR: [u8; 4] = [0x3d, 0xb6, 0xbe, 0x2b];

/// Gas limit of the deposit since Regolith.
const DEPOSIT_GAS: u64 = 1_000_000;

/// Arguments of `setL1BlockValuesJovian`, which are packed rather than ABI-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Attributes {
    /// Weight of the L1 base fee, 10⁻⁶.
    pub base_fee_scalar: u32,
    /// Weight of the L1 blob base fee, 10⁻⁶.
    pub blob_base_fee_scalar: u32,
    /// Position of the L2 block among those of the same L1 origin.
    pub sequence_number: u64,
    /// Time of the L1 origin.
    pub timestamp: u64,
    /// Number of the L1 origin.
    pub number: u64,
    /// Base fee of the L1 origin, wei.
    pub base_fee: U256,
    /// Blob base fee of the L1 origin, wei.
    pub blob_base_fee: U256,
    /// Hash of the L1 origin.
    pub hash: B256,
    /// Who posts batches.
    pub batcher: Address,
    /// Hundredfold, the operator fee for each unit of gas, wei.
    pub operator_fee_scalar: u32,
    /// Operator fee for each transaction, wei.
    pub operator_fee_constant: u64,
    /// Gas of DA footprint for each byte of estimated size.
    pub da_footprint_gas_scalar: u16,
}

impl L1Attributes {
    /// Packs the calldata.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(JOVIAN_ATTRIBUTES_LEN);
        out.extend_from_slice(&SELECTOR);
        out.extend_from_slice(&self.base_fee_scalar.to_be_bytes());
        out.extend_from_slice(&self.blob_base_fee_scalar.to_be_bytes());
        out.extend_from_slice(&self.sequence_number.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.base_fee.to_be_bytes::<32>());
        out.extend_from_slice(&self.blob_base_fee.to_be_bytes::<32>());
        out.extend_from_slice(self.hash.as_slice());
        out.extend_from_slice(self.batcher.into_word().as_slice());
        out.extend_from_slice(&self.operator_fee_scalar.to_be_bytes());
        out.extend_from_slice(&self.operator_fee_constant.to_be_bytes());
        out.extend_from_slice(&self.da_footprint_gas_scalar.to_be_bytes());
        out
    }

    /// Unpacks calldata; `None` if it is of another fork's form.
    pub fn decode(calldata: &[u8]) -> Option<Self> {
        if calldata.len() != JOVIAN_ATTRIBUTES_LEN {
            return None;
        }
        let mut rest = calldata.strip_prefix(&SELECTOR)?;
        Some(Self {
            base_fee_scalar: u32::from_be_bytes(take(&mut rest)?),
            blob_base_fee_scalar: u32::from_be_bytes(take(&mut rest)?),
            sequence_number: u64::from_be_bytes(take(&mut rest)?),
            timestamp: u64::from_be_bytes(take(&mut rest)?),
            number: u64::from_be_bytes(take(&mut rest)?),
            base_fee: U256::from_be_bytes(take::<32>(&mut rest)?),
            blob_base_fee: U256::from_be_bytes(take::<32>(&mut rest)?),
            hash: B256::from(take::<32>(&mut rest)?),
            batcher: Address::from_word(B256::from(take::<32>(&mut rest)?)),
            operator_fee_scalar: u32::from_be_bytes(take(&mut rest)?),
            operator_fee_constant: u64::from_be_bytes(take(&mut rest)?),
            da_footprint_gas_scalar: u16::from_be_bytes(take(&mut rest)?),
        })
    }

    /// The deposit that carries them.
    pub fn deposit(&self) -> TxDeposit {
        TxDeposit {
            source_hash: L1InfoDepositSource::new(self.hash, self.sequence_number).source_hash(),
            from: DEPOSITOR,
            to: TxKind::Call(L1_BLOCK),
            mint: 0,
            value: U256::ZERO,
            gas_limit: DEPOSIT_GAS,
            is_system_transaction: false,
            input: self.encode().into(),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{hex, keccak256};

    #[test]
    fn the_selector_is_that_of_the_name() {
        assert_eq!(keccak256("setL1BlockValuesJovian()")[..4], SELECTOR);
    }
    /// The first transaction of a recorded block that op-node made.
    #[test]
    fn equals_what_op_node_makes() {
        let recorded = hex!(
            "7ef90106a03b752ed6bc92c1d6052ff93792f097589f3ae37d48c0743c4321e767b371602d94deaddeaddeaddeaddeaddeaddeaddeaddead00019442000000000000000000000000000000000000158080830f424080b8b23db6be2b00000558000c5fc50000000000000001000000006b01468600000000000000190000000000000000000000000000000000000000000000000000000002227b150000000000000000000000000000000000000000000000000000000000000001fb179625706faed028c853aec68e8d8d96885366b8445150d12a0ea9499672b700000000000000000000000070997970c51812dc3a010c7d01b50e0d17dc79c80000000000000000000000000190"
        );
        let mut bytes = recorded.as_slice();
        let tx = alloy_eips::Decodable2718::decode_2718(&mut bytes).unwrap();
        let op_alloy_consensus::OpTxEnvelope::Deposit(tx) = tx else { panic!("not a deposit") };
        let attributes = L1Attributes::decode(&tx.input).unwrap();
        assert_eq!(attributes.encode(), tx.input);
        assert_eq!(attributes.base_fee_scalar, 1368);
        assert_eq!((attributes.number, attributes.sequence_number), (25, 1));
        assert_eq!(attributes.da_footprint_gas_scalar, 400);
        assert_eq!(attributes.deposit(), *tx.inner());
    }

    #[test]
    fn other_forms_are_not_decoded() {
        assert_eq!(L1Attributes::decode(&[0; JOVIAN_ATTRIBUTES_LEN]), None);
        assert_eq!(L1Attributes::decode(&SELECTOR), None);
        assert_eq!(L1Attributes::decode(&[]), None);
    }
}
