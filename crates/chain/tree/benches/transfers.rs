//! Blocks of 2,000 transfers on a chain of 200,000 accounts: recovered, executed and rooted, written and synced.
//!
//! `cargo bench -p tributary-tree --bench transfers`

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B64, B256, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tributary_evm::{BuildAttributes, Executor, Rejection, TransactionSource};
use tributary_spec::{ChainSpec, RecoveredBlock, Tx, predeploys::SEQUENCER_FEE_VAULT};
use tributary_tree::{Chain, ChainConfig, Durability};

const ACCOUNTS: u64 = 200_000;
const TRANSFERS: u64 = 2_000;
const BLOCKS: u64 = 20;
const SENDERS: u64 = 200;

struct Offer(std::vec::IntoIter<Recovered<Tx>>);

impl TransactionSource for Offer {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.0.next()
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        panic!("{hash}: {why}");
    }
}

fn wallet(index: u64) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(index.to_be_bytes())).expect("a hash is a key")
}

fn account(index: u64) -> Address {
    Address::from_word(keccak256(index.to_le_bytes()))
}

/// The dev chain with more accounts.
fn spec() -> Arc<ChainSpec> {
    let mut genesis = ChainSpec::dev().genesis().clone();
    genesis.gas_limit = 100_000_000;
    let rich = GenesisAccount::default().with_balance(U256::from(10).pow(U256::from(20)));
    genesis.alloc.extend((0..ACCOUNTS).map(|index| (account(index), rich.clone())));
    genesis.alloc.extend((0..SENDERS).map(|index| (wallet(index).address(), rich.clone())));
    Arc::new(ChainSpec::from_genesis(genesis).expect("a genesis"))
}

/// The transfers of one block: every sender in turn, each to an account that nobody can foresee.
fn transfers(chain_id: u64, wallets: &[PrivateKeySigner], block: u64) -> Vec<Recovered<Tx>> {
    let each = TRANSFERS / SENDERS;
    let transfer = |index: u64| {
        let (sender, turn) = (&wallets[(index % SENDERS) as usize], index / SENDERS);
        let receiver = u64::from_be_bytes(
            keccak256([block, index].map(u64::to_be_bytes).concat())[..8].try_into().expect("8 bytes"),
        );
        let tx = TxEip1559 {
            chain_id,
            nonce: block * each + turn,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000_000_000_000,
            to: TxKind::Call(account(receiver % ACCOUNTS)),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = sender.sign_hash_sync(&tx.signature_hash()).expect("signing works");
        Recovered::new_unchecked(tx.into_signed(signature).into(), sender.address())
    };
    (0..TRANSFERS).map(transfer).collect()
}

fn open(spec: &Arc<ChainSpec>, path: &Path) -> Chain {
    let config = ChainConfig { durability: Durability::Acknowledged, sync: true, ..ChainConfig::default() };
    Chain::open(Executor::new(Arc::clone(spec)), path, config).expect("a chain")
}

/// Builds every block beforehand, on a chain of its own.
fn blocks(spec: &Arc<ChainSpec>) -> Vec<RecoveredBlock> {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open(spec, folder.path());
    let wallets: Vec<_> = (0..SENDERS).map(wallet).collect();
    let build = |number| {
        let parent = chain.head();
        let attributes = BuildAttributes {
            timestamp: parent.timestamp + 1,
            fee_recipient: SEQUENCER_FEE_VAULT,
            parent_beacon_block_root: Some(B256::ZERO),
            gas_limit: parent.gas_limit,
            eip1559_params: Some(B64::ZERO),
            min_base_fee: Some(0),
            ..BuildAttributes::default()
        };
        let mut offer = Offer(transfers(spec.chain_id(), &wallets, number).into_iter());
        let state = chain.state_at(parent.hash()).expect("the head's state");
        let built = chain.executor().build(&parent, attributes, state, &mut offer).expect("a block").executed;
        let block = built.block.clone();
        chain.insert(Arc::new(built)).expect("the block follows the head");
        chain.set_forkchoice(block.hash(), None, None).expect("a head");
        block
    };
    (0..BLOCKS).map(build).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    // `cargo test --benches` runs this with `--test`: compiling it is the test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let spec = spec();
    let blocks = blocks(&spec);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open(&spec, folder.path());
    let (mut recovery, mut execution, mut writing) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        let (plain, hash) = (block.to_block(), block.hash());
        let start = Instant::now();
        let block = RecoveredBlock::recover(plain).expect("signatures");
        let recovered = Instant::now();
        let status = chain.import(block).expect("an import");
        let executed = Instant::now();
        chain.set_forkchoice(hash, None, None).expect("a head");
        let written = Instant::now();
        assert_eq!(chain.head().hash(), hash, "{status:?}");
        recovery.push(recovered - start);
        execution.push(executed - recovered);
        writing.push(written - executed);
    }
    let [recovery, execution, writing] = [recovery, execution, writing].map(median);
    let all = recovery + execution + writing;
    let rate = |time: Duration| TRANSFERS as f64 / time.as_secs_f64();
    println!("{TRANSFERS} transfers, {ACCOUNTS} accounts, {BLOCKS} blocks, medians");
    println!("recover senders       {recovery:>9.1?}");
    println!("execute and root      {execution:>9.1?}  {:.0} tx/s", rate(execution));
    println!("write and sync        {writing:>9.1?}");
    println!("all of it             {all:>9.1?}  {:.0} tx/s", rate(all));
}
