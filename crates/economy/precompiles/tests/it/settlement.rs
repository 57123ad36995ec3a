//! Channels and claims.

use crate::fixture::{Payment, agent, agent_call, batch, open, payouts, service};
use crate::world::{CHAIN_ID, CONFIG, OPEN, Refused, World};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::IAttribution::finalizeCall;
use tributary_abi::ISettlement::*;
use tributary_abi::{IAgents, address::SETTLEMENT};

#[test]
fn the_life_of_a_channel() {
    let mut w = World::new();
    let s = service(&mut w);
    let (payer, friend, channel) = (s.payer.address, w.wallet("friend").address, s.channel);
    let get = |w: &mut World| w.settlement(payer, 0, getChannelCall { channel }).unwrap();
    assert_eq!(get(&mut w).status, 1);
    assert_eq!(w.balance(SETTLEMENT), 100 * OPEN);
    w.settlement(friend, OPEN, topUpCall { channel }).unwrap();
    assert_eq!(get(&mut w).deposited, 101 * OPEN);
    s.commit(&mut w, 30 * OPEN, 30 * OPEN, B256::ZERO);
    w.settlement(payer, 0, closeCall { channel }).refused(NotClosing { channel });
    w.settlement(friend, 0, requestCloseCall { channel }).refused(NotPayer { caller: friend, payer });
    let close_at = w.settlement(payer, 0, requestCloseCall { channel }).unwrap();
    assert_eq!(close_at, w.now + 610);
    w.settlement(payer, 0, requestCloseCall { channel }).refused(ChannelClosing { channel });
    w.settlement(payer, OPEN, topUpCall { channel }).refused(ChannelClosing { channel });
    w.pass(600);
    w.settlement(payer, 0, closeCall { channel }).refused(CloseTooEarly { closeAt: close_at });
    // Until it is closed, vouchers are redeemed.
    s.commit(&mut w, 40 * OPEN, 10 * OPEN, B256::ZERO);
    w.pass(10);
    let before = w.balance(payer);
    assert_eq!(w.settlement(friend, 0, closeCall { channel }).unwrap(), 61 * OPEN);
    assert_eq!(w.balance(payer) - before, 61 * OPEN);
    assert_eq!(w.balance(SETTLEMENT), 40 * OPEN);
    w.settlement(payer, 0, closeCall { channel }).refused(ChannelIsClosed { channel });
    w.settlement(payer, 0, requestCloseCall { channel }).refused(ChannelIsClosed { channel });
    w.settlement(payer, OPEN, topUpCall { channel }).refused(ChannelIsClosed { channel });
}

#[test]
fn channel_ids_are_never_used_twice() {
    let mut w = World::new();
    let s = service(&mut w);
    let payer = s.payer.address;
    let event = ChannelOpened::decode_log_data(&w.last_logs[0].data).unwrap();
    let nonce = U256::from_be_bytes(CONFIG.genesis_hash.0);
    assert_eq!(event.nonce, nonce);
    assert_eq!(s.channel, tributary_record::channel_id(CHAIN_ID, s.agent, payer, nonce));
    assert_eq!(w.settlement(payer, 0, nextNonceCall { payer }).unwrap(), nonce + U256::ONE);
    let second = open(&mut w, &s.payer, s.agent, OPEN);
    assert_ne!(second, s.channel);
    assert_eq!(w.settlement(payer, 0, channelCountCall { payer }).unwrap(), 2);
    let of = |index| channelOfCall { payer, agentId: s.agent, index };
    assert_eq!(w.settlement(payer, 0, of(0)).unwrap(), s.channel);
    assert_eq!(w.settlement(payer, 0, of(1)).unwrap(), second);
}

#[test]
fn what_channels_refuse() {
    let mut w = World::new();
    let s = service(&mut w);
    let (payer, channel) = (s.payer.address, B256::repeat_byte(9));
    let open = |agent, signer| openCall { agentId: agent, signer };
    w.settlement(payer, OPEN, open(9, payer)).refused(UnknownAgent { id: 9 });
    w.settlement(payer, OPEN, open(s.agent, Address::ZERO)).refused(ZeroAddress {});
    w.settlement(payer, 0, open(s.agent, payer)).refused(EmptyDeposit {});
    w.settlement(payer, 0, topUpCall { channel: s.channel }).refused(EmptyDeposit {});
    let validator = w.agents(payer, OPEN, agent_call(1, payer)).unwrap();
    w.settlement(payer, OPEN, open(validator, payer)).refused(WrongKind { id: validator, kind: 1 });
    w.fund(payer, u128::MAX);
    let large = AmountTooLarge { amount: U256::from(1u128 << 96) };
    w.settlement(payer, 1 << 96, open(s.agent, payer)).refused(large.clone());
    w.settlement(payer, 1 << 96, topUpCall { channel: s.channel }).refused(large);
    w.settlement(payer, OPEN, topUpCall { channel }).refused(UnknownChannel { channel });
    w.settlement(payer, 0, getChannelCall { channel }).refused(UnknownChannel { channel });
    w.agents(s.owner.address, 0, IAgents::retireCall { id: s.agent }).unwrap();
    w.settlement(payer, OPEN, open(s.agent, payer)).refused(AgentRetired { id: s.agent });
}

