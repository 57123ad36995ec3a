//! Blocks executed from a witness alone: the same block, or an error that says what is missing.

use alloy_primitives::{B256, Bytes, TxKind, U256, keccak256};
use proptest::{collection::vec, prelude::*};
use tributary_evm::{ExecutedBlock, ImportError, InvalidBlock, StatelessError, Witness};
use tributary_spec::{Header, RecoveredBlock};
use tributary_state::WitnessError;

use crate::{
    agree::{Step, World, step},
    chain::{Offer, TestChain, assert_equal},
    txs::{eip1559, wallet},
};

/// The chain and all its headers.
struct Chain {
    inner: TestChain,
    headers: Vec<(B256, Header)>,
}

impl Chain {
    fn new() -> Self {
        let inner = TestChain::dev();
        let headers = vec![(inner.head.hash(), inner.head.inner().clone())];
        Self { inner, headers }
    }

    fn witness(&self, block: &RecoveredBlock) -> Witness {
        let ancestors =
            |hash| self.headers.iter().find(|(known, _)| *known == hash).map(|(_, header)| header.clone());
        self.inner.executor.witness(&self.inner.head, block.clone(), self.inner.state(), &ancestors).unwrap()
    }

    fn advance(&mut self, executed: &ExecutedBlock) {
        self.inner.advance(executed);
        self.headers.push((executed.block.hash(), executed.block.header().inner().clone()));
    }

    fn stateless(&self, block: &RecoveredBlock, witness: &Witness) -> Result<ExecutedBlock, StatelessError> {
        self.inner.executor.execute_stateless(block.clone(), witness)
    }

