//! Datanets.

use crate::fixture::{DATANET_FEE, TOKEN_FEE, TOKENIZER, commitment, contribute, datanet, reveal_call, seal};
use crate::world::{GOVERNOR, OPEN, Refused, TREASURY, World};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::IDatanets::*;
use tributary_abi::{IParams, address::DATANETS};
use tributary_precompiles::key_of;
use tributary_record::{DEPTH_WIDE, merkle};

fn create_call() -> createCall {
    createCall { name: "n".into(), uri: "u".into(), tokenizerHash: TOKENIZER, minMatch: 8 }
}

#[test]
fn create() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    assert_eq!(datanet(&mut w, owner), 1);
    let event = DatanetCreated::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.id, event.owner, event.minMatch), (1, owner, 8));
    assert_eq!(datanet(&mut w, owner), 2);
    assert_eq!(w.balance(TREASURY), 2 * DATANET_FEE);
    assert_eq!(w.balance(DATANETS), 0);
    assert_eq!(w.datanets(owner, 0, countCall {}).unwrap(), 2);
    let got = w.datanets(owner, 0, getCall { id: 2 }).unwrap();
    assert_eq!(
        (got.owner, got.name.as_str(), got.contributions, got.changed),
        (owner, "Devil's dictionary", 0, false)
    );
}

#[test]
fn what_create_refuses() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    let bad = |w: &mut World, change: &dyn Fn(&mut createCall)| {
        let mut call = create_call();
        change(&mut call);
        w.datanets(owner, DATANET_FEE, call)
    };
    bad(&mut w, &|call| call.name.clear()).refused(EmptyName {});
    for (length, max) in [(257, 256), (1_000, 256)] {
        let too_long = TooLong { length: U256::from(length), max: U256::from(max) };
        bad(&mut w, &|call| call.uri = "u".repeat(length)).refused(too_long.clone());
        bad(&mut w, &|call| call.name = "u".repeat(length)).refused(too_long);
    }
    for min_match in [0, 7, 65, u32::MAX] {
        bad(&mut w, &|call| call.minMatch = min_match).refused(BadMinMatch { minMatch: min_match });
    }
    for value in [0, DATANET_FEE - 1, DATANET_FEE + 1] {
        let expected = WrongValue { expected: U256::from(DATANET_FEE), got: U256::from(value) };
        w.datanets(owner, value, create_call()).refused(expected);
    }
    w.datanets(owner, 0, getCall { id: 1 }).refused(UnknownDatanet { id: 1 });
    bad(&mut w, &|call| (call.name, call.uri) = ("n".repeat(256), "u".repeat(256))).unwrap();
    assert_eq!(w.datanets(owner, 0, getCall { id: 1 }).unwrap().uri, "u".repeat(256));
}

#[test]
fn commit_reveal_seal() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    let call = reveal_call(id, 1, 300);
    let commitment = commitment(&mut w, alice, &call);
    w.datanets(alice, 0, commitCall { id, commitment }).unwrap();
    let commit_block = w.block;
    let view = getCommitmentCall { id, contributor: alice, commitment };
    assert_eq!(w.datanets(alice, 0, view.clone()).unwrap().blockNumber, commit_block);
    w.next_block();
    let treasury = w.balance(TREASURY);
    let contribution = w.datanets(alice, 300 * TOKEN_FEE, call.clone()).unwrap();
    assert_eq!(contribution, id << 32);
    assert_eq!(w.balance(TREASURY) - treasury, 300 * TOKEN_FEE);
    let event = Revealed::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.contributionId, event.commitBlock, event.firstEpoch), (contribution, commit_block, 1));
    assert_eq!(w.datanets(alice, 0, view).unwrap().contributionId, contribution);
    let got = w.datanets(alice, 0, getContributionCall { contributionId: contribution }).unwrap();
    assert_eq!((got.contributor, got.tokens, got.uri), (alice, 300, call.uri.clone()));

    assert_eq!(seal(&mut w, owner, id), 1);
    let epoch = w.datanets(owner, 0, getEpochCall { id, epoch: 1 }).unwrap();
    let leaf = merkle::contribution_leaf(0, alice, call.contentHash, call.tokensRoot, 300, commit_block);
    assert_eq!(epoch.root, merkle::root(DEPTH_WIDE, &[leaf]).unwrap());
    assert_eq!((epoch.count, epoch.tokens, epoch.sealedBlock), (1, 300, w.block));
    assert!(w.datanets(owner, 0, liveCall { contributionId: contribution, epoch: 1 }).unwrap());
}

