//! Agents and their stake.

use crate::fixture::{Service, agent, agent_call, service};
use crate::world::{OPEN, Refused, World};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use tributary_abi::IAgents::*;
use tributary_abi::address::AGENTS;

fn position(w: &mut World, id: u64, account: Address) -> Position {
    w.agents(account, 0, positionCall { id, account }).unwrap()
}

/// A final batch whose stakers' part is `fees / 7`.
fn earn(w: &mut World, s: &Service, cumulative: u128, fees: u128) -> u128 {
    s.finalized(w, cumulative, fees, B256::ZERO);
    fees / 7
}

#[test]
fn register() {
    let mut w = World::new();
    let (owner, operator) = (w.wallet("owner").address, w.wallet("operator").address);
    let id = agent(&mut w, owner, operator);
    let event = AgentRegistered::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.id, event.kind, event.owner, event.operator), (1, 0, owner, operator));
    let staked = Staked::decode_log_data(&w.last_logs[1].data).unwrap();
    assert_eq!((staked.assets, staked.shares, staked.earnsFrom), (OPEN, OPEN * 1_000, w.now + 5));
    assert_eq!(w.balance(AGENTS), OPEN);
    let got = w.agents(owner, 0, getCall { id }).unwrap();
    assert_eq!((got.assets, got.ownerStake, got.operator, got.retiredFrom), (OPEN, OPEN, operator, 0));
    assert_eq!(got.peerId, "12D3KooWExample");
    assert_eq!(w.agents(owner, 0, countCall {}).unwrap(), 1);
}

#[test]
fn what_register_refuses() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    w.agents(owner, OPEN, agent_call(3, owner)).refused(BadKind { kind: 3 });
    w.agents(owner, OPEN, agent_call(0, Address::ZERO)).refused(ZeroAddress {});
    w.agents(owner, OPEN - 1, agent_call(0, owner))
        .refused(StakeTooLow { required: U256::from(OPEN), got: U256::from(OPEN - 1) });
    let mut long = agent_call(0, owner);
    long.peerId = "p".repeat(65);
    w.agents(owner, OPEN, long).refused(TooLong { length: U256::from(65), max: U256::from(64) });
    w.fund(owner, u128::MAX);
    w.agents(owner, 1 << 96, agent_call(0, owner))
        .refused(AmountTooLarge { amount: U256::from(1u128 << 96) });
    w.agents(owner, 0, getCall { id: 1 }).refused(UnknownAgent { id: 1 });
}

#[test]
fn the_owner_s_functions() {
    let mut w = World::new();
    let (owner, operator, next) =
        (w.wallet("owner").address, w.wallet("operator").address, w.wallet("next").address);
    let id = agent(&mut w, owner, operator);
    let endpoint = |uri: &str| setEndpointCall { id, uri: uri.into(), peerId: "q".into() };
    w.agents(operator, 0, setOperatorCall { id, operator: next })
        .refused(NotOwner { caller: operator, owner });
    w.agents(operator, 0, endpoint("x")).refused(NotOwner { caller: operator, owner });
    w.agents(operator, 0, retireCall { id }).refused(NotOwner { caller: operator, owner });
    w.agents(owner, 0, setOperatorCall { id, operator: Address::ZERO }).refused(ZeroAddress {});
    w.agents(owner, 0, setOperatorCall { id, operator: next }).unwrap();
    let block = w.block;
    let at = |w: &mut World, block| w.agents(owner, 0, operatorAtCall { id, blockNumber: block }).unwrap();
    assert_eq!((at(&mut w, block), at(&mut w, block + 1), at(&mut w, 0)), (operator, next, Address::ZERO));
    w.agents(owner, 0, endpoint("http://elsewhere")).unwrap();
    assert_eq!(w.agents(owner, 0, getCall { id }).unwrap().uri, "http://elsewhere");
    w.agents(owner, 0, retireCall { id }).unwrap();
    let retired =
        |w: &mut World, block| w.agents(owner, 0, retiredAtCall { id, blockNumber: block }).unwrap();
    assert!(!retired(&mut w, block) && retired(&mut w, block + 1));
    w.agents(owner, 0, retireCall { id }).refused(AgentRetired { id });
    w.agents(owner, OPEN, stakeCall { id }).refused(AgentRetired { id });
    let none = w.agents(owner, 0, rewardOfCall { id }).unwrap();
    assert_eq!((none.challenger, none.amount), (Address::ZERO, 0));
}

