//! Random operations on batches and claims.

use super::sim::{Batch, Sim};
use crate::fixture::{payouts, records};
use crate::world::CONFIG;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tributary_abi::address::{ATTRIBUTION, SETTLEMENT};
use tributary_abi::{IAttribution, ISettlement};
use tributary_record::voucher::Voucher;
use tributary_record::{ALGO_ID, BatchBytes};

impl Sim {
    /// Random payments from some of the agent's channels, ascending.
    pub(super) fn debits(&mut self, agent: usize) -> (Vec<IAttribution::Debit>, Vec<Bytes>) {
        let channels = self.agents[agent].channels.clone();
        let wanted = self.pick(4).min(channels.len());
        let mut chosen: Vec<usize> = channels.choose_multiple(&mut self.rng, wanted).copied().collect();
        chosen.sort_by_key(|index| self.channels[*index].id);
        let mut debits = Vec::new();
        let mut signatures = Vec::new();
        for index in chosen {
            let (channel, payer) = (self.channels[index].id, self.channels[index].payer);
            let info = self.view(SETTLEMENT, &ISettlement::getChannelCall { channel });
            let free = info.deposited - info.settled;
            let amount = match self.pick(30) {
                0 => self.amount(),
                1 => free,
                _ => self.rng.random_range(0..=free / 4),
            };
            let cap = if self.chance(96) { info.settled.saturating_add(amount) } else { self.amount() };
            let cumulative = U256::from(cap);
            let request_hash = keccak256(self.rng.random::<u64>().to_be_bytes());
            let digest = Voucher { channel, cumulative, request_hash }.digest(CONFIG.chain_id);
            let signer = if self.chance(98) { payer } else { self.account() };
            signatures.push(self.wallets[signer].sign(digest));
            debits.push(IAttribution::Debit { channel, cumulative, requestHash: request_hash, amount });
        }
        (debits, signatures)
    }

    /// A split of the fees in any proportion.
    pub(super) fn totals(&mut self, fees: u128) -> IAttribution::Totals {
        let mut left = fees;
        let mut part = |rng: &mut ChaCha8Rng| {
            let part = rng.random_range(0..=left) / 2;
            left -= part;
            part
        };
        let (platform, model) = (part(&mut self.rng), part(&mut self.rng));
        let (stakers, treasury) = (part(&mut self.rng), part(&mut self.rng));
        IAttribution::Totals { fees, platform, model, stakers, contributors: left, treasury }
    }

    pub(super) fn commit(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (debits, signatures) = self.debits(agent);
        let fees = debits.iter().fold(0u128, |sum, debit| sum.saturating_add(debit.amount));
        let totals = self.totals(fees);
        let mut paid = self.agents[agent].payouts.clone();
        let mut left = totals.model.saturating_add(totals.contributors);
        // An honest tree credits what the totals say; a false one whatever it likes.
        let honest = self.chance(90);
        while left > 0 {
            let account = self.wallets[self.rng.random_range(0..6)].address;
            let part = if self.chance(50) { left } else { left / 2 + 1 };
            let more = if honest { part } else { part.saturating_mul(3) };
            match paid.iter_mut().find(|(known, _)| *known == account) {
                Some((_, sum)) => *sum = sum.saturating_add(more),
                None => paid.push((account, more)),
            }
            left -= part;
        }
        let id = self.agents[agent].id;
        let head = self.view(ATTRIBUTION, &IAttribution::chainOfCall { agentId: id });
        let (records, tree) = records(2);
        let bytes = records.iter().map(|r| r.len() + 4).sum::<usize>() + BatchBytes::PREFIX_BYTES;
        let call = IAttribution::commitBatchCall {
            header: IAttribution::Header {
                agentId: id,
                seq: if self.chance(97) { head.lastSeq + 1 } else { self.rng.random_range(0..9) },
                prevBatch: head.lastBatch,
                batchHash: keccak256(self.rng.random::<u64>().to_be_bytes()),
                nBytes: bytes as u32,
                nRecords: 2,
                recordsRoot: tree.root(),
                payoutRoot: payouts(&paid).root(),
                nAccounts: paid.len() as u32,
                algoId: ALGO_ID,
            },
            daCommitment: vec![7; self.pick(100)].into(),
            debits: debits.clone(),
            signatures,
            totals,
        };
        let operator = self.agents[agent].operator;
        if let Some(id) = self.call("commit", operator, ATTRIBUTION, 0, &call) {
            let bond = self.view(ATTRIBUTION, &IAttribution::getBatchCall { batchId: id }).bond;
            let debits = debits.iter().map(|debit| (debit.channel, debit.amount)).collect();
            self.agents[agent].payouts = paid.clone();
            self.agents[agent].batches.push(Batch { id, debits, fees, bond, payouts: paid });
            if self.chance(12) {
                self.challenge_batch(agent, self.agents[agent].batches.len() - 1);
            }
        }
    }

