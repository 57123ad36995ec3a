//! An agent's books between batches.

use crate::error::ApplyError;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tributary_record::{Credit, Header, Ledger, PayoutTree, Record};

/// A voucher with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVoucher {
    /// The cap.
    #[serde(with = "tributary_record::decimal")]
    pub cumulative: u128,
    /// The request it was signed for.
    pub request_hash: B256,
    /// r ‖ s ‖ v.
    pub signature: Bytes,
}

impl SignedVoucher {
    /// The voucher that a record carries.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            cumulative: record.cumulative,
            request_hash: record.request().hash(),
            signature: record.signature.clone(),
        }
    }
}

/// What an account may claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The agent whose batches credit it.
    pub agent_id: u64,
    /// The batch whose payout root the proof leads to.
    pub seq: u64,
    /// Place in the payout tree.
    pub index: u32,
    /// The account.
    pub account: Address,
    /// All it was ever credited.
    #[serde(with = "tributary_record::decimal")]
    pub cumulative: u128,
    /// 32 siblings, lowest first.
    pub proof: Vec<B256>,
}

/// An agent's books after its last batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// The agent.
    pub agent_id: u64,
    /// Sequence number of the last batch, 0 before the first.
    pub last_seq: u64,
    /// Its id, zero before the first.
    pub last_batch: B256,
    /// The payout tree after it.
    pub payouts: PayoutTree,
    /// The highest voucher seen of each channel: a later batch may need one whose record is long settled.
    pub vouchers: BTreeMap<B256, SignedVoucher>,
}

impl AgentState {
    /// An agent before its first batch.
    #[must_use]
    pub fn new(agent_id: u64) -> Self {
        Self {
            agent_id,
            last_seq: 0,
            last_batch: B256::ZERO,
            payouts: PayoutTree::default(),
            vouchers: BTreeMap::new(),
        }
    }

    /// Keeps a voucher when it is the channel's highest.
    pub fn note_voucher(&mut self, channel: B256, voucher: SignedVoucher) {
        let known = self.vouchers.get(&channel);
        if known.is_none_or(|known| known.cumulative < voucher.cumulative) {
            self.vouchers.insert(channel, voucher);
        }
    }

    /// Forgets the vouchers of channels that are closed.
    pub fn retain_channels(&mut self, keep: impl Fn(B256) -> bool) {
        self.vouchers.retain(|channel, _| keep(*channel));
    }

    /// Takes in a committed batch, as its records say: how a state is rebuilt from an archive.
    ///
    /// # Errors
    /// When the batch does not follow, or its records do not lead to its payout root; the state is as before.
    pub fn apply(&mut self, chain_id: u64, header: &Header, records: &[Record]) -> Result<(), ApplyError> {
        if header.agent_id != self.agent_id || header.seq != self.last_seq + 1 {
            let (got, agent, after) = (header.seq, header.agent_id, self.last_seq);
            return Err(ApplyError::NotNext { got, agent, after });
        }
        if header.prev_batch != self.last_batch {
            return Err(ApplyError::Parent { got: header.prev_batch, want: self.last_batch });
        }
        let mark = self.payouts.mark();
        let credited = self.credit(records);
        let led_there =
            self.payouts.root() == header.payout_root && self.payouts.n_accounts() == header.n_accounts;
        if credited.is_err() || !led_there {
            self.payouts.rollback(mark)?;
            return credited.and(Err(ApplyError::Root));
        }
        self.payouts.settle();
        for record in records.iter().filter(|record| !record.channel.is_zero()) {
            self.note_voucher(record.channel, SignedVoucher::of(record));
        }
        self.last_seq = header.seq;
        self.last_batch = header.batch_id(chain_id);
        Ok(())
    }

    /// What an account may claim against the last batch, once that is final.
    #[must_use]
    pub fn claim(&self, account: Address) -> Option<Claim> {
        let (index, cumulative) = self.payouts.account(account)?;
        let proof = self.payouts.proof(index).ok()?;
        Some(Claim { agent_id: self.agent_id, seq: self.last_seq, index, account, cumulative, proof })
    }

    /// Credits each record's payees. New accounts must take the places that the records give them, so they go
    /// in by ascending index.
    fn credit(&mut self, records: &[Record]) -> Result<(), ApplyError> {
        for record in records {
            let credits: Vec<Credit> = record
                .payees
                .iter()
                .map(|payee| Credit { account: payee.account, amount: payee.amount })
                .collect();
            if self.payouts.credit(&credits, &[])? != record.payees {
                return Err(ApplyError::Root);
            }
        }
        Ok(())
    }
}
