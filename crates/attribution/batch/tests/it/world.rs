//! A chain with datanets, adapters and payers, and requests answered on it: shared by tests, bench and vectors.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use k256::ecdsa::SigningKey;
use std::collections::BTreeMap;
use tributary_record::fees::{Rates, SplitParams};
use tributary_record::*;
use tributary_trace::{Corpus, CorpusDocument, Windows, trace};

pub(crate) const CHAIN: u64 = 161_299;
pub(crate) const AGENT: u64 = 3;
pub(crate) const COMMIT_BLOCK: u64 = 1_000;
pub(crate) const PAYERS: u64 = 6;
const BASE: u64 = 1;
const EPOCH: u64 = 2;

/// A small generator of the same numbers everywhere.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) struct World {
    pub(crate) view: MemoryView,
    pub(crate) corpora: BTreeMap<u64, Corpus>,
}

fn key(seed: &str) -> SigningKey {
    SigningKey::from_bytes(&keccak256(seed).0.into()).expect("a hash is a key")
}

pub(crate) fn account(seed: &str) -> Address {
    Address::from_public_key(key(seed).verifying_key())
}

pub(crate) fn channel(payer: u64) -> B256 {
    channel_id(CHAIN, AGENT, account(&format!("payer {payer}")), U256::ZERO)
}

fn sign(seed: &str, digest: B256) -> Bytes {
    let (signature, id) = key(seed).sign_prehash_recoverable(digest.as_slice()).expect("signing");
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + id.to_byte());
    bytes.into()
}

fn params() -> ParamsAt {
    let split =
        SplitParams { platform_fee: 1_000_003, model_bps: 2_500, stakers_bps: 1_500, base_share_bps: 4_000 };
    ParamsAt { split, max_record_age: 900, max_record_bytes: 65_536, bounds: TraceBounds::default() }
}

fn base() -> ModelAt {
    ModelAt {
        owner: account("base owner"),
        rates: Rates { input: 1_000_000_007, output: 3_000_000_011 },
        retired: false,
        tokenizer_hash: keccak256("tokenizer"),
        profile_hash: keccak256("profile"),
    }
}

/// An adapter on these datanets. Adapter 12's owner contributes too, so one account earns twice.
fn adapter(id: u64, datanets: &[u64]) -> AdapterAt {
    let owner = if id == 12 { "contributor 2".to_owned() } else { format!("adapter owner {id}") };
    AdapterAt {
        base: BASE,
        owner: account(&owner),
        rates: Rates { input: 2_000_000_003, output: 5_000_000_017 + u128::from(id) },
        retired: false,
        sources: datanets.iter().map(|datanet| Source { datanet: *datanet, epoch: EPOCH }).collect(),
    }
}

impl World {
    /// Two datanets of `documents` contributions each, three adapters, six payers.
    pub(crate) fn new(seed: u64, documents: u32) -> Self {
        let mut numbers = Numbers(seed);
        let mut view = MemoryView {
            chain_id: CHAIN,
            params: BTreeMap::from([(0, params())]),
            models: BTreeMap::from([((BASE, 0), base())]),
            adapters: BTreeMap::from([
                ((10, 0), adapter(10, &[5])),
                ((11, 0), adapter(11, &[6])),
                ((12, 0), adapter(12, &[5, 6])),
            ]),
            ..MemoryView::default()
        };
        for payer in 0..PAYERS {
            let signer = account(&format!("payer {payer}"));
            let at = ChannelAt { agent_id: AGENT, signer, deposited: 1 << 100, settled: 0 };
            view.channels.insert(channel(payer), at);
        }
        let mut corpora = BTreeMap::new();
        for (datanet, min_match) in [(5, 8), (6, 9)] {
            view.epochs.insert(Source { datanet, epoch: EPOCH }, EpochAt { count: documents, min_match });
            let corpus = corpus(&mut numbers, &mut view, datanet, min_match, documents);
            corpora.insert(datanet, corpus);
        }
        Self { view, corpora }
    }

