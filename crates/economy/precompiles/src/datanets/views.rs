//! What can be read of datanets.

use super::contribute::{commitment_hash, commitment_slot};
use super::{ROOT, contribution, datanet};
use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::Machine;
use tributary_abi::IDatanets::{
    Contribution, Datanet, Epoch, UnknownEpoch, commitmentOfCall, contributionsCall, countCall, getCall,
    getCommitmentCall, getCommitmentReturn, getContributionCall, getEpochCall, liveCall,
};
use tributary_record::{contribution_id, datanet_of, index_of};

/// The most contributions of one page.
const PAGE: u32 = 64;

pub(crate) fn count(m: &mut Machine<'_>, _: countCall) -> Result<u64, Halt> {
    m.u64(ROOT, layout::datanets::COUNT)
}

pub(crate) fn get(m: &mut Machine<'_>, call: getCall) -> Result<Datanet, Halt> {
    use layout::datanet as field;
    let (slot, head) = datanet(m, call.id)?;
    let counts = m.word(slot, field::EPOCHS)?;
    Ok(Datanet {
        owner: field::OWNER.address(head),
        name: m.text(slot.of(field::NAME))?,
        uri: m.text(slot.of(field::URI))?,
        tokenizerHash: m.b256(slot, field::TOKENIZER_HASH)?,
        minMatch: field::MIN_MATCH.u32(head),
        contributions: field::CONTRIBUTIONS.u32(head),
        epochs: field::EPOCHS.u64(counts),
        liveTokens: field::LIVE_TOKENS.u64(counts),
        changed: field::CHANGED.flag(head),
    })
}

pub(crate) fn get_epoch(m: &mut Machine<'_>, call: getEpochCall) -> Result<Epoch, Halt> {
    use layout::epoch as field;
    let (net, _) = datanet(m, call.id)?;
    let epochs = m.u64(net, layout::datanet::EPOCHS)?;
    ensure!((1..=epochs).contains(&call.epoch), UnknownEpoch { id: call.id, epoch: call.epoch });
    let slot = m.entry(net.of(layout::datanet::SEALED), call.epoch)?;
    let word = m.word(slot, field::COUNT)?;
    Ok(Epoch {
        root: m.b256(slot, field::ROOT)?,
        count: field::COUNT.u32(word),
        tokens: field::TOKENS.u64(word),
        sealedBlock: field::SEALED_BLOCK.u64(word),
    })
}

pub(crate) fn get_contribution(m: &mut Machine<'_>, call: getContributionCall) -> Result<Contribution, Halt> {
    read_contribution(m, call.contributionId)
}

fn read_contribution(m: &mut Machine<'_>, id: u64) -> Result<Contribution, Halt> {
    use layout::contribution as field;
    let (slot, head) = contribution(m, id)?;
    let state = m.word(slot, field::FIRST_EPOCH)?;
    Ok(Contribution {
        id,
        contributor: field::CONTRIBUTOR.address(head),
        contentHash: m.b256(slot, field::CONTENT_HASH)?,
        tokensRoot: m.b256(slot, field::TOKENS_ROOT)?,
        tokens: field::TOKENS.u64(head),
        commitBlock: field::COMMIT_BLOCK.u64(head),
        firstEpoch: field::FIRST_EPOCH.u64(state),
        removedEpoch: field::REMOVED_EPOCH.u64(state),
        rejected: field::REJECTED.flag(state),
        uri: m.text(slot.of(field::URI))?,
    })
}

pub(crate) fn contributions(m: &mut Machine<'_>, call: contributionsCall) -> Result<Vec<Contribution>, Halt> {
    let (_, head) = datanet(m, call.id)?;
    let end = call.first.saturating_add(call.limit.min(PAGE));
    let end = end.min(layout::datanet::CONTRIBUTIONS.u32(head));
    (call.first..end).map(|index| read_contribution(m, contribution_id(call.id, index))).collect()
}

pub(crate) fn get_commitment(
    m: &mut Machine<'_>,
    call: getCommitmentCall,
) -> Result<getCommitmentReturn, Halt> {
    use layout::commitment as field;
    let slot = commitment_slot(m, call.id, call.contributor, call.commitment)?;
    let word = m.load(slot)?;
    Ok(getCommitmentReturn {
        blockNumber: field::BLOCK_NUMBER.u64(word),
        timestamp: field::TIMESTAMP.u64(word),
        contributionId: field::CONTRIBUTION_ID.u64(word),
    })
}

pub(crate) fn commitment_of(
    m: &mut Machine<'_>,
    call: commitmentOfCall,
) -> Result<alloy_primitives::B256, Halt> {
    commitment_hash(
        m,
        &tributary_record::Contribution {
            datanet: call.id,
            contributor: call.contributor,
            content_hash: call.contentHash,
            tokens_root: call.tokensRoot,
            tokens: call.tokens,
            salt: call.salt,
        },
    )
}

pub(crate) fn live(m: &mut Machine<'_>, call: liveCall) -> Result<bool, Halt> {
    use layout::contribution as field;
    let id = call.contributionId;
    let (slot, _) = contribution(m, id)?;
    let state = m.word(slot, field::FIRST_EPOCH)?;
    let epoch = get_epoch(m, getEpochCall { id: datanet_of(id), epoch: call.epoch })?;
    let removed = field::REMOVED_EPOCH.u64(state);
    Ok(index_of(id) < epoch.count && (removed == 0 || removed > call.epoch))
}