#[test]
fn the_first_block_of_a_commitment_stands() {
    let mut w = World::new();
    let (owner, alice, bob) = (w.wallet("owner").address, w.wallet("alice").address, w.wallet("bob").address);
    let id = datanet(&mut w, owner);
    let call = reveal_call(id, 1, 10);
    let fee = 10 * TOKEN_FEE;
    let mine = commitment(&mut w, alice, &call);
    w.datanets(alice, fee, call.clone()).refused(UnknownCommitment { commitment: mine });
    w.datanets(alice, 0, commitCall { id, commitment: mine }).unwrap();
    let block = w.block;
    w.datanets(alice, fee, call.clone()).refused(RevealTooEarly { fromBlock: block + 1 });
    w.datanets(alice, 0, commitCall { id, commitment: mine })
        .refused(AlreadyCommitted { blockNumber: block });
    w.next_block();
    // Another who copies the commitment can not reveal it: it binds its sender.
    w.datanets(bob, 0, commitCall { id, commitment: mine }).unwrap();
    w.next_block();
    let his = commitment(&mut w, bob, &call);
    w.datanets(bob, fee, call.clone()).refused(UnknownCommitment { commitment: his });
    // Nor does it open with another's tokens.
    let mut changed = call.clone();
    changed.tokensRoot = B256::repeat_byte(1);
    let other = commitment(&mut w, alice, &changed);
    w.datanets(alice, fee, changed).refused(UnknownCommitment { commitment: other });
    let contribution = w.datanets(alice, fee, call.clone()).unwrap();
    w.datanets(alice, fee, call).refused(AlreadyRevealed { contributionId: contribution });
}

#[test]
fn what_reveal_refuses() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    w.datanets(alice, 0, commitCall { id: 9, commitment: B256::ZERO }).refused(UnknownDatanet { id: 9 });
    for tokens in [0, (1 << 24) + 1] {
        w.datanets(alice, 0, reveal_call(id, 1, tokens)).refused(BadTokenCount { tokens });
    }
    let mut long = reveal_call(id, 1, 5);
    long.uri = "u".repeat(300);
    w.datanets(alice, 0, long).refused(TooLong { length: U256::from(300), max: U256::from(256) });
    let call = reveal_call(id, 1, 5);
    let mine = commitment(&mut w, alice, &call);
    w.datanets(alice, 0, commitCall { id, commitment: mine }).unwrap();
    let deadline = w.now + 600;
    w.pass(600);
    let wrong = WrongValue { expected: U256::from(5 * TOKEN_FEE), got: U256::ZERO };
    w.datanets(alice, 0, call.clone()).refused(wrong);
    w.pass(1);
    w.datanets(alice, 5 * TOKEN_FEE, call).refused(CommitExpired { deadline });
}

#[test]
fn the_reveal_window_is_that_of_the_commit_block() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    let call = reveal_call(id, 1, 5);
    let mine = commitment(&mut w, alice, &call);
    w.datanets(alice, 0, commitCall { id, commitment: mine }).unwrap();
    let shorter = IParams::setCall { key: key_of("revealWindow"), value: U256::from(1) };
    w.params(GOVERNOR, shorter).unwrap();
    w.pass(500);
    w.datanets(alice, 5 * TOKEN_FEE, call).unwrap();
}

#[test]
fn a_full_datanet() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    let call = reveal_call(id, 1, 5);
    let mine = commitment(&mut w, alice, &call);
    w.datanets(alice, 0, commitCall { id, commitment: mine }).unwrap();
    w.next_block();
    let slot = keccak256([B256::from(U256::from(id)), B256::from(U256::ONE)].concat()).into();
    let word = w.memory.slot(DATANETS, slot) | (U256::from(u32::MAX) << 192);
    w.poke(DATANETS, slot, word);
    assert_eq!(w.datanets(alice, 0, getCall { id }).unwrap().contributions, u32::MAX);
    w.datanets(alice, 5 * TOKEN_FEE, call).refused(DatanetFull { id });
}

