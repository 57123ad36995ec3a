//! What goes into a block and what does not.

use alloy_primitives::{Address, B64, B256, Bytes, TxKind, U256};
use op_revm::{OpTransactionError, constants::OPERATOR_FEE_RECIPIENT};
use revm::context_interface::result::InvalidTransaction;
use tributary_evm::{
    AttributesError, BuildAttributes, BuildError, DaCaps, Rejection, Severity, TxFault, estimated_da_size,
};
use tributary_spec::{
    ExtraDataError,
    predeploys::{BASE_FEE_VAULT, L1_FEE_VAULT, SEQUENCER_FEE_VAULT},
};

use crate::{
    chain::{Offer, TestChain},
    txs::{STORES_GAS, deposit, eip1559, eip1559_with_gas, l1_attributes, wallet},
};

const EIP_7825_CAP: u64 = 1 << 24;

fn transfer(nonce: u64) -> alloy_consensus::transaction::Recovered<tributary_spec::Tx> {
    eip1559(&wallet(0), nonce, TxKind::Call(wallet(1).address()), 1, Bytes::new())
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize) -> Bytes {
    let mut word = B256::ZERO;
    let mut out = Vec::with_capacity(len + 32);
    while out.len() < len {
        word = alloy_primitives::keccak256(word);
        out.extend_from_slice(word.as_slice());
    }
    out.truncate(len);
    out.into()
}