#[test]
fn stake_unstake_withdraw() {
    let mut w = World::new();
    let s = service(&mut w);
    let bob = w.wallet("bob").address;
    let id = s.agent;
    w.agents(bob, 0, stakeCall { id }).refused(ZeroShares {});
    let shares = w.agents(bob, 7 * OPEN, stakeCall { id }).unwrap();
    assert_eq!(shares, 7_000 * OPEN);
    let request = |shares| requestUnstakeCall { id, shares };
    w.agents(bob, 0, request(shares + 1)).refused(NotEnoughShares { has: shares, wanted: shares + 1 });
    w.agents(bob, 0, request(0)).refused(NotEnoughShares { has: shares, wanted: 0 });
    w.agents(bob, 0, withdrawCall { id }).refused(NothingToWithdraw {});
    w.agents(bob, 0, request(shares / 2)).unwrap();
    let ready_at = w.now + 20;
    w.agents(bob, 0, withdrawCall { id }).refused(InCooldown { readyAt: ready_at });
    // A second request joins the first and starts the wait anew.
    w.pass(10);
    assert_eq!(w.agents(bob, 0, request(1_000)).unwrap(), ready_at + 10);
    w.pass(19);
    w.agents(bob, 0, withdrawCall { id }).refused(InCooldown { readyAt: ready_at + 10 });
    w.pass(1);
    let before = w.balance(bob);
    let assets = w.agents(bob, 0, withdrawCall { id }).unwrap();
    assert_eq!(assets, 7 * OPEN / 2 + 1);
    assert_eq!(w.balance(bob) - before, assets);
    assert_eq!(position(&mut w, id, bob).shares, shares / 2 - 1_000);
}

#[test]
fn the_owner_s_stake_is_locked_while_it_serves() {
    let mut w = World::new();
    let s = service(&mut w);
    let (id, owner) = (s.agent, s.owner.address);
    let request = |shares| requestUnstakeCall { id, shares };
    w.agents(owner, 0, request(1)).refused(StakeLocked { id });
    w.agents(owner, OPEN, stakeCall { id }).unwrap();
    w.agents(owner, 0, request(1_000 * OPEN)).unwrap();
    w.agents(owner, 0, request(1_000)).refused(StakeLocked { id });
    let batch = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    w.agents(owner, 0, retireCall { id }).unwrap();
    w.pass(30);
    w.agents(owner, 0, withdrawCall { id }).unwrap();
    w.agents(owner, 0, request(1_000)).refused(StakeLocked { id });
    w.attribution(owner, 0, tributary_abi::IAttribution::finalizeCall { batchId: batch }).unwrap();
    w.agents(owner, 0, request(1_000 * OPEN)).unwrap();
    w.pass(20);
    assert_eq!(w.agents(owner, 0, withdrawCall { id }).unwrap(), OPEN);
}

