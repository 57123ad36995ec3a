//! Things that most tests begin with.

use crate::world::{CHAIN_ID, OPEN, Wallet, World};
use alloy_primitives::{Address, B256, Bytes, U256, aliases::U96, keccak256};
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, ISettlement};
use tributary_record::merkle::{self, Tree, payout_leaf};
use tributary_record::voucher::Voucher;
use tributary_record::{ALGO_ID, BatchBytes, DEPTH_NARROW, DEPTH_WIDE};

pub(crate) const TOKENIZER: B256 = B256::repeat_byte(0x70);
pub(crate) const DATANET_FEE: u128 = OPEN / 1000;
pub(crate) const TOKEN_FEE: u128 = 1_000_000_000;

pub(crate) fn datanet(w: &mut World, owner: Address) -> u64 {
    let call = IDatanets::createCall {
        name: "Devil's dictionary".into(),
        uri: "https://example.org/devil".into(),
        tokenizerHash: TOKENIZER,
        minMatch: 8,
    };
    w.datanets(owner, DATANET_FEE, call).unwrap()
}

/// A contribution's reveal; `number` makes it its own.
pub(crate) fn reveal_call(id: u64, number: u64, tokens: u64) -> IDatanets::revealCall {
    IDatanets::revealCall {
        id,
        contentHash: keccak256(number.to_be_bytes()),
        tokensRoot: keccak256((number + 1_000).to_be_bytes()),
        tokens,
        uri: format!("https://example.org/{number}.tokens"),
        salt: B256::repeat_byte(0x5a),
    }
}

pub(crate) fn commitment(w: &mut World, contributor: Address, call: &IDatanets::revealCall) -> B256 {
    let view = IDatanets::commitmentOfCall {
        id: call.id,
        contributor,
        contentHash: call.contentHash,
        tokensRoot: call.tokensRoot,
        tokens: call.tokens,
        salt: call.salt,
    };
    w.datanets(contributor, 0, view).unwrap()
}

/// Commits, waits a block, reveals.
pub(crate) fn contribute(w: &mut World, contributor: Address, call: IDatanets::revealCall) -> u64 {
    let commitment = commitment(w, contributor, &call);
    w.datanets(contributor, 0, IDatanets::commitCall { id: call.id, commitment }).unwrap();
    w.next_block();
    let fee = u128::from(call.tokens) * TOKEN_FEE;
    w.datanets(contributor, fee, call).unwrap()
}

pub(crate) fn seal(w: &mut World, owner: Address, id: u64) -> u64 {
    w.datanets(owner, 0, IDatanets::sealCall { id }).unwrap()
}

pub(crate) fn base_call(name: &str) -> IModels::registerBaseCall {
    IModels::registerBaseCall {
        name: name.into(),
        weightsHash: keccak256(name),
        tokenizerHash: TOKENIZER,
        profileHash: keccak256("f32-q8-1"),
        uri: "file:///models/base.gguf".into(),
        inRate: U96::from(1_000_000),
        outRate: U96::from(3_000_001),
    }
}

pub(crate) fn adapter_call(base: u64, name: &str, sources: &[(u64, u64)]) -> IModels::registerAdapterCall {
    IModels::registerAdapterCall {
        baseId: base,
        name: name.into(),
        artifactHash: keccak256(name),
        rank: 16,
        sources: sources
            .iter()
            .map(|(net, epoch)| IModels::Source { datanetId: *net, epoch: *epoch })
            .collect(),
        uri: "file:///adapters/one".into(),
        inRate: U96::from(5_000_000),
        outRate: U96::from(7_000_000),
    }
}

pub(crate) fn agent_call(kind: u8, operator: Address) -> IAgents::registerCall {
    IAgents::registerCall {
        kind,
        uri: "http://127.0.0.1:8000".into(),
        peerId: "12D3KooWExample".into(),
        operator,
    }
}

pub(crate) fn agent(w: &mut World, owner: Address, operator: Address) -> u64 {
    w.agents(owner, OPEN, agent_call(0, operator)).unwrap()
}

pub(crate) fn open(w: &mut World, payer: &Wallet, agent: u64, deposit: u128) -> B256 {
    let call = ISettlement::openCall { agentId: agent, signer: payer.address };
    w.settlement(payer.address, deposit, call).unwrap()
}

/// What a channel pays in a batch.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) channel: B256,
    pub(crate) signer: Wallet,
    pub(crate) cumulative: u128,
    pub(crate) amount: u128,
}