fn claim_call(
    agent: u64,
    seq: u64,
    index: u32,
    account: Address,
    cumulative: u128,
    proof: Vec<B256>,
) -> claimCall {
    claimCall { agentId: agent, seq, index, account, cumulative: U256::from(cumulative), proof }
}

#[test]
fn claims_pay_once_and_only_what_is_final() {
    let mut w = World::new();
    let s = service(&mut w);
    let (alice, bob) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xb0));
    let first = payouts(&[(alice, OPEN), (bob, 2 * OPEN)]);
    let claim = |w: &mut World, seq, index, account, cumulative, proof| {
        w.settlement(s.payer.address, 0, claim_call(s.agent, seq, index, account, cumulative, proof))
    };
    let proof = |tree: &tributary_record::merkle::Tree, index| tree.proof(index).unwrap();
    let not_final = |seq| NotFinal { agentId: s.agent, seq };
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)).refused(not_final(1));
    let id = s.commit(&mut w, 10 * OPEN, 10 * OPEN, first.root());
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)).refused(not_final(1));
    w.pass(5);
    w.attribution(alice, 0, finalizeCall { batchId: id }).unwrap();
    claim(&mut w, 0, 0, alice, OPEN, proof(&first, 0)).refused(not_final(0));
    claim(&mut w, 2, 0, alice, OPEN, proof(&first, 0)).refused(not_final(2));
    // Another's proof, another amount, another place, another depth.
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 1)).refused(BadProof {});
    claim(&mut w, 1, 0, bob, OPEN, proof(&first, 0)).refused(BadProof {});
    claim(&mut w, 1, 0, alice, OPEN + 1, proof(&first, 0)).refused(BadProof {});
    claim(&mut w, 1, 2, alice, OPEN, proof(&first, 0)).refused(BadProof {});
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)[1..].to_vec()).refused(BadProof {});
    assert_eq!(claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)).unwrap(), OPEN);
    assert_eq!(w.balance(alice), OPEN);
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)).refused(NothingToClaim { claimed: OPEN });

    // Cumulative: the next batch's proof pays the difference, an old one nothing more.
    let second = payouts(&[(alice, 3 * OPEN), (bob, 2 * OPEN)]);
    s.finalized(&mut w, 20 * OPEN, 10 * OPEN, second.root());
    assert_eq!(claim(&mut w, 2, 0, alice, 3 * OPEN, proof(&second, 0)).unwrap(), 2 * OPEN);
    claim(&mut w, 1, 0, alice, OPEN, proof(&first, 0)).refused(NothingToClaim { claimed: 3 * OPEN });
    assert_eq!(claim(&mut w, 1, 1, bob, 2 * OPEN, proof(&first, 1)).unwrap(), 2 * OPEN);
    let view = claimedOfCall { agentId: s.agent, account: alice };
    assert_eq!(w.settlement(alice, 0, view).unwrap(), 3 * OPEN);
    let totals = w.settlement(alice, 0, creditedOfCall { agentId: s.agent }).unwrap();
    assert_eq!(totals.claimed, 5 * OPEN);
}

#[test]
fn a_false_payout_tree_takes_no_more_than_the_agent_s_own_batches() {
    let mut w = World::new();
    let s = service(&mut w);
    let thief = Address::repeat_byte(0x7e);
    let tree = payouts(&[(thief, 90 * OPEN), (thief, u128::MAX)]);
    s.finalized(&mut w, 10 * OPEN, 10 * OPEN, tree.root());
    let credited = w.settlement(thief, 0, creditedOfCall { agentId: s.agent }).unwrap().credited;
    assert!(credited < 10 * OPEN);
    for (index, amount) in [(0, 90 * OPEN), (1, u128::MAX)] {
        let proof = tree.proof(u64::from(index)).unwrap();
        w.settlement(thief, 0, claim_call(s.agent, 1, index, thief, amount, proof))
            .refused(ExceedsFinal { claimed: 0, credited });
    }
}