#[test]
fn a_deposit_earns_only_after_the_challenge_window() {
    let mut w = World::new();
    let s = service(&mut w);
    let (bob, id) = (w.wallet("bob").address, s.agent);
    // Nobody earns yet: the stakers' part is the treasury's.
    let treasury = w.balance(crate::world::TREASURY);
    let call = crate::fixture::batch(&mut w, id, &mut [s.pay(OPEN, OPEN)], B256::ZERO);
    let first = w.attribution(s.operator.address, 0, call).unwrap();
    w.pass(5);
    w.agents(bob, OPEN, stakeCall { id }).unwrap();
    w.attribution(bob, 0, tributary_abi::IAttribution::finalizeCall { batchId: first }).unwrap();
    // The owner's deposit was due just now, Bob's is not.
    assert_eq!(w.balance(crate::world::TREASURY) - treasury, OPEN / 9);
    // Rounded down; the fraction of a wei is carried.
    assert_eq!(position(&mut w, id, s.owner.address).earned, OPEN / 7 - 1);
    assert_eq!(position(&mut w, id, bob).earned, 0);
    w.agents(bob, 0, collectCall { id }).refused(NothingToCollect {});
    let second = earn(&mut w, &s, 2 * OPEN, OPEN);
    let halves = second / 2;
    assert_eq!(position(&mut w, id, bob).earned, halves);
    let before = w.balance(bob);
    assert_eq!(w.agents(bob, 0, collectCall { id }).unwrap(), halves);
    assert_eq!(w.balance(bob) - before, halves);
    assert_eq!(w.agents(s.owner.address, 0, collectCall { id }).unwrap(), OPEN / 7 + halves);
    // What divisions leave is carried: in the end but a wei for each is kept.
    let third = earn(&mut w, &s, 3 * OPEN, OPEN);
    let all = [bob, s.owner.address].map(|account| position(&mut w, id, account).earned).iter().sum::<u128>();
    assert!(all + 2 >= third && w.balance(AGENTS) >= 2 * OPEN + all);
}

#[test]
fn with_nobody_earning_the_treasury_does() {
    let mut w = World::new();
    let (owner, payer) = (w.wallet("owner"), w.wallet("payer"));
    let id = agent(&mut w, owner.address, owner.address);
    let channel = crate::fixture::open(&mut w, &payer, id, 10 * OPEN);
    // A longer window: the owner's own deposit does not earn when the first batch is final.
    let keys =
        ["challengeWindow", "unstakeCooldown", "closeDelay"].map(tributary_precompiles::key_of).to_vec();
    let values = [20, 100, 700].map(U256::from).to_vec();
    let call = crate::fixture::batch(
        &mut w,
        id,
        &mut [crate::fixture::Payment::new(channel, &payer, OPEN, OPEN)],
        B256::ZERO,
    );
    let batch = w.attribution(owner.address, 0, call).unwrap();
    w.params(crate::world::GOVERNOR, tributary_abi::IParams::setManyCall { keys, values }).unwrap();
    w.next_block();
    let late = w.wallet("late").address;
    w.agents(late, OPEN, stakeCall { id }).unwrap();
    w.pass(3);
    let treasury = w.balance(crate::world::TREASURY);
    w.agents(owner.address, 0, getCall { id }).unwrap();
    w.pass(1);
    w.attribution(late, 0, tributary_abi::IAttribution::finalizeCall { batchId: batch }).unwrap();
    // The owner's deposit was made with the short window: it earns; the late one waits.
    assert_eq!(w.balance(crate::world::TREASURY) - treasury, OPEN / 9);
    assert_eq!(position(&mut w, id, late).earned, 0);
    assert_eq!(w.agents(late, 0, getCall { id }).unwrap().earningShares, 1_000 * OPEN);
}

#[test]
fn deposits_that_wait_can_be_withdrawn_and_many_of_them_cost_little() {
    let mut w = World::new();
    let s = service(&mut w);
    let (bob, id) = (w.wallet("bob").address, s.agent);
    let mut shares = 0;
    for _ in 0..12 {
        shares += w.agents(bob, OPEN, stakeCall { id }).unwrap();
        w.pass(1);
    }
    assert_eq!(position(&mut w, id, bob).shares, shares);
    let earning = position(&mut w, id, bob).earningShares;
    assert!(earning > 0 && earning < shares);
    w.agents(bob, 0, requestUnstakeCall { id, shares }).unwrap();
    w.pass(20);
    assert_eq!(w.agents(bob, 0, withdrawCall { id }).unwrap(), 12 * OPEN);
    assert_eq!(position(&mut w, id, bob).earningShares, 0);
    assert_eq!(w.agents(bob, 0, getCall { id }).unwrap().assets, OPEN);
}

pub(crate) fn provoke_all() {
    register();
    what_register_refuses();
    the_owner_s_functions();
    stake_unstake_withdraw();
    the_owner_s_stake_is_locked_while_it_serves();
    a_deposit_earns_only_after_the_challenge_window();
}
