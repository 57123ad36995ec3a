//! A block of 2,000 transfers: sender recovery, execution with its state root, and both building and importing.
//!
//! `cargo bench -p tributary-evm`

use std::{hint::black_box, sync::Arc};

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, B64, B256, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tributary_evm::{BuildAttributes, Built, Executor, Rejection, TransactionSource};
use tributary_spec::{ChainSpec, RecoveredBlock, Tx, predeploys::SEQUENCER_FEE_VAULT};
use tributary_state::{MemoryState, StateRef};

const TRANSFERS: u64 = 2_000;

/// First account of the dev chain.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

struct Offer(std::vec::IntoIter<Recovered<Tx>>);

impl TransactionSource for Offer {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.0.next()
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        panic!("{hash}: {why}");
    }
}

fn transfers(spec: &ChainSpec) -> Vec<Recovered<Tx>> {
    let wallet: PrivateKeySigner = KEY.parse().expect("a well-known key");
    let transfer = |nonce: u64| {
        let tx = TxEip1559 {
            chain_id: spec.chain_id(),
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::from_word(B256::from(U256::from(nonce + 1_000_000)))),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = wallet.sign_hash_sync(&tx.signature_hash()).expect("signing works");
        Recovered::new_unchecked(tx.into_signed(signature).into(), wallet.address())
    };
    (0..TRANSFERS).map(transfer).collect()
}

fn build(executor: &Executor, state: &StateRef, txs: Vec<Recovered<Tx>>) -> Built {
    let parent = executor.spec().genesis_header().clone();
    let attributes = BuildAttributes {
        timestamp: parent.timestamp + 1,
        fee_recipient: SEQUENCER_FEE_VAULT,
        parent_beacon_block_root: Some(B256::ZERO),
        gas_limit: parent.gas_limit,
        eip1559_params: Some(B64::ZERO),
        min_base_fee: Some(0),
        ..BuildAttributes::default()
    };
    let mut offer = Offer(txs.into_iter());
    executor.build(&parent, attributes, Arc::clone(state), &mut offer).expect("the block can be built")
}

fn bench(criterion: &mut Criterion) {
    let spec = ChainSpec::dev();
    let executor = Executor::new(Arc::clone(&spec));
    let state: StateRef = Arc::new(MemoryState::from_alloc(&spec.genesis().alloc));
    let txs = transfers(&spec);
    let block = build(&executor, &state, txs.clone()).executed.block;

    let mut group = criterion.benchmark_group("2000 transfers");
    group.sample_size(20).throughput(Throughput::Elements(TRANSFERS));
    group.bench_function("recover senders", |bencher| {
        bencher.iter_with_setup(|| block.to_block(), |block| black_box(RecoveredBlock::recover(block)));
    });
    group.bench_function("build", |bencher| {
        bencher.iter_with_setup(|| txs.clone(), |txs| black_box(build(&executor, &state, txs)));
    });
    group.bench_function("import", |bencher| {
        bencher.iter_with_setup(
            || block.clone(),
            |block| {
                let imported = executor.import(spec.genesis_header(), block, Arc::clone(&state));
                black_box(imported.expect("the block is valid"))
            },
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
