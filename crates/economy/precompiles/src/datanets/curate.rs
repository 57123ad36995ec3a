//! What a datanet's owner does, and how a contribution leaves.

use super::{HERE, ROOT, check_text, contribution, datanet, only_owner, pay_fee, tree};
use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::{Machine, next, overflow};
use crate::params::{self, Param};
use crate::storage::Slot;
use alloy_primitives::U256;
use tributary_abi::IDatanets::{
    AlreadyRemoved, BadMinMatch, DatanetCreated, EmptyName, InEpoch, NotContributor, NothingToSeal, Rejected,
    Removed, Sealed, createCall, rejectCall, rejectReturn, removeCall, removeReturn, sealCall,
};
use tributary_record::{MIN_MATCH_RANGE, datanet_of};

pub(crate) fn create(m: &mut Machine<'_>, call: createCall) -> Result<u64, Halt> {
    use layout::datanet as field;
    ensure!(!call.name.is_empty(), EmptyName {});
    check_text(m, &call.name)?;
    check_text(m, &call.uri)?;
    ensure!(MIN_MATCH_RANGE.contains(&call.minMatch), BadMinMatch { minMatch: call.minMatch });
    let fee = params::amount(m, Param::DatanetFee)?;
    pay_fee(m, fee)?;
    let id = next(m.u64(ROOT, layout::datanets::COUNT)?)?;
    // Contribution ids keep 32 bits for the datanet.
    if id > u64::from(u32::MAX) {
        return Err(overflow());
    }
    m.set(ROOT, layout::datanets::COUNT, id)?;
    let slot = m.entry(ROOT.of(layout::datanets::DATANETS), id)?;
    let owner = m.caller;
    m.store(slot, field::MIN_MATCH.put(field::OWNER.put_address(U256::ZERO, owner), call.minMatch))?;
    m.set(slot, field::TOKENIZER_HASH, call.tokenizerHash)?;
    m.set_text(slot.of(field::NAME), &call.name)?;
    m.set_text(slot.of(field::URI), &call.uri)?;
    m.emit(
        HERE,
        &DatanetCreated {
            id,
            owner,
            name: call.name,
            uri: call.uri,
            tokenizerHash: call.tokenizerHash,
            minMatch: call.minMatch,
        },
    )?;
    Ok(id)
}

pub(crate) fn reject(m: &mut Machine<'_>, call: rejectCall) -> Result<rejectReturn, Halt> {
    use layout::contribution as field;
    let id = call.contributionId;
    let (slot, head) = contribution(m, id)?;
    let (net, net_head) = datanet(m, datanet_of(id))?;
    only_owner(m, net_head)?;
    let state = m.word(slot, field::FIRST_EPOCH)?;
    check_there(id, state)?;
    let epochs = m.u64(net, layout::datanet::EPOCHS)?;
    let first = field::FIRST_EPOCH.u64(state);
    ensure!(epochs < first, InEpoch { contributionId: id, epoch: first });
    let state = field::REJECTED.put(field::REMOVED_EPOCH.put(state, first), 1u64);
    m.store(slot.of(field::FIRST_EPOCH), state)?;
    take_out(m, net, net_head, field::TOKENS.u64(head))?;
    m.emit(HERE, &Rejected { contributionId: id, id: datanet_of(id) })?;
    Ok(rejectReturn {})
}

pub(crate) fn remove(m: &mut Machine<'_>, call: removeCall) -> Result<removeReturn, Halt> {
    use layout::contribution as field;
    let id = call.contributionId;
    let (slot, head) = contribution(m, id)?;
    let contributor = field::CONTRIBUTOR.address(head);
    ensure!(m.caller == contributor, NotContributor { caller: m.caller, contributor });
    let (net, net_head) = datanet(m, datanet_of(id))?;
    let state = m.word(slot, field::FIRST_EPOCH)?;
    check_there(id, state)?;
    let from = next(m.u64(net, layout::datanet::EPOCHS)?)?;
    m.store(slot.of(field::FIRST_EPOCH), field::REMOVED_EPOCH.put(state, from))?;
    take_out(m, net, net_head, field::TOKENS.u64(head))?;
    m.emit(HERE, &Removed { contributionId: id, id: datanet_of(id), fromEpoch: from })?;
    Ok(removeReturn {})
}

/// Neither removed nor rejected yet.
fn check_there(id: u64, state: U256) -> Result<(), Halt> {
    let gone = layout::contribution::REMOVED_EPOCH.u64(state) != 0;
    ensure!(!gone, AlreadyRemoved { contributionId: id });
    Ok(())
}

/// Takes tokens out of what the next epoch counts as live.
fn take_out(m: &mut Machine<'_>, net: Slot, head: U256, tokens: u64) -> Result<(), Halt> {
    use layout::datanet::{CHANGED, LIVE_TOKENS};
    m.store(net, CHANGED.put(head, 1u64))?;
    let live = m.u64(net, LIVE_TOKENS)?.checked_sub(tokens).ok_or_else(overflow)?;
    m.set(net, LIVE_TOKENS, live)
}

pub(crate) fn seal(m: &mut Machine<'_>, call: sealCall) -> Result<u64, Halt> {
    use layout::{datanet as net_field, epoch as field};
    let (net, head) = datanet(m, call.id)?;
    only_owner(m, head)?;
    ensure!(net_field::CHANGED.flag(head), NothingToSeal { id: call.id });
    let count = net_field::CONTRIBUTIONS.u32(head);
    let root = tree::root(m, net, count)?;
    let counts = m.word(net, net_field::EPOCHS)?;
    let epoch = next(net_field::EPOCHS.u64(counts))?;
    let tokens = net_field::LIVE_TOKENS.u64(counts);
    m.store(net, net_field::CHANGED.put(head, 0u64))?;
    m.store(net.of(net_field::EPOCHS), net_field::EPOCHS.put(counts, epoch))?;
    let slot = m.entry(net.of(net_field::SEALED), epoch)?;
    m.set(slot, field::ROOT, root)?;
    let word = field::TOKENS.put(field::COUNT.put(U256::ZERO, count), tokens);
    m.store(slot.of(field::COUNT), field::SEALED_BLOCK.put(word, m.block))?;
    m.emit(HERE, &Sealed { id: call.id, epoch, root, count, tokens })?;
    Ok(epoch)
}
