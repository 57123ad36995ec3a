//! `eth_createAccessList`.

use crate::{
    RpcContext, RpcError,
    eth::{CallRequest, request::halt_text},
};
use alloy_eips::{
    BlockId,
    eip2930::{AccessList, AccessListItem},
};
use alloy_op_evm::OpTx;
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::AccessListResult;
use op_revm::OpHaltReason;
use revm::{
    context_interface::result::{ExecutionResult, ResultAndState},
    state::EvmState,
};
use revm_inspectors::access_list::AccessListInspector;
use std::collections::BTreeMap;
use tributary_evm::Sandbox;

impl RpcContext {
    /// What a transaction touches, and what it costs when it says so beforehand.
    pub(crate) fn access_list(&self, call: CallRequest) -> Result<AccessListResult, RpcError> {
        let (mut sandbox, mut tx) = self.prepare(call, BlockId::latest())?;
        let mut inspector = AccessListInspector::new(tx.0.base.access_list.clone());
        let first = sandbox.inspect(tx.clone(), &mut inspector)?;
        let access_list = with_precompiles(inspector.into_access_list(), &first.state);
        if let Some(error) = failure(&first) {
            return Ok(AccessListResult { access_list, gas_used: gas_of(&first), error: Some(error) });
        }
        let second = with_list(&mut sandbox, &mut tx, access_list.clone())?;
        Ok(AccessListResult { access_list, gas_used: gas_of(&second), error: failure(&second) })
    }
}

fn with_list(
    sandbox: &mut Sandbox,
    tx: &mut OpTx,
    list: AccessList,
) -> Result<ResultAndState<OpHaltReason>, RpcError> {
    tx.0.base.access_list = list;
    if tx.0.base.tx_type == 0 {
        tx.0.base.tx_type = 1;
    }
    Ok(sandbox.transact(tx.clone())?)
}

/// Slots that the economy's precompiles read leave no trace in opcodes; the journal has them.
fn with_precompiles(list: AccessList, state: &EvmState) -> AccessList {
    let mut touched: BTreeMap<_, Vec<B256>> =
        list.0.into_iter().map(|item| (item.address, item.storage_keys)).collect();
    for (address, account) in state {
        if is_economy(address) && !account.storage.is_empty() {
            let slots = touched.entry(*address).or_default();
            slots.extend(account.storage.keys().map(|slot| B256::from(*slot)));
            slots.sort_unstable();
            slots.dedup();
        }
    }
    AccessList(
        touched.into_iter().map(|(address, storage_keys)| AccessListItem { address, storage_keys }).collect(),
    )
}

/// `0x…0A01` to `0x…0A06`.
fn is_economy(address: &Address) -> bool {
    let (zeros, tail) = address.split_at(18);
    zeros.iter().all(|byte| *byte == 0) && tail[0] == 0x0a && (1..=6).contains(&tail[1])
}

fn gas_of(result: &ResultAndState<OpHaltReason>) -> U256 {
    U256::from(result.result.tx_gas_used())
}

fn failure(result: &ResultAndState<OpHaltReason>) -> Option<String> {
    match &result.result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(RpcError::Reverted(output.clone()).to_string()),
        ExecutionResult::Halt { reason, gas, .. } => Some(halt_text(reason, gas.tx_gas_used())),
    }
}