#[test]
fn cumulative_amounts_beyond_128_bits_are_refused() {
    let mut w = World::new();
    let s = service(&mut w);
    let thief = Address::repeat_byte(0x7e);
    let leaf = tributary_record::merkle::payout_leaf(0, thief, U256::MAX);
    let tree = tributary_record::merkle::Tree::new(32, vec![leaf]).unwrap();
    s.finalized(&mut w, OPEN, OPEN, tree.root());
    let credited = w.settlement(thief, 0, creditedOfCall { agentId: s.agent }).unwrap().credited;
    let call = claimCall {
        agentId: s.agent,
        seq: 1,
        index: 0,
        account: thief,
        cumulative: U256::MAX,
        proof: tree.proof(0).unwrap(),
    };
    w.settlement(thief, 0, call).refused(ExceedsFinal { claimed: 0, credited });
}

#[test]
fn vouchers_are_eip_712() {
    let mut w = World::new();
    let s = service(&mut w);
    let voucher = tributary_record::voucher::Voucher {
        channel: s.channel,
        cumulative: U256::from(7),
        request_hash: keccak256("r"),
    };
    let call =
        voucherDigestCall { channel: s.channel, cumulative: U256::from(7), requestHash: keccak256("r") };
    assert_eq!(w.settlement(s.payer.address, 0, call).unwrap(), voucher.digest(CHAIN_ID));
    let domain = alloy_sol_types::Eip712Domain::new(
        Some("Tributary".into()),
        Some("1".into()),
        Some(U256::from(CHAIN_ID)),
        Some(SETTLEMENT),
        None,
    );
    let separator = w.settlement(s.payer.address, 0, domainSeparatorCall {}).unwrap();
    assert_eq!(separator, domain.separator());
}

#[test]
fn a_void_batch_gives_back_what_it_took() {
    let mut w = World::new();
    let s = service(&mut w);
    let other = w.wallet("other");
    let closing = open(&mut w, &other, s.agent, 50 * OPEN);
    let first = s.commit(&mut w, OPEN, OPEN, B256::ZERO);
    let mut payments = [s.pay(10 * OPEN, 9 * OPEN), Payment::new(closing, &other, 20 * OPEN, 20 * OPEN)];
    let call = batch(&mut w, s.agent, &mut payments, B256::ZERO);
    let second = w.attribution(s.operator.address, 0, call).unwrap();
    let debits: Vec<_> =
        payments.iter().map(|p| ChannelAmount { channel: p.channel, amount: p.amount }).collect();
    let refund = |id, debits: &[ChannelAmount]| refundCall { batchId: id, debits: debits.to_vec() };
    let payer = s.payer.address;
    w.settlement(payer, 0, refund(B256::ZERO, &debits)).refused(UnknownBatch { batchId: B256::ZERO });
    w.settlement(payer, 0, refund(second, &debits)).refused(NotVoid { batchId: second });
    crate::availability::lose(&mut w, &s, first, second);
    let mut wrong = debits.clone();
    wrong[0].amount += 1;
    w.settlement(payer, 0, refund(second, &wrong)).refused(WrongDebits { batchId: second });
    w.settlement(payer, 0, refund(second, &debits[..1])).refused(WrongDebits { batchId: second });
    // One of the channels is closed meanwhile: its part goes to the payer.
    w.settlement(other.address, 0, requestCloseCall { channel: closing }).unwrap();
    w.pass(610);
    w.settlement(other.address, 0, closeCall { channel: closing }).unwrap();
    let before = w.balance(other.address);
    w.settlement(payer, 0, refund(second, &debits)).unwrap();
    assert_eq!(w.balance(other.address) - before, 20 * OPEN);
    let channel = w.settlement(payer, 0, getChannelCall { channel: s.channel }).unwrap();
    assert_eq!((channel.settled, channel.deposited), (OPEN, 100 * OPEN));
    w.settlement(payer, 0, refund(second, &debits)).refused(AlreadyRefunded { batchId: second });
    assert_eq!(agent(&mut w, payer, payer), 2);
}

pub(crate) fn provoke_all() {
    the_life_of_a_channel();
    channel_ids_are_never_used_twice();
    what_channels_refuse();
    claims_pay_once_and_only_what_is_final();
    a_false_payout_tree_takes_no_more_than_the_agent_s_own_batches();
    vouchers_are_eip_712();
    a_void_batch_gives_back_what_it_took();
}
