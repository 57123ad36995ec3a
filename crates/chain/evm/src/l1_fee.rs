//! What a transaction owes for its bytes on L1, and to the operator.

use alloy_primitives::U256;
use op_revm::{
    L1BlockInfo, OpSpecId,
    constants::{ECOTONE_L1_BLOB_BASE_FEE_SLOT, L1_BLOCK_CONTRACT, L1_OVERHEAD_SLOT, L1_SCALAR_SLOT},
};
use revm::Database;

/// Scale of [`op_revm::estimate_tx_compressed_size`].
const ESTIMATE_SCALE: u64 = 1_000_000;

/// Bytes a transaction is expected to take on L1 once compressed (Fjord's estimate): what DA caps and footprints count.
pub fn estimated_da_size(encoded: &[u8]) -> u64 {
    op_revm::estimate_tx_compressed_size(encoded) / ESTIMATE_SCALE
}

/// Fee parameters of a block, read from L1Block after the block's L1-attributes deposit.
#[derive(Debug, Clone)]
pub struct L1Fees {
    info: L1BlockInfo,
    spec: OpSpecId,
    bedrock: Option<BedrockFormula>,
}

/// Bedrock's parameters, for blocks whose Ecotone parameters are not set yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BedrockFormula {
    overhead: U256,
    scalar: U256,
}

impl L1Fees {
    /// Reads the parameters from a state.
    pub fn fetch<DB: Database>(db: &mut DB, block_number: u64, spec: OpSpecId) -> Result<Self, DB::Error> {
        let mut info = L1BlockInfo::try_fetch(db, U256::from(block_number), spec)?;
        let bedrock = first_ecotone_block(db, &info, spec)?;
        // op-revm's own fallback reads the wrong slots; ours replaces it.
        info.empty_ecotone_scalars = false;
        Ok(Self { info, spec, bedrock })
    }

    /// L1 data fee of an encoded transaction, in wei. Zero for deposits.
    pub fn l1_cost(&self, encoded: &[u8]) -> U256 {
        let mut info = self.info.clone();
        match self.bedrock {
            Some(formula) if !is_deposit(encoded) => formula.cost(&info, encoded),
            // The clone has no cost cached, so receipts of one block cannot see each other's.
            _ => info.calculate_tx_l1_cost(encoded, self.spec),
        }
    }

    /// Operator fee for an amount of gas, in wei. Zero for deposits and before Isthmus.
    pub fn operator_fee(&self, encoded: &[u8], gas: u64) -> U256 {
        if !self.spec.is_enabled_in(OpSpecId::ISTHMUS) {
            return U256::ZERO;
        }
        self.info.operator_fee_charge(encoded, U256::from(gas), self.spec)
    }

    /// DA footprint of an encoded transaction, in gas. Zero for deposits and before Jovian.
    pub fn da_footprint(&self, encoded: &[u8]) -> u64 {
        if is_deposit(encoded) {
            return 0;
        }
        let scalar = self.info.da_footprint_gas_scalar.unwrap_or_default();
        estimated_da_size(encoded).saturating_mul(u64::from(scalar))
    }

    /// Whether a transaction owes by these parameters what it owes by `other`.
    pub fn same_prices(&self, other: &Self) -> bool {
        let prices = |fees: &Self| L1BlockInfo { l2_block: None, ..fees.info.clone() };
        self.spec == other.spec && self.bedrock == other.bedrock && prices(self) == prices(other)
    }

    /// The raw parameters, for receipts.
    pub const fn info(&self) -> &L1BlockInfo {
        &self.info
    }

    /// The parameters as the EVM keeps them, with the fee of the transaction to come filled in where op-revm would
    /// compute a wrong one.
    pub(crate) fn for_evm(&self, encoded: &[u8]) -> L1BlockInfo {
        let mut info = self.info.clone();
        info.tx_l1_cost = self.bedrock.map(|formula| formula.cost(&self.info, encoded));
        info
    }
}

impl BedrockFormula {
    /// `(calldataGas + overhead) · l1BaseFee · scalar / 10⁶`, calldata gas as of Regolith.
    fn cost(self, info: &L1BlockInfo, encoded: &[u8]) -> U256 {
        info.data_gas(encoded, OpSpecId::REGOLITH)
            .saturating_add(self.overhead)
            .saturating_mul(info.l1_base_fee)
            .saturating_mul(self.scalar)
            / U256::from(1_000_000)
    }
}

/// The first Ecotone block still pays Bedrock's fee, since its parameters come with the next block. It is known by the blob
/// base fee (slot 7) and both scalars (in slot 3) being zero; the formula's scalar is in slot 6, its overhead in slot 5. Every later
/// fork keeps the rule, as it may be activated in the same block.
fn first_ecotone_block<DB: Database>(
    db: &mut DB,
    info: &L1BlockInfo,
    spec: OpSpecId,
) -> Result<Option<BedrockFormula>, DB::Error> {
    let scalars_empty =
        info.l1_base_fee_scalar.is_zero() && info.l1_blob_base_fee_scalar.unwrap_or_default().is_zero();
    if !spec.is_enabled_in(OpSpecId::ECOTONE) || !scalars_empty {
        return Ok(None);
    }
    if !db.storage(L1_BLOCK_CONTRACT, ECOTONE_L1_BLOB_BASE_FEE_SLOT)?.is_zero() {
        return Ok(None);
    }
    Ok(Some(BedrockFormula {
        overhead: db.storage(L1_BLOCK_CONTRACT, L1_OVERHEAD_SLOT)?,
        scalar: db.storage(L1_BLOCK_CONTRACT, L1_SCALAR_SLOT)?,
    }))
}

fn is_deposit(encoded: &[u8]) -> bool {
    matches!(encoded.first(), None | Some(0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::{database::CacheDB, database_interface::EmptyDB};

    fn db(slots: &[(u64, u64)]) -> CacheDB<EmptyDB> {
        let mut db = CacheDB::new(EmptyDB::default());
        db.insert_account_info(L1_BLOCK_CONTRACT, Default::default());
        for (slot, value) in slots {
            db.insert_account_storage(L1_BLOCK_CONTRACT, U256::from(*slot), U256::from(*value)).unwrap();
        }
        db
    }

    /// op-revm takes the zero scalar of slot 3 here, so that the block pays nothing.
    #[test]
    fn the_first_ecotone_block_pays_bedrocks_fee() {
        let mut db = db(&[(1, 1_000_000), (5, 188), (6, 684_000)]);
        for spec in [OpSpecId::ECOTONE, OpSpecId::FJORD] {
            let fees = L1Fees::fetch(&mut db, 1, spec).unwrap();
            let expected: u64 = (3 * 16 + 188) * 1_000_000 * 684_000 / 1_000_000;
            assert_eq!(fees.l1_cost(&[0xfa, 0xca, 0xde]), U256::from(expected));
            assert_eq!(fees.for_evm(&[0xfa, 0xca, 0xde]).tx_l1_cost, Some(U256::from(expected)));
            assert_eq!(fees.l1_cost(&[0x7e, 1]), U256::ZERO);
        }
    }

    #[test]
    fn a_blob_base_fee_ends_the_exception() {
        let mut db = db(&[(1, 1_000_000), (5, 188), (6, 684_000), (7, 1)]);
        let fees = L1Fees::fetch(&mut db, 1, OpSpecId::ECOTONE).unwrap();
        assert_eq!(fees.l1_cost(&[0xfa, 0xca, 0xde]), U256::ZERO);
    }
}