    /// An answered request: pieces of documents with other tokens in between. It costs less than 2⁵⁰.
    pub(crate) fn request(&self, numbers: &mut Numbers, payer: u64, request: u64) -> Record {
        let adapter_id = [0, 10, 11, 12][numbers.below(4) as usize];
        let adapter = self.view.adapters.get(&(adapter_id, 0));
        let sources = adapter.map_or_else(Vec::new, |adapter| adapter.sources.clone());
        let output = self.output(numbers);
        let pinned: Vec<&dyn Windows> =
            sources.iter().map(|source| &self.corpora[&source.datanet] as &dyn Windows).collect();
        let traced = trace(&output, &pinned);
        let mut record = Record {
            chain_id: CHAIN,
            agent_id: AGENT,
            batch_seq: 0,
            channel: channel(payer),
            request_id: keccak256(request.to_be_bytes()),
            l2_block: 500 + numbers.below(400),
            model_id: BASE,
            adapter_id,
            sources,
            tokenizer_hash: keccak256("tokenizer"),
            algo_id: ALGO_ID,
            profile_hash: keccak256("profile"),
            privacy: 0,
            body_hash: keccak256(format!("body {request}")),
            n_in: 1 + numbers.below(60) as u32,
            max_fee: 1 << 50,
            cumulative: (u128::from(request) + 1) << 50,
            signature: Bytes::new(),
            exec_hash: keccak256(format!("execution {request}")),
            sampling: Bytes::from(request.to_be_bytes()),
            logits_root: B256::ZERO,
            output,
            fee: 0,
            spans: traced.spans,
            shares: traced.shares,
            unattributed_ppb: traced.unattributed_ppb,
            payees: Vec::new(),
            channel_spent: 0,
            totals: Totals::default(),
            payout_root: B256::ZERO,
            n_accounts: 0,
        };
        sign_request(&mut record, payer);
        record
    }

    fn output(&self, numbers: &mut Numbers) -> Vec<u32> {
        let mut output = Vec::new();
        for _ in 0..numbers.below(6) {
            let corpus = &self.corpora[&(5 + numbers.below(2))];
            let document = &corpus.documents[numbers.below(corpus.documents.len() as u64) as usize];
            let start = numbers.below(document.tokens.len() as u64) as usize;
            let end = (start + 6 + numbers.below(25) as usize).min(document.tokens.len());
            output.extend(&document.tokens[start..end]);
            output.extend((0..numbers.below(4)).map(|_| 9_000 + numbers.below(50) as u32));
        }
        output
    }

    /// What the chain looks like once a batch is in it.
    pub(crate) fn commit(&mut self, debits: &[Debit], records: &[Record]) {
        for debit in debits {
            let channel = self.view.channels.get_mut(&debit.channel).expect("a debited channel");
            channel.settled += debit.amount;
        }
        self.view.recorded.extend(records.iter().map(Record::key));
    }
}

/// Signs a record's voucher as its payer.
pub(crate) fn sign_request(record: &mut Record, payer: u64) {
    record.signature = sign(&format!("payer {payer}"), record.voucher().digest(CHAIN));
}

fn corpus(
    numbers: &mut Numbers,
    view: &mut MemoryView,
    datanet: u64,
    min_match: u32,
    documents: u32,
) -> Corpus {
    let mut made: Vec<CorpusDocument> = Vec::new();
    for index in 0..documents {
        let contribution = contribution_id(datanet, index);
        let standing =
            if numbers.below(6) == 0 { Standing::RemovedFrom(1 + numbers.below(3)) } else { Standing::Live };
        let mut tokens: Vec<u32> = (0..40 + numbers.below(60)).map(|_| numbers.below(3_000) as u32).collect();
        if let Some(earlier) = made.last().filter(|_| index % 3 == 1) {
            tokens.extend(&earlier.tokens[..30]);
        }
        let at = ContributionAt {
            contributor: account(&format!("contributor {}", index % 9)),
            tokens: tokens.len() as u64,
            commit_block: 10 + numbers.below(20),
            standing,
        };
        view.contributions.insert(contribution, at);
        let removed = !at.live_in(EPOCH);
        made.push(CorpusDocument { contribution, commit_block: at.commit_block, removed, tokens });
    }
    Corpus { min_match, documents: made }
}
