//! Registration of base models and adapters.

use super::{HERE, RATE_BITS, ROOT, is_retiring, model};
use crate::datanets::{self, check_text};
use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::{Machine, next};
use crate::params::{self, Param};
use crate::storage::{Slot, versioned};
use alloy_primitives::{Address, B256, U256, aliases::U96};
use tributary_abi::IModels::{
    AdapterRegistered, AlreadyRegistered, BadName, BadRank, BaseRegistered, ModelRetired, NameTaken, NotBase,
    NotSealed, RatesSet, Source, SourcesNotSorted, TooManySources, WrongTokenizer, registerAdapterCall,
    registerBaseCall,
};

/// The longest name of a model.
const MAX_NAME: usize = 64;

pub(crate) fn register_base(m: &mut Machine<'_>, call: registerBaseCall) -> Result<u64, Halt> {
    use layout::model as field;
    check_text(m, &call.uri)?;
    let (id, slot) = begin(m, &call.name, 0, 0)?;
    m.set(slot, field::HASH, call.weightsHash)?;
    m.set(slot, field::TOKENIZER_HASH, call.tokenizerHash)?;
    m.set(slot, field::PROFILE_HASH, call.profileHash)?;
    m.set_text(slot.of(field::URI), &call.uri)?;
    let owner = m.caller;
    m.emit(
        HERE,
        &BaseRegistered {
            id,
            owner,
            name: call.name,
            weightsHash: call.weightsHash,
            tokenizerHash: call.tokenizerHash,
            profileHash: call.profileHash,
            uri: call.uri,
        },
    )?;
    first_versions(m, id, slot, owner, (call.inRate, call.outRate))?;
    Ok(id)
}

pub(crate) fn register_adapter(m: &mut Machine<'_>, call: registerAdapterCall) -> Result<u64, Halt> {
    use layout::model as field;
    check_text(m, &call.uri)?;
    ensure!(call.rank > 0, BadRank {});
    let (base, base_head) = model(m, call.baseId)?;
    ensure!(field::BASE_ID.u64(base_head) == 0, NotBase { id: call.baseId });
    ensure!(!is_retiring(base_head), ModelRetired { id: call.baseId });
    let artifact = artifact_slot(m, call.baseId, call.artifactHash)?;
    let known = m.load(artifact)?;
    ensure!(known.is_zero(), AlreadyRegistered { id: known.as_limbs()[0] });
    let tokenizer = m.word(base, field::TOKENIZER_HASH)?;
    check_sources(m, &call.sources, tokenizer)?;
    let (id, slot) = begin(m, &call.name, call.baseId, call.rank)?;
    m.store(artifact, U256::from(id))?;
    m.set(slot, field::HASH, call.artifactHash)?;
    m.set_text(slot.of(field::URI), &call.uri)?;
    store_sources(m, slot.of(field::SOURCES), &call.sources)?;
    let owner = m.caller;
    m.emit(
        HERE,
        &AdapterRegistered {
            id,
            baseId: call.baseId,
            owner,
            name: call.name,
            artifactHash: call.artifactHash,
            rank: call.rank,
            sources: call.sources,
            uri: call.uri,
        },
    )?;
    first_versions(m, id, slot, owner, (call.inRate, call.outRate))?;
    Ok(id)
}

/// Takes the next id and the name.
fn begin(m: &mut Machine<'_>, name: &str, base: u64, rank: u32) -> Result<(u64, Slot), Halt> {
    use layout::model as field;
    ensure!(is_name(name), BadName {});
    let by_name = name_slot(m, name)?;
    let taken = m.load(by_name)?;
    ensure!(taken.is_zero(), NameTaken { id: taken.as_limbs()[0] });
    let id = next(m.u64(ROOT, layout::models::COUNT)?)?;
    m.set(ROOT, layout::models::COUNT, id)?;
    m.store(by_name, U256::from(id))?;
    let slot = m.entry(ROOT.of(layout::models::MODELS), id)?;
    let head = field::REGISTERED_BLOCK.put(field::BASE_ID.put(U256::ZERO, base), m.block);
    m.store(slot, field::RANK.put(head, rank))?;
    m.set_text(slot.of(field::NAME), name)?;
    Ok((id, slot))
}

fn first_versions(
    m: &mut Machine<'_>,
    id: u64,
    slot: Slot,
    owner: Address,
    (in_rate, out_rate): (U96, U96),
) -> Result<(), Halt> {
    versioned::begin(m, slot.of(layout::model::OWNERS), owner.into_word().into())?;
    versioned::begin(m, slot.of(layout::model::RATES), rates_value(in_rate, out_rate))?;
    let from = m.block;
    m.emit(HERE, &RatesSet { id, inRate: in_rate, outRate: out_rate, fromBlock: from })
}

pub(super) fn rates_value(in_rate: U96, out_rate: U96) -> U256 {
    U256::from(in_rate) | (U256::from(out_rate) << RATE_BITS)
}

/// [a-z0-9._-]{1,64}
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

pub(super) fn name_slot(m: &mut Machine<'_>, name: &str) -> Result<Slot, Halt> {
    let key = m.keccak(name.as_bytes())?;
    m.entry(ROOT.of(layout::models::BY_NAME), key)
}

pub(super) fn artifact_slot(m: &mut Machine<'_>, base: u64, hash: B256) -> Result<Slot, Halt> {
    let of_base = m.entry(ROOT.of(layout::models::BY_ARTIFACT), base)?;
    m.entry(of_base, hash)
}

/// Strictly ascending by datanet, each epoch sealed, each datanet of the base's tokenizer.
fn check_sources(m: &mut Machine<'_>, sources: &[Source], tokenizer: U256) -> Result<(), Halt> {
    let max = params::number(m, Param::MaxSources)?;
    let count = sources.len() as u64;
    ensure!(count <= max, TooManySources { sources: U256::from(count), max: U256::from(max) });
    let mut before = 0;
    for (index, source) in sources.iter().enumerate() {
        let Source { datanetId, epoch } = *source;
        ensure!(datanetId > before, SourcesNotSorted { index: U256::from(index) });
        before = datanetId;
        let (epochs, its_tokenizer) = datanets::pinned(m, datanetId).map_err(|halt| match halt {
            // A datanet that is not there has no sealed epoch either.
            Halt::Revert(_) => crate::host::revert(NotSealed { datanetId, epoch }),
            other => other,
        })?;
        ensure!((1..=epochs).contains(&epoch), NotSealed { datanetId, epoch });
        ensure!(its_tokenizer == tokenizer, WrongTokenizer { datanetId });
    }
    Ok(())
}

fn store_sources(m: &mut Machine<'_>, list: Slot, sources: &[Source]) -> Result<(), Halt> {
    use layout::source as field;
    m.store(list, U256::from(sources.len()))?;
    let items = m.items(list)?;
    for (source, n) in sources.iter().zip(0..) {
        let word = field::EPOCH.put(field::DATANET_ID.put(U256::ZERO, source.datanetId), source.epoch);
        m.store(items.word(n), word)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "smollm2-135m", "dict.devil_1", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "a b", "adapter:1", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