    pub(super) fn batch(&mut self) -> Option<(usize, usize)> {
        let agent = self.agent()?;
        let count = self.agents[agent].batches.len();
        (count > 0).then(|| (agent, count - 1 - self.pick(count.min(4))))
    }

    pub(super) fn finalize(&mut self) {
        let Some(agent) = self.agent() else { return };
        let id = self.agents[agent].id;
        let head = self.view(ATTRIBUTION, &IAttribution::chainOfCall { agentId: id });
        let seq = if self.chance(95) { head.finalSeq + 1 } else { self.rng.random_range(0..20) };
        let batch_id = self.view(ATTRIBUTION, &IAttribution::batchOfCall { agentId: id, seq });
        let from = self.account();
        self.call("finalize", from, ATTRIBUTION, 0, &IAttribution::finalizeCall { batchId: batch_id });
    }

    pub(super) fn challenge(&mut self) {
        if let Some((agent, batch)) = self.batch() {
            self.challenge_batch(agent, batch);
        }
    }

    pub(super) fn challenge_batch(&mut self, agent: usize, batch: usize) {
        let Batch { id, bond, .. } = self.agents[agent].batches[batch].clone();
        let value = if self.chance(90) { bond } else { self.amount() };
        let from = self.account();
        let call = IAttribution::challengeAvailabilityCall { batchId: id };
        if self.call("challenge", from, ATTRIBUTION, value, &call).is_some() {
            self.challenged.push((agent, batch));
            if self.chance(75) {
                self.publish(agent, id, 0, 2);
            }
        }
    }

    /// Answers a challenge, or ends it.
    pub(super) fn answer(&mut self) {
        let count = self.challenged.len();
        if count == 0 {
            return;
        }
        let recent = if self.chance(90) { count.min(4) } else { count };
        let at = count - 1 - self.pick(recent);
        let (agent, batch) = self.challenged[at];
        let id = self.agents[agent].batches[batch].id;
        let state = self.view(ATTRIBUTION, &IAttribution::getBatchCall { batchId: id });
        if self.chance(12) {
            let from = self.account();
            self.call("timeout", from, ATTRIBUTION, 0, &IAttribution::timeoutCall { batchId: id });
            return;
        }
        let first = if self.chance(90) { state.published } else { 1 };
        let end = (first as usize + 1 + self.pick(2)).min(2);
        self.publish(agent, id, first, end);
    }

    pub(super) fn publish(&mut self, agent: usize, id: B256, first: u32, end: usize) {
        let (records, tree) = records(2);
        let range = (first as usize).min(end)..end;
        let call = IAttribution::publishCall {
            batchId: id,
            firstIndex: first,
            proofs: range.clone().flat_map(|n| tree.proof(n as u64).unwrap()).collect(),
            records: records[range].to_vec(),
        };
        let operator = self.agents[agent].operator;
        self.call("publish", operator, ATTRIBUTION, 0, &call);
    }

    pub(super) fn claim(&mut self) {
        let Some((agent, batch)) = self.batch() else { return };
        let accounts = self.agents[agent].batches[batch].payouts.clone();
        if accounts.is_empty() {
            return;
        }
        let index = self.pick(accounts.len());
        let (account, amount) = accounts[index];
        let mut proof = payouts(&accounts).proof(index as u64).unwrap();
        if self.chance(5) {
            proof[self.rng.random_range(0..32)] = B256::repeat_byte(1);
        }
        let call = ISettlement::claimCall {
            agentId: self.agents[agent].id,
            seq: batch as u64 + 1,
            index: index as u32,
            account,
            cumulative: U256::from(if self.chance(95) { amount } else { self.amount() }),
            proof,
        };
        let from = self.account();
        self.call("claim", from, SETTLEMENT, 0, &call);
    }

    pub(super) fn refund(&mut self) {
        let count = self.agents.len();
        if count == 0 {
            return;
        }
        let agent = self.pick(count);
        let Some(batch) = self.agents[agent].batches.choose(&mut self.rng).cloned() else { return };
        let mut debits: Vec<_> = batch
            .debits
            .iter()
            .map(|(channel, amount)| ISettlement::ChannelAmount { channel: *channel, amount: *amount })
            .collect();
        if self.chance(5) {
            debits.pop();
        }
        let from = self.account();
        self.call("refund", from, SETTLEMENT, 0, &ISettlement::refundCall { batchId: batch.id, debits });
    }
}
