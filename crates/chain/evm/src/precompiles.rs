//! Corrections to op-revm's precompile sets.

use alloy_evm::precompiles::{DynPrecompile, PrecompilesMap};
use op_revm::OpSpecId;
use revm::precompile::{EthPrecompileResult, PrecompileHalt, PrecompileId, bn254, call_eth_precompile};

/// Largest input of bn256Pairing since Karst, in bytes: 300 pairs.
const KARST_PAIRING_MAX: usize = 57_600;

/// Karst caps bn256Pairing; op-revm 20 leaves Jovian's cap in place.
pub(crate) fn correct(precompiles: &mut PrecompilesMap, spec: OpSpecId) {
    if !spec.is_enabled_in(OpSpecId::KARST) {
        return;
    }
    let pairing = DynPrecompile::new(PrecompileId::Bn254Pairing, |input| {
        Ok(call_eth_precompile(karst_pairing, input.data, input.gas, input.reservoir))
    });
    precompiles.apply_precompile(&bn254::pair::ADDRESS, |_| Some(pairing));
}

fn karst_pairing(input: &[u8], gas_limit: u64) -> EthPrecompileResult {
    if input.len() > KARST_PAIRING_MAX {
        return Err(PrecompileHalt::Bn254PairLength);
    }
    bn254::run_pair(input, bn254::pair::ISTANBUL_PAIR_PER_POINT, bn254::pair::ISTANBUL_PAIR_BASE, gas_limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn karst_takes_300_pairs_and_no_more() {
        assert!(karst_pairing(&vec![0; KARST_PAIRING_MAX], u64::MAX).is_ok());
        let longer = vec![0; KARST_PAIRING_MAX + 192];
        assert_eq!(karst_pairing(&longer, u64::MAX).unwrap_err(), PrecompileHalt::Bn254PairLength);
    }
}