#[test]
fn attributes_must_fit_the_fork() {
    let chain = TestChain::dev();
    let wrong = |change: fn(&mut BuildAttributes)| {
        let mut attributes = chain.attributes();
        change(&mut attributes);
        let error = chain.build(attributes, &mut ()).unwrap_err();
        assert_eq!(error.severity(), Severity::Reject);
        match error {
            BuildError::Attributes(error) => error,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(wrong(|a| a.timestamp -= 2), AttributesError::Timestamp { .. }));
    assert!(matches!(wrong(|a| a.gas_limit = u64::MAX), AttributesError::GasLimit(_)));
    assert_eq!(wrong(|a| a.eip1559_params = None), AttributesError::MissingEip1559Params);
    assert_eq!(wrong(|a| a.min_base_fee = None), AttributesError::MissingMinBaseFee);
    assert_eq!(wrong(|a| a.parent_beacon_block_root = None), AttributesError::MissingBeaconRoot);
    assert_eq!(
        wrong(|a| a.eip1559_params = Some(B64::with_last_byte(1))),
        AttributesError::Eip1559Params(ExtraDataError::ZeroDenominator)
    );
}

#[test]
fn zero_parameters_stand_for_the_chains_constants() {
    let chain = TestChain::dev();
    let block = chain.build_all([]).executed.block;
    let extra = chain.spec().decode_extra_data(&block.header().extra_data, block.header().timestamp);
    let params = extra.unwrap().unwrap().params();
    assert_eq!((params.denominator(), params.elasticity()), (250, 6));
}

#[test]
fn a_forced_transaction_that_cannot_run_is_fatal() {
    let chain = TestChain::dev();
    let mut attributes = chain.attributes();
    attributes.transactions.push(transfer(9));
    let error = chain.build(attributes, &mut ()).unwrap_err();
    assert!(matches!(error, BuildError::Forced { index: 1, fault: TxFault::Invalid(_), .. }), "{error}");
}

#[test]
fn an_offered_transaction_that_cannot_run_is_passed_over() {
    let chain = TestChain::dev();
    let mut offer = Offer::new([transfer(1), transfer(0), transfer(1)]);
    let built = chain.build(chain.attributes(), &mut offer).unwrap().executed;
    assert_eq!(built.block.transactions().len(), 3);
    assert!(
        matches!(offer.rejected.as_slice(), [(hash, why @ Rejection::Invalid(_))]
            if *hash == transfer(1).tx_hash() && !why.is_temporary()),
        "{:?}",
        offer.rejected
    );
    chain.import(built.block).unwrap();
}

#[test]
fn deposits_are_not_taken_from_the_pool() {
    let chain = TestChain::dev();
    let mut offer = Offer::new([l1_attributes(5)]);
    chain.build(chain.attributes(), &mut offer).unwrap();
    assert!(matches!(offer.rejected.as_slice(), [(_, Rejection::Invalid(TxFault::Type(0x7e)))]));
}

#[test]
fn no_tx_pool_means_it() {
    let chain = TestChain::dev();
    let attributes = BuildAttributes { no_tx_pool: true, ..chain.attributes() };
    let mut offer = Offer::new([transfer(0)]);
    let built = chain.build(attributes, &mut offer).unwrap();
    assert_eq!(built.executed.block.transactions().len(), 1);
    assert_eq!(offer.txs.len(), 1);
}

#[test]
fn the_batchers_limits_hold() {
    let chain = TestChain::dev();
    let size = estimated_da_size(&alloy_eips::Encodable2718::encoded_2718(&*transfer(0)));
    let capped = |da_caps: DaCaps| {
        let mut offer = Offer::new([transfer(0), transfer(1)]);
        let attributes = BuildAttributes { da_caps, ..chain.attributes() };
        let built = chain.build(attributes, &mut offer).unwrap();
        (built.executed.block.transactions().len() - 1, offer.rejected)
    };
    let (taken, rejected) = capped(DaCaps { max_tx: Some(size - 1), max_block: None });
    assert_eq!(taken, 0);
    assert!(matches!(rejected[0].1, Rejection::DaTx { .. }));
    let (taken, rejected) = capped(DaCaps { max_tx: Some(size), max_block: Some(2 * size - 1) });
    assert_eq!(taken, 1);
    assert!(matches!(rejected[0].1, Rejection::DaBlock { .. }) && rejected[0].1.is_temporary());
    assert_eq!(capped(DaCaps { max_tx: None, max_block: Some(2 * size) }).0, 2);
}

#[test]
fn the_da_footprint_is_limited_and_raises_the_base_fee() {
    let mut chain = TestChain::dev();
    let heavy = |nonce| {
        eip1559_with_gas(&wallet(0), nonce, TxKind::Call(Address::ZERO), 0, noise(100_000), 6_000_000)
    };
    let mut offer = Offer::new([heavy(0), heavy(1)]);
    let built = chain.build(chain.attributes(), &mut offer).unwrap().executed;
    assert!(
        matches!(offer.rejected.as_slice(), [(_, Rejection::DoesNotFit(TxFault::DaFootprint { .. }))]),
        "{:?}",
        offer.rejected
    );
    let header = built.block.header().clone();
    let footprint = header.blob_gas_used.unwrap();
    assert!(footprint > 30_000_000 && footprint <= header.gas_limit, "{footprint}");
    assert!(header.gas_used < header.gas_limit / 6, "by gas alone the base fee would fall");
    chain.import(built.block.clone()).unwrap();
    chain.advance(&built);
    let next = chain.build_all([]).executed.block;
    assert!(next.header().base_fee_per_gas > header.base_fee_per_gas);
}

#[test]
fn every_fee_of_an_op_chain_is_charged() {
    let chain = TestChain::dev();
    let built = chain.build_all([transfer(0)]);
    let balance = |account| built.executed.bundle.account(&account).unwrap().info.as_ref().unwrap().balance;
    let header = built.executed.block.header();
    assert_eq!(balance(SEQUENCER_FEE_VAULT), U256::from(21_000u64 * 1_000_000_000));
    assert_eq!(built.fees, balance(SEQUENCER_FEE_VAULT));
    assert_eq!(balance(BASE_FEE_VAULT), U256::from(21_000 * header.base_fee_per_gas.unwrap()));
    assert!(balance(L1_FEE_VAULT) > U256::ZERO);
    // Scalar 2000 and constant 500, as the deposit set them.
    assert_eq!(balance(OPERATOR_FEE_RECIPIENT), U256::from(21_000u64 * 2_000 * 100 + 500));
}

#[test]
fn deposits_are_exempt_from_the_gas_cap_and_users_are_not() {
    let chain = TestChain::dev();
    let from = Address::repeat_byte(0x42);
    let mut attributes = chain.attributes();
    attributes.transactions.push(deposit(from, TxKind::Create, 0, 0, 20_000_000, STORES_GAS, 3));
    let greedy =
        eip1559_with_gas(&wallet(0), 0, TxKind::Call(Address::ZERO), 0, Bytes::new(), EIP_7825_CAP + 1);
    let within = eip1559_with_gas(&wallet(0), 0, TxKind::Call(Address::ZERO), 0, Bytes::new(), EIP_7825_CAP);
    let mut offer = Offer::new([greedy, within]);
    let built = chain.build(attributes, &mut offer).unwrap().executed;

    let created = built.bundle.account(&from.create(0)).unwrap();
    let gas_seen = created.storage_slot(U256::ZERO).unwrap();
    assert!(gas_seen > U256::from(19_000_000), "the deposit's first frame had {gas_seen} gas");
    assert!(
        matches!(
            offer.rejected.as_slice(),
            [(
                _,
                Rejection::Invalid(TxFault::Invalid(OpTransactionError::Base(
                    InvalidTransaction::TxGasLimitGreaterThanCap { .. }
                )))
            )]
        ),
        "{:?}",
        offer.rejected
    );
    assert_eq!(built.block.transactions().len(), 3);
    chain.import(built.block).unwrap();
}

#[test]
fn a_failed_deposit_keeps_its_mint_and_counts_its_nonce() {
    let chain = TestChain::dev();
    let from = Address::repeat_byte(0x43);
    let mut attributes = chain.attributes();
    // Too little gas for its intrinsic cost, and more value than there is.
    attributes.transactions.push(deposit(from, TxKind::Call(from), 1_000, 5_000, 100, Bytes::new(), 4));
    let built = chain.build(attributes, &mut ()).unwrap().executed;
    let account = built.bundle.account(&from).unwrap().info.clone().unwrap();
    assert_eq!((account.balance, account.nonce), (U256::from(1_000), 1));
    chain.import(built.block).unwrap();
}

#[test]
fn a_full_block_stops_asking() {
    let chain = TestChain::dev();
    let opening = chain.build_all([]).executed.block.header().gas_used;
    // Each burns all of its 500,000 gas; two fit, and what is left is too little for any transaction.
    let burns =
        (0..5).map(|nonce| eip1559(&wallet(0), nonce, TxKind::Create, 0, Bytes::from_static(&[0xfe])));
    let attributes = BuildAttributes { gas_limit: opening + 1_000_000 + 20_999, ..chain.attributes() };
    let mut offer = Offer::new(burns);
    let built = chain.build(attributes, &mut offer).unwrap().executed;
    assert_eq!(built.block.header().gas_used, opening + 1_000_000);
    assert_eq!((offer.rejected.len(), offer.txs.len()), (0, 3));
    chain.import(built.block).unwrap();
}

/// The block's own bytes and the forced transactions count; what does not fit is left for a later block.
#[test]
fn offered_transactions_stop_at_the_size_of_the_block() {
    let chain = TestChain::dev();
    let sized = |max_bytes: Option<u64>| {
        let big =
            |nonce| eip1559(&wallet(0), nonce, TxKind::Call(Address::ZERO), 0, Bytes::from(vec![0; 10_000]));
        let mut offer = Offer::new((0..3).map(big));
        let attributes = BuildAttributes { max_bytes, ..chain.attributes() };
        let built = chain.build(attributes, &mut offer).unwrap().executed;
        let rejected: Vec<_> = offer.rejected.into_iter().map(|(_, why)| why).collect();
        (built.block.transactions().len() - 1, built.block.rlp_length(), rejected)
    };
    assert_eq!(sized(None).0, 3);
    assert_eq!(sized(Some(u64::MAX)).0, 3);
    let (taken, bytes, rejected) = sized(Some(25_000));
    assert!(taken == 2 && bytes <= 25_000);
    assert_eq!(rejected, [Rejection::BlockBytes { limit: 25_000 }]);
    assert!(rejected[0].is_temporary());
    // What is forced is in the block however large that is.
    assert_eq!(sized(Some(0)).0, 0);
}
