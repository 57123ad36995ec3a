//! What can be read of models.

use super::register::{artifact_slot, name_slot};
use super::{ROOT, is_retired, model, owner, rates};
use crate::host::Halt;
use crate::layout::{model as field, models, source};
use crate::machine::Machine;
use crate::storage::Slot;
use alloy_primitives::{Address, aliases::U96};
use tributary_abi::IModels::{
    Model, Source, countCall, getCall, idOfArtifactCall, idOfCall, ownerAtCall, ratesAtCall, ratesAtReturn,
    retiredAtCall,
};

pub(crate) fn count(m: &mut Machine<'_>, _: countCall) -> Result<u64, Halt> {
    m.u64(ROOT, models::COUNT)
}

pub(crate) fn get(m: &mut Machine<'_>, call: getCall) -> Result<Model, Halt> {
    let (slot, head) = model(m, call.id)?;
    let base_id = field::BASE_ID.u64(head);
    // An adapter has its base's tokenizer and profile.
    let of_base = if base_id == 0 { slot } else { model(m, base_id)?.0 };
    let block = m.block;
    let now = rates(m, call.id, block)?;
    Ok(Model {
        id: call.id,
        baseId: base_id,
        owner: owner(m, slot, block)?,
        pendingOwner: m.address(slot, field::PENDING_OWNER)?,
        name: m.text(slot.of(field::NAME))?,
        uri: m.text(slot.of(field::URI))?,
        hash: m.b256(slot, field::HASH)?,
        tokenizerHash: m.b256(of_base, field::TOKENIZER_HASH)?,
        profileHash: m.b256(of_base, field::PROFILE_HASH)?,
        rank: field::RANK.u32(head),
        inRate: U96::saturating_from(now.input),
        outRate: U96::saturating_from(now.output),
        registeredBlock: field::REGISTERED_BLOCK.u64(head),
        retiredFrom: field::RETIRED_FROM.u64(head),
        sources: sources(m, slot.of(field::SOURCES))?,
    })
}

fn sources(m: &mut Machine<'_>, list: Slot) -> Result<Vec<Source>, Halt> {
    let length = m.length(list)?;
    let items = m.items(list)?;
    (0..length)
        .map(|n| {
            let word = m.load(items.word(n))?;
            Ok(Source { datanetId: source::DATANET_ID.u64(word), epoch: source::EPOCH.u64(word) })
        })
        .collect()
}

pub(crate) fn id_of(m: &mut Machine<'_>, call: idOfCall) -> Result<u64, Halt> {
    let slot = name_slot(m, &call.name)?;
    Ok(m.load(slot)?.as_limbs()[0])
}

pub(crate) fn id_of_artifact(m: &mut Machine<'_>, call: idOfArtifactCall) -> Result<u64, Halt> {
    let slot = artifact_slot(m, call.baseId, call.artifactHash)?;
    Ok(m.load(slot)?.as_limbs()[0])
}

pub(crate) fn rates_at(m: &mut Machine<'_>, call: ratesAtCall) -> Result<ratesAtReturn, Halt> {
    let rates = rates(m, call.id, call.blockNumber)?;
    Ok(ratesAtReturn {
        inRate: U96::saturating_from(rates.input),
        outRate: U96::saturating_from(rates.output),
    })
}

pub(crate) fn owner_at(m: &mut Machine<'_>, call: ownerAtCall) -> Result<Address, Halt> {
    let (slot, _) = model(m, call.id)?;
    owner(m, slot, call.blockNumber)
}

pub(crate) fn retired_at(m: &mut Machine<'_>, call: retiredAtCall) -> Result<bool, Halt> {
    let (_, head) = model(m, call.id)?;
    Ok(is_retired(head, call.blockNumber))
}
