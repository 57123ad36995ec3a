//! Whatever is built is imported alike: random blocks of every kind of transaction.

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, Bytes, TxKind};
use proptest::{collection::vec, prelude::*};
use tributary_spec::{Tx, predeploys::SEQUENCER_FEE_VAULT};

use crate::{
    chain::{Offer, TestChain, assert_equal},
    txs::{COUNTER, REVERTER, REVERTS, deposit, eip1559, eip2930, eip7702, legacy, wallet},
};

const WALLETS: usize = 4;

/// One step of a random block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Transfer {
        from: usize,
        to: usize,
        value: u64,
        legacy: bool,
    },
    Create {
        from: usize,
        reverts: bool,
    },
    /// Calls what a wallet's first transaction created, or the empty account there.
    Call {
        from: usize,
        owner: usize,
    },
    AccessList {
        from: usize,
        owner: usize,
    },
    Delegate {
        from: usize,
        authority: usize,
        clear: bool,
    },
    Economy {
        from: usize,
        precompile: u8,
    },
    BadNonce {
        from: usize,
    },
    Deposit {
        to: usize,
        mint: u64,
        value: u64,
        gas: u64,
        create: bool,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let wallet = || 0..WALLETS;
    prop_oneof![
        (wallet(), wallet(), 0..1_000_000u64, any::<bool>())
            .prop_map(|(from, to, value, legacy)| Step::Transfer { from, to, value, legacy }),
        (wallet(), any::<bool>()).prop_map(|(from, reverts)| Step::Create { from, reverts }),
        (wallet(), wallet()).prop_map(|(from, owner)| Step::Call { from, owner }),
        (wallet(), wallet()).prop_map(|(from, owner)| Step::AccessList { from, owner }),
        (wallet(), wallet(), any::<bool>()).prop_map(|(from, authority, clear)| Step::Delegate {
            from,
            authority,
            clear
        }),
        (wallet(), 1..7u8).prop_map(|(from, precompile)| Step::Economy { from, precompile }),
        wallet().prop_map(|from| Step::BadNonce { from }),
        (wallet(), 0..1_000u64, 0..2_000u64, 0..200_000u64, any::<bool>())
            .prop_map(|(to, mint, value, gas, create)| Step::Deposit { to, mint, value, gas, create }),
    ]
}

/// Nonces as they will be when the transactions run.
#[derive(Default)]
pub(crate) struct World {
    nonces: [u64; WALLETS],
    salt: u64,
}

impl World {
    fn nonce(&mut self, wallet: usize) -> u64 {
        let nonce = self.nonces[wallet];
        self.nonces[wallet] += 1;
        nonce
    }

    /// A forced or an offered transaction.
    pub(crate) fn transaction(&mut self, step: Step) -> Recovered<Tx> {
        let created = |owner: usize| TxKind::Call(wallet(owner).address().create(0));
        match step {
            Step::Transfer { from, to, value, legacy: true } => legacy(
                &wallet(from),
                self.nonce(from),
                TxKind::Call(wallet(to).address()),
                value,
                Bytes::new(),
            ),
            Step::Transfer { from, to, value, legacy: false } => eip1559(
                &wallet(from),
                self.nonce(from),
                TxKind::Call(wallet(to).address()),
                value,
                Bytes::new(),
            ),
            Step::Create { from, reverts } => {
                let nonce = self.nonce(from);
                let code = match (reverts, nonce % 2) {
                    (true, _) => REVERTS,
                    (false, 0) => COUNTER,
                    (false, _) => REVERTER,
                };
                eip1559(&wallet(from), nonce, TxKind::Create, 0, code)
            }
            Step::Call { from, owner } => {
                eip1559(&wallet(from), self.nonce(from), created(owner), 0, Bytes::new())
            }
            Step::AccessList { from, owner } => {
                eip2930(&wallet(from), self.nonce(from), created(owner), Bytes::new())
            }
            Step::Delegate { from, authority, clear } => {
                let nonce = self.nonce(from);
                let code = if clear { Address::ZERO } else { wallet(0).address().create(0) };
                let authority_nonce = self.nonce(authority);
                eip7702(&wallet(from), nonce, &wallet(authority), authority_nonce, code)
            }
            Step::Economy { from, precompile } => {
                let to = Address::with_last_byte(precompile).into_word();
                let mut to = Address::from_word(to);
                to.0[18] = 0x0a;
                eip1559(
                    &wallet(from),
                    self.nonce(from),
                    TxKind::Call(to),
                    0,
                    Bytes::from_static(&[1, 2, 3, 4]),
                )
            }
            Step::BadNonce { from } => {
                let nonce = self.nonces[from] + 1_000;
                eip1559(&wallet(from), nonce, TxKind::Call(SEQUENCER_FEE_VAULT), 0, Bytes::new())
            }
            Step::Deposit { to, mint, value, gas, create } => {
                self.salt += 1;
                let from = Address::repeat_byte(0xd0 + to as u8);
                let kind = if create { TxKind::Create } else { TxKind::Call(wallet(to).address()) };
                let input = if create { COUNTER } else { Bytes::new() };
                deposit(from, kind, mint.into(), value, gas, input, 1_000_000 + self.salt)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn built_and_imported_blocks_agree(blocks in vec(vec(step(), 0..14), 1..4)) {
        let mut chain = TestChain::dev();
        let mut world = World::default();
        for steps in blocks {
            let mut attributes = chain.attributes();
            let mut offered = Vec::new();
            let mut refused = 0;
            for step in steps {
                let tx = world.transaction(step);
                match step {
                    Step::Deposit { .. } => attributes.transactions.push(tx),
                    Step::BadNonce { .. } => { refused += 1; offered.push(tx) }
                    _ => offered.push(tx),
                }
            }
            let expected = attributes.transactions.len() + offered.len() - refused;
            let mut offer = Offer::new(offered);
            let built = chain.build(attributes, &mut offer).unwrap().executed;
            prop_assert_eq!(offer.rejected.len(), refused, "{:?}", offer.rejected);
            prop_assert_eq!(built.block.transactions().len(), expected);

            let recovered = tributary_spec::RecoveredBlock::recover(built.block.to_block()).unwrap();
            let imported = chain.import(recovered).unwrap();
            assert_equal(&built, &imported);
            chain.advance(&imported);
        }
    }
}