#[test]
fn reject_and_remove() {
    let mut w = World::new();
    let (owner, alice, bob) = (w.wallet("owner").address, w.wallet("alice").address, w.wallet("bob").address);
    let id = datanet(&mut w, owner);
    let first = contribute(&mut w, alice, reveal_call(id, 1, 100));
    let second = contribute(&mut w, bob, reveal_call(id, 2, 50));
    let reject = |id| rejectCall { contributionId: id };
    let remove = |id| removeCall { contributionId: id };
    let live = |w: &mut World, contribution_id, epoch| {
        w.datanets(Address::ZERO, 0, liveCall { contributionId: contribution_id, epoch }).unwrap()
    };
    w.datanets(alice, 0, reject(first)).refused(NotOwner { caller: alice, owner });
    w.datanets(owner, 0, remove(first)).refused(NotContributor { caller: owner, contributor: alice });
    w.datanets(owner, 0, reject(7)).refused(UnknownContribution { contributionId: 7 });
    w.datanets(owner, 0, reject(second)).unwrap();
    w.datanets(owner, 0, reject(second)).refused(AlreadyRemoved { contributionId: second });
    w.datanets(bob, 0, remove(second)).refused(AlreadyRemoved { contributionId: second });
    seal(&mut w, owner, id);
    let epoch = w.datanets(owner, 0, getEpochCall { id, epoch: 1 }).unwrap();
    assert_eq!((epoch.count, epoch.tokens), (2, 100));
    assert!(live(&mut w, first, 1) && !live(&mut w, second, 1));
    let got = w.datanets(owner, 0, getContributionCall { contributionId: second }).unwrap();
    assert!(got.rejected);

    w.datanets(owner, 0, reject(first)).refused(InEpoch { contributionId: first, epoch: 1 });
    w.datanets(alice, 0, remove(first)).unwrap();
    let event = Removed::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.contributionId, event.fromEpoch), (first, 2));
    assert!(live(&mut w, first, 1));
    seal(&mut w, owner, id);
    assert!(live(&mut w, first, 1) && !live(&mut w, first, 2));
    assert_eq!(w.datanets(owner, 0, getEpochCall { id, epoch: 2 }).unwrap().tokens, 0);
}

#[test]
fn what_seal_refuses() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    w.datanets(owner, 0, sealCall { id }).refused(NothingToSeal { id });
    contribute(&mut w, alice, reveal_call(id, 1, 100));
    w.datanets(alice, 0, sealCall { id }).refused(NotOwner { caller: alice, owner });
    w.datanets(owner, 0, getEpochCall { id, epoch: 1 }).refused(UnknownEpoch { id, epoch: 1 });
    seal(&mut w, owner, id);
    w.datanets(owner, 0, sealCall { id }).refused(NothingToSeal { id });
    w.datanets(owner, 0, getEpochCall { id, epoch: 0 }).refused(UnknownEpoch { id, epoch: 0 });
}

#[test]
fn pages_of_contributions() {
    let mut w = World::new();
    let (owner, alice) = (w.wallet("owner").address, w.wallet("alice").address);
    let id = datanet(&mut w, owner);
    for number in 0..5 {
        contribute(&mut w, alice, reveal_call(id, number, 10 + number));
    }
    let page =
        |w: &mut World, first, limit| w.datanets(owner, 0, contributionsCall { id, first, limit }).unwrap();
    assert_eq!(page(&mut w, 0, 100).len(), 5);
    let two: Vec<u64> = page(&mut w, 3, 2).iter().map(|c| c.tokens).collect();
    assert_eq!(two, [13, 14]);
    assert!(page(&mut w, 9, 4).is_empty() && page(&mut w, u32::MAX, u32::MAX).is_empty());
    assert!(w.balance(owner) < 10_000_000 * OPEN);
}

pub(crate) fn provoke_all() {
    create();
    what_create_refuses();
    commit_reveal_seal();
    the_first_block_of_a_commitment_stands();
    what_reveal_refuses();
    a_full_datanet();
    reject_and_remove();
    what_seal_refuses();
    pages_of_contributions();
}
