//! What a contributor does: commit, then reveal.

use super::{HERE, ROOT, check_text, datanet, pay_fee, tree};
use crate::gas;
use crate::host::{Halt, ensure};
use crate::layout;
use crate::machine::{Machine, overflow};
use crate::params::{self, Param};
use crate::storage::{Slot, low_u128};
use alloy_primitives::{Address, B256, U256};
use tributary_abi::IDatanets::{
    AlreadyCommitted, AlreadyRevealed, BadTokenCount, CommitExpired, Committed, DatanetFull, RevealTooEarly,
    Revealed, UnknownCommitment, commitCall, commitReturn, revealCall,
};
use tributary_record::{Contribution, MAX_CONTRIBUTION_TOKENS, contribution_id, merkle};

/// The slot of a commitment of `contributor` in a datanet.
pub(super) fn commitment_slot(
    m: &mut Machine<'_>,
    id: u64,
    contributor: Address,
    commitment: B256,
) -> Result<Slot, Halt> {
    let of_datanet = m.entry(ROOT.of(layout::datanets::COMMITMENTS), id)?;
    let of_sender = m.entry(of_datanet, contributor)?;
    m.entry(of_sender, commitment)
}

pub(crate) fn commit(m: &mut Machine<'_>, call: commitCall) -> Result<commitReturn, Halt> {
    use layout::commitment::{BLOCK_NUMBER, TIMESTAMP};
    datanet(m, call.id)?;
    let contributor = m.caller;
    let slot = commitment_slot(m, call.id, contributor, call.commitment)?;
    let word = m.load(slot)?;
    ensure!(word.is_zero(), AlreadyCommitted { blockNumber: BLOCK_NUMBER.u64(word) });
    let word = TIMESTAMP.put(BLOCK_NUMBER.put(word, m.block), m.now);
    m.store(slot, word)?;
    m.emit(HERE, &Committed { id: call.id, contributor, commitment: call.commitment })?;
    Ok(commitReturn {})
}

/// The hash a contributor commits to; four words more than a leaf, at the price of its eight.
pub(super) fn commitment_hash(m: &mut Machine<'_>, contribution: &Contribution) -> Result<B256, Halt> {
    m.charge(gas::keccak(8 * 32))?;
    Ok(contribution.commitment(m.config.chain_id))
}

pub(crate) fn reveal(m: &mut Machine<'_>, call: revealCall) -> Result<u64, Halt> {
    use layout::commitment::CONTRIBUTION_ID;
    let (net, head) = datanet(m, call.id)?;
    let tokens = call.tokens;
    ensure!((1..=u64::from(MAX_CONTRIBUTION_TOKENS)).contains(&tokens), BadTokenCount { tokens });
    check_text(m, &call.uri)?;
    let contributor = m.caller;
    let said = Contribution {
        datanet: call.id,
        contributor,
        content_hash: call.contentHash,
        tokens_root: call.tokensRoot,
        tokens,
        salt: call.salt,
    };
    let commitment = commitment_hash(m, &said)?;
    let slot = commitment_slot(m, call.id, contributor, commitment)?;
    let (word, commit_block) = open_commitment(m, slot, commitment)?;
    let fee = params::amount(m, Param::TokenFee)?.checked_mul(u128::from(tokens)).ok_or_else(overflow)?;
    pay_fee(m, fee)?;

    let index = layout::datanet::CONTRIBUTIONS.u32(head);
    ensure!(index < u32::MAX, DatanetFull { id: call.id });
    m.charge(gas::keccak(6 * 32) + gas::keccak(32))?;
    let leaf = merkle::contribution_leaf(
        index,
        contributor,
        call.contentHash,
        call.tokensRoot,
        tokens,
        commit_block,
    );
    tree::append(m, net, index, leaf)?;
    let contribution_id = contribution_id(call.id, index);
    m.store(slot, CONTRIBUTION_ID.put(word, contribution_id))?;
    let first_epoch = count_in(m, net, head, index, tokens)?;
    store_contribution(m, contribution_id, &said, commit_block, first_epoch, &call.uri)?;
    m.emit(
        HERE,
        &Revealed {
            contributionId: contribution_id,
            id: call.id,
            contributor,
            commitment,
            contentHash: call.contentHash,
            tokensRoot: call.tokensRoot,
            tokens,
            commitBlock: commit_block,
            firstEpoch: first_epoch,
            uri: call.uri,
        },
    )?;
    Ok(contribution_id)
}

/// A commitment that can be revealed now: its word and its block.
fn open_commitment(m: &mut Machine<'_>, slot: Slot, commitment: B256) -> Result<(U256, u64), Halt> {
    use layout::commitment::{BLOCK_NUMBER, CONTRIBUTION_ID, TIMESTAMP};
    let word = m.load(slot)?;
    ensure!(!word.is_zero(), UnknownCommitment { commitment });
    let revealed = CONTRIBUTION_ID.u64(word);
    ensure!(revealed == 0, AlreadyRevealed { contributionId: revealed });
    let block = BLOCK_NUMBER.u64(word);
    ensure!(block < m.block, RevealTooEarly { fromBlock: block.saturating_add(1) });
    let window = low_u128(params::at(m, Param::RevealWindow, block)?) as u64;
    let deadline = TIMESTAMP.u64(word).saturating_add(window);
    ensure!(m.now <= deadline, CommitExpired { deadline });
    Ok((word, block))
}

/// Adds the contribution to its datanet's counts; returns the first epoch it can be part of.
fn count_in(m: &mut Machine<'_>, net: Slot, head: U256, index: u32, tokens: u64) -> Result<u64, Halt> {
    use layout::datanet::{CHANGED, CONTRIBUTIONS, EPOCHS, LIVE_TOKENS};
    m.store(net, CHANGED.put(CONTRIBUTIONS.put(head, index + 1), 1u64))?;
    let counts = m.word(net, EPOCHS)?;
    let live = LIVE_TOKENS.u64(counts).saturating_add(tokens);
    m.store(net.of(EPOCHS), LIVE_TOKENS.put(counts, live))?;
    Ok(EPOCHS.u64(counts).saturating_add(1))
}

fn store_contribution(
    m: &mut Machine<'_>,
    id: u64,
    said: &Contribution,
    commit_block: u64,
    first_epoch: u64,
    uri: &str,
) -> Result<(), Halt> {
    use layout::contribution as field;
    let slot = m.entry(ROOT.of(layout::datanets::CONTRIBUTIONS), id)?;
    let head = field::CONTRIBUTOR.put_address(U256::ZERO, said.contributor);
    let head = field::TOKENS.put(field::COMMIT_BLOCK.put(head, commit_block), said.tokens);
    m.store(slot, head)?;
    m.set(slot, field::CONTENT_HASH, said.content_hash)?;
    m.set(slot, field::TOKENS_ROOT, said.tokens_root)?;
    m.set(slot, field::FIRST_EPOCH, first_epoch)?;
    m.set_text(slot.of(field::URI), uri)
}