impl Payment {
    pub(crate) fn new(channel: B256, signer: &Wallet, cumulative: u128, amount: u128) -> Self {
        Self { channel, signer: signer.clone(), cumulative, amount }
    }

    pub(crate) fn debit(&self) -> (IAttribution::Debit, Bytes) {
        let request_hash = keccak256(self.channel);
        let cumulative = U256::from(self.cumulative);
        let voucher = Voucher { channel: self.channel, cumulative, request_hash };
        let debit = IAttribution::Debit {
            channel: self.channel,
            cumulative,
            requestHash: request_hash,
            amount: self.amount,
        };
        (debit, self.signer.sign(voucher.digest(CHAIN_ID)))
    }
}

/// Fees cut in a fixed way: the machines check sums only.
pub(crate) fn totals(fees: u128) -> IAttribution::Totals {
    let (platform, model, stakers, treasury) = (fees / 10, fees / 4, fees / 7, fees / 9);
    let contributors = fees - platform - model - stakers - treasury;
    IAttribution::Totals { fees, platform, model, stakers, contributors, treasury }
}

/// The payout tree of these accounts.
pub(crate) fn payouts(accounts: &[(Address, u128)]) -> Tree {
    let leaves = accounts
        .iter()
        .zip(0..)
        .map(|((account, amount), index)| payout_leaf(index, *account, U256::from(*amount)))
        .collect();
    Tree::new(DEPTH_WIDE, leaves).unwrap()
}

/// Records that are only bytes here, and their tree.
pub(crate) fn records(count: usize) -> (Vec<Bytes>, Tree) {
    let records: Vec<Bytes> = (0..count).map(|n| vec![n as u8; 40 + n].into()).collect();
    let leaves =
        records.iter().zip(0..).map(|(record, n)| merkle::record_leaf(n, keccak256(record))).collect();
    (records, Tree::new(DEPTH_NARROW, leaves).unwrap())
}

/// The agent's next batch, of three records.
pub(crate) fn batch(
    w: &mut World,
    agent: u64,
    payments: &mut [Payment],
    payout_root: B256,
) -> IAttribution::commitBatchCall {
    let head = w.attribution(Address::ZERO, 0, IAttribution::chainOfCall { agentId: agent }).unwrap();
    payments.sort_by_key(|payment| payment.channel);
    let (debits, signatures): (Vec<_>, Vec<_>) = payments.iter().map(Payment::debit).unzip();
    let (records, tree) = records(3);
    let bytes = records.iter().map(|record| record.len() + 4).sum::<usize>() + BatchBytes::PREFIX_BYTES;
    IAttribution::commitBatchCall {
        header: IAttribution::Header {
            agentId: agent,
            seq: head.lastSeq + 1,
            prevBatch: head.lastBatch,
            batchHash: keccak256((head.lastSeq + 1).to_be_bytes()),
            nBytes: bytes as u32,
            nRecords: 3,
            recordsRoot: tree.root(),
            payoutRoot: payout_root,
            nAccounts: 2,
            algoId: ALGO_ID,
        },
        daCommitment: vec![1, 0, 2].into(),
        totals: totals(payments.iter().map(|payment| payment.amount).sum()),
        debits,
        signatures,
    }
}

/// An agent with an open channel.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) owner: Wallet,
    pub(crate) operator: Wallet,
    pub(crate) payer: Wallet,
    pub(crate) agent: u64,
    pub(crate) channel: B256,
}

pub(crate) fn service(w: &mut World) -> Service {
    let (owner, operator, payer) = (w.wallet("owner"), w.wallet("operator"), w.wallet("payer"));
    let agent = agent(w, owner.address, operator.address);
    let channel = open(w, &payer, agent, 100 * OPEN);
    Service { owner, operator, payer, agent, channel }
}

impl Service {
    pub(crate) fn pay(&self, cumulative: u128, amount: u128) -> Payment {
        Payment::new(self.channel, &self.payer, cumulative, amount)
    }

    /// Commits the next batch of one payment.
    pub(crate) fn commit(&self, w: &mut World, cumulative: u128, amount: u128, payout_root: B256) -> B256 {
        let call = batch(w, self.agent, &mut [self.pay(cumulative, amount)], payout_root);
        w.attribution(self.operator.address, 0, call).unwrap()
    }

    /// Commits a batch and makes it final.
    pub(crate) fn finalized(&self, w: &mut World, cumulative: u128, amount: u128, payout_root: B256) -> B256 {
        let id = self.commit(w, cumulative, amount, payout_root);
        w.pass(5);
        w.attribution(self.payer.address, 0, IAttribution::finalizeCall { batchId: id }).unwrap();
        id
    }
}
