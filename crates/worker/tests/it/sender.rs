//! The operator's transactions against a pool that holds a cheaper one.

use std::sync::Arc;

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use parking_lot::Mutex;
use tokio::sync::watch;
use tributary_abi::{IAttribution, address::ATTRIBUTION};
use tributary_worker::{ChainError, ChainPort, Head, Outcome, Sender};

const HEAD: Head = Head { number: 9, hash: B256::ZERO, timestamp: 99, next_base_fee: 1_000 };

/// A chain on which nonces 7 to 9 wait in the pool, the first of them at a fee that a replacement has to pass by a tenth.
#[derive(Debug)]
struct Pool {
    waiting_fee: u128,
    taken: Mutex<Vec<(u64, u128)>>,
}

impl ChainPort for Pool {
    fn chain_id(&self) -> u64 {
        1
    }
    fn is_dev(&self) -> bool {
        true
    }
    fn head(&self) -> Head {
        HEAD
    }
    fn heads(&self) -> watch::Receiver<Head> {
        watch::channel(HEAD).1
    }
    fn call_raw(&self, _: Address, _: Address, _: Bytes) -> Result<Bytes, ChainError> {
        Err(ChainError::Unavailable("not asked".to_owned()))
    }
    fn estimate_gas(&self, _: Address, _: Address, _: Bytes) -> Result<u64, ChainError> {
        Ok(100_000)
    }
    fn next_nonce(&self, _: Address) -> Result<u64, ChainError> {
        Ok(10)
    }
    fn mined_nonce(&self, _: Address) -> Result<u64, ChainError> {
        Ok(7)
    }
    fn balance(&self, _: Address) -> Result<U256, ChainError> {
        Ok(U256::MAX)
    }
    fn submit(&self, raw: Bytes) -> Result<B256, ChainError> {
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let (nonce, fee) = (transaction.nonce(), transaction.max_fee_per_gas());
        if nonce < 10 && fee * 10 < self.waiting_fee * 11 {
            return Err(ChainError::Refused("replacement transaction underpriced".to_owned()));
        }
        self.taken.lock().push((nonce, fee));
        Ok(*transaction.tx_hash())
    }
    fn outcome(&self, _: B256) -> Result<Option<Outcome>, ChainError> {
        Ok(None)
    }
}

#[test]
fn what_waits_too_cheaply_is_replaced_and_not_queued_behind() {
    for waiting_fee in [1, 3_000_000, 100_000_000] {
        let pool = Arc::new(Pool { waiting_fee, taken: Mutex::default() });
        let sender = Sender::new(pool.clone(), PrivateKeySigner::random());
        let call = IAttribution::finalizeCall { batchId: B256::ZERO };
        sender.send(ATTRIBUTION, &call).unwrap();
        sender.send_past(ATTRIBUTION, &call).unwrap();
        let taken = pool.taken.lock().clone();
        assert_eq!((taken[0].0, taken[1].0), (10, 7), "in line, then in the place of the first");
        assert!(taken[1].1 * 10 >= waiting_fee * 11);
        assert!(taken[1].1 < 2 * waiting_fee.max(taken[0].1), "raised no more than it takes");
    }
}
