//! Random histories of a chain against a model that keeps every state in full.

use crate::toy::{self, config, open, root_at};
use alloy_primitives::{B256, map::B256Map};
use proptest::prelude::*;
use tributary_spec::SealedHeader;
use tributary_state::MemoryState;
use tributary_tree::{Chain, ChainConfig, ForkchoiceStatus, TreeError, verify};

#[derive(Debug, Clone)]
enum Step {
    /// A block on some block, and perhaps the head at once.
    Grow {
        on: prop::sample::Index,
        head: bool,
    },
    /// Some block becomes the head; labels some way beneath it.
    Choose {
        head: prop::sample::Index,
        safe: u8,
        finalized: u8,
    },
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(on, head)| Step::Grow { on, head }),
        4 => (any::<prop::sample::Index>(), 0u8..6, 0u8..12)
            .prop_map(|(head, safe, finalized)| Step::Choose { head, safe, finalized }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

/// What is known of a block: its header and the state after it.
struct Known {
    header: SealedHeader,
    state: MemoryState,
}

struct Model {
    known: B256Map<Known>,
    order: Vec<B256>,
    head: B256,
    finalized: Option<B256>,
}

impl Model {
    fn chain_of(&self, mut at: B256) -> Vec<B256> {
        let mut chain = vec![at];
        while self.known[&at].header.number > 0 {
            at = self.known[&at].header.parent_hash;
            chain.push(at);
        }
        chain.reverse();
        chain
    }

    fn check(&self, chain: &Chain) {
        assert_eq!(chain.head().hash(), self.head);
        assert_eq!(chain.finalized().map(|header| header.hash()), self.finalized);
        for (number, hash) in (0..).zip(self.chain_of(self.head)) {
            assert_eq!(chain.canonical_hash(number).unwrap(), Some(hash), "block {number}");
            assert_eq!(root_at(chain, hash), self.known[&hash].state.root(), "state after {number}");
            if number > 0 {
                let block = chain.block_by_number(number).unwrap().unwrap();
                let tx = block.transactions()[0].tx_hash();
                assert_eq!(chain.transaction(tx).unwrap(), Some((hash, 0)));
            }
        }
        assert_eq!(chain.canonical_hash(chain.head().number + 1).unwrap(), None);
    }
}

fn run(steps: Vec<Step>, config: ChainConfig) {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = open(dir.path(), config.clone()).unwrap();
    let genesis = chain.head();
    let state = MemoryState::from_alloc(&chain.spec().genesis().alloc);
    let mut model = Model {
        known: B256Map::default(),
        order: vec![genesis.hash()],
        head: genesis.hash(),
        finalized: None,
    };
    model.known.insert(genesis.hash(), Known { header: genesis, state });
    for (seed, step) in (1u64..).zip(steps) {
        match step {
            Step::Grow { on, head } => {
                let parent = *on.get(&model.order);
                let hash = toy::grow(&chain, parent, seed);
                let mut state = model.known[&parent].state.clone();
                state.apply(&toy::changes(seed));
                let header = chain.header_by_hash(hash).unwrap().unwrap();
                model.known.insert(hash, Known { header, state });
                model.order.push(hash);
                if head {
                    choose(&chain, &mut model, hash, None, None);
                }
            }
            Step::Choose { head, safe, finalized } => {
                let head = *head.get(&model.order);
                let line = model.chain_of(head);
                let beneath = |depth: u8| line.len().checked_sub(1 + usize::from(depth)).map(|at| line[at]);
                choose(&chain, &mut model, head, beneath(safe), beneath(finalized).filter(|_| finalized < 9));
            }
            Step::Flush => chain.flush().unwrap(),
            Step::Reopen => {
                drop(chain);
                chain = open(dir.path(), config.clone()).unwrap();
                // Only the canonical chain is written.
                let line = model.chain_of(model.head);
                model.order.retain(|hash| line.contains(hash));
            }
        }
        model.check(&chain);
    }
    chain.flush().unwrap();
    model.check(&chain);
    verify(chain.store(), |_, _, _| ()).unwrap();
}

fn choose(chain: &Chain, model: &mut Model, head: B256, safe: Option<B256>, finalized: Option<B256>) {
    let undoes = match model.finalized {
        Some(old) if finalized.is_none() => !model.chain_of(head).contains(&old),
        _ => false,
    };
    match chain.set_forkchoice(head, safe, finalized) {
        Ok(ForkchoiceStatus::Valid) => {
            assert!(!undoes);
            model.head = head;
            model.finalized = finalized.or(model.finalized);
        }
        Err(TreeError::UndoesFinalized { .. }) => assert!(undoes),
        result => panic!("{result:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn the_chain_is_what_the_model_says(
        steps in proptest::collection::vec(step(), 1..40), lag in 0u64..4, cached in 0u64..4, room in 1u64..4
    ) {
        run(steps, ChainConfig { lag, cached, max_unwritten: room, ..config() });
    }
}
