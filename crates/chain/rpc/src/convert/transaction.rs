//! Transactions as rollup nodes read them.

use alloy_consensus::transaction::Recovered;
use op_alloy_consensus::{OpTxEnvelope, transaction::OpTransactionInfo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::Error};
use serde_json::Value;
use std::ops::Deref;
use tributary_spec::Tx;

/// A transaction as JSON-RPC shows it, with the fields of deposits.
///
/// `isSystemTx`, which deposits before Regolith have, is a boolean, as op-geth writes it and op-node reads it; the library makes it a number.
#[derive(Debug, Clone)]
pub struct RpcTransaction(op_alloy_rpc_types::Transaction);

impl RpcTransaction {
    pub(crate) fn new(tx: Recovered<Tx>, info: OpTransactionInfo) -> Self {
        Self(op_alloy_rpc_types::Transaction::from_transaction(tx, info))
    }

    fn is_system(&self) -> bool {
        match self.0.inner.inner.inner() {
            OpTxEnvelope::Deposit(deposit) => deposit.is_system_transaction,
            _ => false,
        }
    }
}

impl Serialize for RpcTransaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_system() {
            return self.0.serialize(serializer);
        }
        let mut json = serde_json::to_value(&self.0).map_err(S::Error::custom)?;
        json["isSystemTx"] = Value::Bool(true);
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RpcTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut json = Value::deserialize(deserializer)?;
        if let Some(Value::Bool(system)) = json.get("isSystemTx").cloned() {
            json["isSystemTx"] = Value::from(if system { "0x1" } else { "0x0" });
        }
        serde_json::from_value(json).map(Self).map_err(de::Error::custom)
    }
}

impl Deref for RpcTransaction {
    type Target = op_alloy_rpc_types::Transaction;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::RpcTransaction;
    use alloy_consensus::transaction::Recovered;
    use alloy_primitives::{Address, Sealable};
    use op_alloy_consensus::{TxDeposit, transaction::OpTransactionInfo};
    use tributary_spec::Tx;

    #[test]
    fn system_deposits_say_so_in_a_boolean() {
        for is_system_transaction in [false, true] {
            let deposit = TxDeposit { is_system_transaction, ..TxDeposit::default() };
            let tx = Recovered::new_unchecked(Tx::Deposit(deposit.seal_slow()), Address::ZERO);
            let json = serde_json::to_value(RpcTransaction::new(tx, OpTransactionInfo::default())).unwrap();
            assert_eq!(
                json.get("isSystemTx").and_then(|value| value.as_bool()),
                is_system_transaction.then_some(true)
            );
            assert_eq!(json["type"], "0x7e");
            let read: RpcTransaction = serde_json::from_value(json).unwrap();
            assert_eq!(read.is_system(), is_system_transaction);
        }
    }
}
