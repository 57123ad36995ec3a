//! Time and gas of what is called most, in the precompiles and as a Solidity contract on the same EVM, and the time
//! of what has a price of its own (`docs/decisions/0007-economy-gas.md`).
//!
//! `cargo bench -p tributary-precompiles`

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/fixture.rs"]
mod fixture;
#[path = "../tests/it/forge.rs"]
mod forge;
#[path = "../tests/it/reference.rs"]
mod reference;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/world.rs"]
mod world;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolCall;
use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{batch, payouts};
use reference::{REFERENCE, ready};
use std::hint::black_box;
use tributary_abi::IAttribution::{batchOfCall, commitBatchCall, finalizeCall};
use tributary_abi::ISettlement::claimCall;
use tributary_abi::address::{ATTRIBUTION, SETTLEMENT};
use tributary_record::voucher::Voucher;
use world::{CHAIN_ID, OPEN, Wallet, World};

fn compare(c: &mut Criterion, name: &str, w: &mut World, from: Address, at: Address, call: &impl SolCall) {
    let data = call.abi_encode();
    let gas = [at, REFERENCE].map(|to| w.dry_run(from, to, &data));
    println!("{name}: {} gas as a precompile, {} gas in Solidity", gas[0], gas[1]);
    let mut group = c.benchmark_group(name);
    group.sample_size(20);
    for (what, to) in [("precompile", at), ("solidity", REFERENCE)] {
        group.bench_function(what, |b| b.iter(|| w.dry_run(from, to, black_box(&data))));
    }
    group.finish();
}

fn settle(c: &mut Criterion) {
    let (mut w, s, mut payments) = ready(256);
    let alice = Address::repeat_byte(0xa1);
    let tree = payouts(&[(alice, OPEN), (Address::repeat_byte(0xb0), OPEN)]);
    let call: commitBatchCall = batch(&mut w, s.agent, &mut payments, tree.root());
    let operator = s.operator.address;
    compare(c, "commitBatch, 256 channels", &mut w, operator, ATTRIBUTION, &call);

    for to in [ATTRIBUTION, REFERENCE] {
        w.evm(operator, to, 0, &call.abi_encode()).expect("commits");
    }
    w.pass(5);
    let by_seq = batchOfCall { agentId: s.agent, seq: 1 }.abi_encode();
    let id = B256::from_slice(&w.evm(operator, ATTRIBUTION, 0, &by_seq).expect("reads").output);
    for to in [ATTRIBUTION, REFERENCE] {
        w.evm(operator, to, 0, &finalizeCall { batchId: id }.abi_encode()).expect("becomes final");
    }
    w.fund(alice, 1);
    let claim = claimCall {
        agentId: s.agent,
        seq: 1,
        index: 0,
        account: alice,
        cumulative: U256::from(OPEN),
        proof: tree.proof(0).expect("a leaf"),
    };
    compare(c, "claim", &mut w, operator, SETTLEMENT, &claim);
}

fn prices(c: &mut Criterion) {
    let mut group = c.benchmark_group("prices");
    let pair = [7u8; 64];
    group.bench_function("keccak of two words", |b| b.iter(|| keccak256(black_box(pair))));
    let page = vec![7u8; 32 * 1024];
    group.bench_function("keccak of 32 KiB", |b| b.iter(|| keccak256(black_box(&page))));
    let wallet = Wallet::new("bench");
    let voucher = Voucher { channel: B256::ZERO, cumulative: U256::ONE, request_hash: B256::ZERO };
    let signature = wallet.sign(voucher.digest(CHAIN_ID));
    group.bench_function("signer, as formats do", |b| {
        b.iter(|| voucher.signer(CHAIN_ID, black_box(&signature)));
    });
    let digest = voucher.digest(CHAIN_ID);
    let scalars = signature.first_chunk().expect("65 bytes");
    let odd = signature[64] - 27;
    group.bench_function("signer, as the EVM does", |b| {
        b.iter(|| revm::precompile::crypto().secp256k1_ecrecover(black_box(scalars), odd, &digest.0));
    });
    let (mut w, s, mut payments) = ready(256);
    let call = batch(&mut w, s.agent, &mut payments, B256::ZERO);
    let data = call.abi_encode();
    println!("decoding: commitBatch with 256 channels is {} words", data.len() / 32);
    group.bench_function("decode 256 debits", |b| b.iter(|| commitBatchCall::abi_decode(black_box(&data))));
    group.finish();
}

criterion_group!(benches, settle, prices);
criterion_main!(benches);
