//! A small chain, two payers and a record on it.

use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use k256::ecdsa::SigningKey;
use std::collections::BTreeMap;
use tributary_record::fees::{Rates, SplitParams};
use tributary_record::*;

pub(crate) const CHAIN: u64 = 161_299;
pub(crate) const AGENT: u64 = 3;
pub(crate) const BASE: u64 = 1;
pub(crate) const ADAPTER: u64 = 2;
pub(crate) const SOURCE: Source = Source { datanet: 5, epoch: 2 };
pub(crate) const MIN_MATCH: u32 = 8;

pub(crate) fn key(seed: u64) -> SigningKey {
    SigningKey::from_bytes(&keccak256(seed.to_be_bytes()).0.into()).expect("a hash is a key")
}

pub(crate) fn address(key: &SigningKey) -> Address {
    Address::from_public_key(key.verifying_key())
}

pub(crate) fn account(seed: u64) -> Address {
    address(&key(seed))
}

pub(crate) fn sign(key: &SigningKey, digest: B256) -> Bytes {
    let (signature, id) = key.sign_prehash_recoverable(digest.as_slice()).expect("signing");
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + id.to_byte());
    bytes.into()
}

pub(crate) fn channel(agent: u64, payer: u64) -> B256 {
    channel_id(CHAIN, agent, account(payer), U256::from(7))
}

pub(crate) fn view() -> MemoryView {
    let params = ParamsAt {
        split: SplitParams {
            platform_fee: 1_000,
            model_bps: 2_500,
            stakers_bps: 1_500,
            base_share_bps: 4_000,
        },
        max_record_age: 50,
        max_record_bytes: 65_536,
        bounds: TraceBounds::default(),
    };
    let base = ModelAt {
        owner: account(100),
        rates: Rates { input: 1_000_000_007, output: 3_000_000_011 },
        retired: false,
        tokenizer_hash: keccak256("tokenizer"),
        profile_hash: keccak256("profile"),
    };
    let adapter = AdapterAt {
        base: BASE,
        owner: account(101),
        rates: Rates { input: 2_000_000_003, output: 5_000_000_017 },
        retired: false,
        sources: vec![SOURCE],
    };
    let contribution = |seed: u64, commit_block, standing| ContributionAt {
        contributor: account(seed),
        tokens: 1_000,
        commit_block,
        standing,
    };
    MemoryView {
        chain_id: CHAIN,
        params: BTreeMap::from([(0, params)]),
        models: BTreeMap::from([((BASE, 0), base), ((9, 0), ModelAt { retired: true, ..base })]),
        adapters: BTreeMap::from([
            ((ADAPTER, 0), adapter.clone()),
            ((8, 0), AdapterAt { base: 9, ..adapter.clone() }),
            ((7, 0), AdapterAt { retired: true, ..adapter }),
        ]),
        epochs: BTreeMap::from([(SOURCE, EpochAt { count: 4, min_match: MIN_MATCH })]),
        contributions: BTreeMap::from([
            (contribution_id(5, 0), contribution(200, 10, Standing::Live)),
            (contribution_id(5, 1), contribution(201, 9, Standing::Live)),
            (contribution_id(5, 2), contribution(202, 8, Standing::RemovedFrom(2))),
            (contribution_id(5, 3), contribution(203, 1, Standing::Rejected)),
            (contribution_id(5, 4), contribution(204, 11, Standing::Live)),
        ]),
        channels: [1, 2]
            .into_iter()
            .map(|payer| {
                let at = ChannelAt {
                    agent_id: AGENT,
                    signer: account(payer),
                    deposited: 1 << 90,
                    settled: 12_345,
                };
                (channel(AGENT, payer), at)
            })
            .chain([(
                channel(4, 1),
                ChannelAt { agent_id: 4, signer: account(1), deposited: 1 << 90, settled: 0 },
            )])
            .collect(),
        ..MemoryView::default()
    }
}

pub(crate) fn resign(record: &mut Record, payer: u64) {
    record.signature = sign(&key(payer), record.voucher().digest(CHAIN));
}

/// A record that holds: 40 tokens, one span live, one of a removed contribution.
pub(crate) fn record(payer: u64, request: u64) -> Record {
    let mut record = Record {
        chain_id: CHAIN,
        agent_id: AGENT,
        batch_seq: 6,
        channel: channel(AGENT, payer),
        request_id: B256::from(U256::from(request)),
        l2_block: 100,
        model_id: BASE,
        adapter_id: ADAPTER,
        sources: vec![SOURCE],
        tokenizer_hash: keccak256("tokenizer"),
        algo_id: b256!("5618e0ea2223f209b62432d0b50cf9c284a358a3661f45ea3d92c8ad12b0f605"),
        profile_hash: keccak256("profile"),
        privacy: 0,
        body_hash: keccak256("body"),
        n_in: 33,
        max_fee: 1 << 80,
        cumulative: 1 << 81,
        signature: Bytes::new(),
        exec_hash: keccak256("exec"),
        sampling: Bytes::from_static(&[1, 2, 3]),
        logits_root: keccak256("logits"),
        output: (0..40).collect(),
        fee: 0,
        spans: vec![
            Span { start: 2, len: 10, contribution: contribution_id(5, 2), offset: 0 },
            Span { start: 5, len: 20, contribution: contribution_id(5, 1), offset: 980 },
            Span { start: 20, len: 9, contribution: contribution_id(5, 0), offset: 17 },
        ],
        shares: Vec::new(),
        unattributed_ppb: 0,
        payees: Vec::new(),
        channel_spent: 0,
        totals: Totals::default(),
        payout_root: B256::ZERO,
        n_accounts: 0,
    };
    record.shares = vec![
        Share { contribution: contribution_id(5, 0), ppb: 100_000_000 },
        Share { contribution: contribution_id(5, 1), ppb: 325_000_000 },
    ];
    record.unattributed_ppb = 575_000_000;
    resign(&mut record, payer);
    record
}

/// Completes a record after `prior`, as a packer does.
pub(crate) fn settled(view: &MemoryView, prior: &Prior, tree: &mut PayoutTree, mut record: Record) -> Record {
    let settlement = settle(view, &record).expect("a record that settles");
    record.fee = settlement.fee;
    record.payees = tree.credit(&settlement.credits, &[]).expect("credits");
    record.channel_spent = prior.spent_of(record.channel) + settlement.fee;
    record.totals = prior.totals.checked_add(&settlement.totals).expect("totals");
    record.payout_root = tree.root();
    record.n_accounts = tree.n_accounts();
    record
}