    /// Without any one part of the witness there is an error that names it.
    fn check_each_part(&self, block: &RecoveredBlock, witness: &Witness) {
        for index in 0..witness.state.len() {
            let mut less = witness.clone();
            let gone = keccak256(less.state.remove(index));
            match self.stateless(block, &less) {
                Err(StatelessError::Witness(WitnessError::MissingNode { hash, .. })) => {
                    assert_eq!(hash, gone)
                }
                other => panic!("without node {gone}: {other:?}"),
            }
        }
        for index in 0..witness.codes.len() {
            let mut less = witness.clone();
            let gone = keccak256(less.codes.remove(index));
            match self.stateless(block, &less) {
                Err(StatelessError::Witness(WitnessError::MissingCode(hash))) => assert_eq!(hash, gone),
                other => panic!("without code {gone}: {other:?}"),
            }
        }
        let mut more = witness.clone();
        more.state.extend([Bytes::new(), Bytes::from_static(&[0x80]), Bytes::from(vec![0xff; 600])]);
        more.codes.push(Bytes::from_static(&[0xfe]));
        assert_eq!(self.stateless(block, &more).unwrap().block, *block);
        let mut garbled = witness.clone();
        garbled.state = garbled.state.iter().map(|node| node.iter().rev().copied().collect()).collect();
        assert!(matches!(self.stateless(block, &garbled), Err(StatelessError::Witness(_))));
        let without_parent = Witness { headers: Vec::new(), ..witness.clone() };
        assert!(matches!(self.stateless(block, &without_parent), Err(StatelessError::Headers(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn random_blocks_are_executed_from_their_witness_alone(blocks in vec(vec(step(), 0..14), 1..4)) {
        let mut chain = Chain::new();
        let mut world = World::default();
        for steps in blocks {
            let mut attributes = chain.inner.attributes();
            let mut offered = Vec::new();
            for step in steps {
                let tx = world.transaction(step);
                if matches!(step, Step::Deposit { .. }) {
                    attributes.transactions.push(tx);
                } else {
                    offered.push(tx);
                }
            }
            let built = chain.inner.build(attributes, &mut Offer::new(offered)).unwrap().executed;
            let witness = chain.witness(&built.block);
            let executed = chain.stateless(&built.block, &witness).unwrap();
            prop_assert_eq!(executed.block.hash(), built.block.hash());
            prop_assert_eq!(&executed.receipts, &built.receipts);
            prop_assert_eq!(&executed.hashed, &built.hashed);
            chain.check_each_part(&built.block, &witness);
            chain.advance(&built);
        }
    }
}

/// Stores the hash of the block whose number it is called with; deletes slot 1 if it is called with nothing.
const HASHES: Bytes =
    alloy_primitives::bytes!("6012600c60003960126000f3" "361560" "0c575f3540" "60015500" "5b5f60015500");

#[test]
fn headers_go_back_to_the_oldest_hash_asked_for() {
    let mut chain = Chain::new();
    let contract = wallet(0).address().create(0);
    let deploy = eip1559(&wallet(0), 0, TxKind::Create, 0, HASHES);
    let deployed = chain.inner.build_all([deploy]).executed;
    chain.advance(&deployed);
    for _ in 0..5 {
        let block = chain.inner.build_all([]).executed;
        chain.advance(&block);
    }
    let input = Bytes::from(U256::from(2).to_be_bytes::<32>());
    let asks = eip1559(&wallet(0), 1, TxKind::Call(contract), 0, input);
    let block = chain.inner.build_all([asks]).executed;
    let witness = chain.witness(&block.block);
    assert_eq!(witness.headers.len(), 5, "blocks 2 to 6");
    let executed = chain.stateless(&block.block, &witness).unwrap();
    assert_eq!(executed.hashed, block.hashed);

    let short = Witness { headers: witness.headers[1..].to_vec(), ..witness.clone() };
    match chain.stateless(&block.block, &short) {
        Err(StatelessError::Witness(WitnessError::MissingBlockHash(2))) => {}
        other => panic!("{other:?}"),
    }
    let mut gap = witness.clone();
    gap.headers.remove(2);
    assert!(matches!(chain.stateless(&block.block, &gap), Err(StatelessError::Headers(_))));
    let mut many = witness.clone();
    many.headers = vec![many.headers[0].clone(); 300];
    assert!(matches!(chain.stateless(&block.block, &many), Err(StatelessError::Headers(_))));
    chain.advance(&block);

    // The slot goes, and with it the contract's whole storage.
    let clears = eip1559(&wallet(0), 2, TxKind::Call(contract), 0, Bytes::new());
    let block = chain.inner.build_all([clears]).executed;
    assert!(block.hashed.storages[&keccak256(contract)].slots.values().all(U256::is_zero));
    let witness = chain.witness(&block.block);
    assert_eq!(chain.stateless(&block.block, &witness).unwrap().hashed, block.hashed);
    chain.check_each_part(&block.block, &witness);
}

#[test]
fn a_false_block_is_invalid_with_a_witness_too() {
    let chain = Chain::new();
    let built = chain.inner.build_all([]).executed;
    let witness = chain.witness(&built.block);
    let mut header = built.block.header().inner().clone();
    header.state_root = B256::repeat_byte(1);
    let block = built.block.to_block();
    let forged = RecoveredBlock::recover(tributary_spec::Block::new(header, block.body)).unwrap();
    match chain.stateless(&forged, &witness) {
        Err(StatelessError::Import(ImportError::Invalid(InvalidBlock::StateRoot { computed, .. }))) => {
            assert_eq!(computed, built.block.header().state_root);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_is_built_and_witnessed_without_the_pool() {
    let chain = Chain::new();
    let attributes = chain.inner.attributes();
    let ancestors = |_| None;
    let (executed, witness) = chain
        .inner
        .executor
        .payload_witness(&chain.inner.head, attributes, chain.inner.state(), &ancestors)
        .unwrap();
    assert_equal(&executed, &chain.inner.build_all([]).executed);
    let again = chain.stateless(&executed.block, &witness).unwrap();
    assert_eq!(again.block, executed.block);
    let json = serde_json::to_value(&witness).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["codes", "headers", "keys", "state"]);
    assert_eq!(serde_json::from_value::<Witness>(json).unwrap(), witness);
}
