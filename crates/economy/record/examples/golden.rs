//! Prints vectors of every format, for other implementations to check against.

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use tributary_record::fees::{Rates, SplitParams, fee, share_amount, split};
use tributary_record::merkle::{Tree, contribution_leaf, payout_leaf, record_leaf};
use tributary_record::voucher::{Voucher, domain_separator};
use tributary_record::*;

const CHAIN: u64 = 161_299;

fn main() {
    println!("{}", serde_json::to_string_pretty(&vectors()).expect("json"));
}

/// All vectors, by format.
pub(crate) fn vectors() -> Value {
    json!({
        "ids": ids(),
        "voucher": voucher(),
        "trees": trees(),
        "tokensRoots": tokens_roots(),
        "fees": fees(),
        "attributions": attributions(),
        "record": record(),
    })
}

fn word(seed: &str) -> B256 {
    keccak256(seed)
}

fn account(seed: &str) -> Address {
    Address::from_word(keccak256(seed))
}

fn request() -> Request {
    Request {
        request_id: word("request"),
        model_id: 1,
        adapter_id: 2,
        l2_block: 1_234,
        n_in: 56,
        max_fee: 7 << 70,
        privacy: 0,
        body_hash: word("body"),
    }
}

fn request_json(request: &Request) -> Value {
    json!({
        "requestId": request.request_id, "modelId": request.model_id, "adapterId": request.adapter_id,
        "l2Block": request.l2_block, "nIn": request.n_in, "maxFee": request.max_fee.to_string(),
        "privacy": request.privacy, "bodyHash": request.body_hash,
    })
}

fn ids() -> Value {
    let contribution = Contribution {
        datanet: 5,
        contributor: account("contributor"),
        content_hash: word("text"),
        tokens_root: word("tokens"),
        tokens: 777,
        salt: word("salt"),
    };
    let header = Header {
        agent_id: 3,
        seq: 4,
        prev_batch: word("prev"),
        batch_hash: word("bytes"),
        n_bytes: 9_999,
        n_records: 8,
        records_root: word("records"),
        payout_root: word("payouts"),
        n_accounts: 21,
        algo_id: ALGO_ID,
    };
    let output = [1u32, 2, 70_000];
    json!({
        "chainId": CHAIN,
        "algoId": ALGO_ID,
        "channel": {
            "agentId": 3, "payer": account("payer"), "nonce": word("genesis"),
            "id": channel_id(CHAIN, 3, account("payer"), U256::from_be_bytes(word("genesis").0)),
        },
        "request": { "fields": request_json(&request()), "hash": request().hash() },
        "receipt": {
            "requestHash": request().hash(), "output": output, "fee": "123456789",
            "digest": receipt_digest(request().hash(), &output, 123_456_789),
        },
        "commitment": {
            "datanet": 5, "contributor": contribution.contributor, "contentHash": contribution.content_hash,
            "tokensRoot": contribution.tokens_root, "tokens": 777, "salt": contribution.salt,
            "hash": contribution.commitment(CHAIN),
        },
        "header": { "fields": serde_json::to_value(header).expect("json"), "batchId": header.batch_id(CHAIN) },
    })
}

fn voucher() -> Value {
    let key = SigningKey::from_bytes(&word("key").0.into()).expect("a hash is a key");
    let voucher = Voucher {
        channel: word("channel"),
        cumulative: U256::from(u128::MAX),
        request_hash: request().hash(),
    };
    let digest = voucher.digest(CHAIN);
    let (signature, id) = key.sign_prehash_recoverable(digest.as_slice()).expect("signing");
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + id.to_byte());
    json!({
        "domainSeparator": domain_separator(CHAIN),
        "channel": voucher.channel, "cumulative": u128::MAX.to_string(), "requestHash": voucher.request_hash,
        "digest": digest, "signature": Bytes::from(bytes),
        "signer": Address::from_public_key(key.verifying_key()),
    })
}

fn trees() -> Value {
    let leaves =
        [0u32, 1, 2, 3, 4].map(|index| payout_leaf(index, account("payee"), U256::from(1u128 << 100)));
    let tree = Tree::new(DEPTH_WIDE, leaves.to_vec()).expect("five leaves");
    let places = [1u64, 2, 5];
    json!({
        "contributionLeaf": {
            "index": 6, "contributor": account("contributor"), "contentHash": word("text"),
            "tokensRoot": word("tokens"), "tokens": 777, "commitBlock": 88,
            "leaf": contribution_leaf(6, account("contributor"), word("text"), word("tokens"), 777, 88),
        },
        "recordLeaf": { "index": 9, "hash": word("record"), "leaf": record_leaf(9, word("record")) },
        "payouts": {
            "account": account("payee"), "cumulative": (1u128 << 100).to_string(), "count": 5,
            "root": tree.root(), "proofOf3": tree.proof(3).expect("a leaf"),
            "multiproof": { "places": places, "proof": tree.multi_proof(&places).expect("places") },
        },
        "emptyRoots": { "16": merkle::empty(16), "32": merkle::empty(32) },
    })
}

fn tokens_roots() -> Value {
    let cases = [1usize, 255, 256, 257, 1_000];
    cases
        .iter()
        .map(|count| {
            let tokens: Vec<u32> =
                (0..*count as u32).map(|at| at.wrapping_mul(2_654_435_761) % 49_152).collect();
            json!({ "count": count, "root": tokens_root(&tokens) })
        })
        .collect()
}

fn fees() -> Value {
    let params = SplitParams {
        platform_fee: 1_000_000_000_000,
        model_bps: 2_500,
        stakers_bps: 1_500,
        base_share_bps: 3_333,
    };
    let most = (1u128 << 96) - 1;
    let cases = [
        (0, 0, 0, 0),
        (1, 1, 1, 1),
        (1_000, 999, 1_001, 77),
        (57, 300, 20_000_000_000_000_000, 60_000_000_000_000_001),
        (u32::MAX, u32::MAX, most, most),
    ];
    cases
        .iter()
        .flat_map(|case| [(case, true), (case, false)])
        .map(|((n_in, n_out, input, output), adapter)| {
            let rates = Rates { input: *input, output: *output };
            let total = fee(*n_in, *n_out, rates, params.platform_fee).expect("a fee");
            let cut = split(total, &params, adapter).expect("a split");
            json!({
                "nIn": n_in, "nOut": n_out, "inRate": input.to_string(), "outRate": output.to_string(),
                "platformFee": params.platform_fee.to_string(), "modelBps": params.model_bps,
                "stakersBps": params.stakers_bps, "baseShareBps": params.base_share_bps, "adapter": adapter,
                "fee": total.to_string(), "base": cut.base.to_string(), "adapterPart": cut.adapter.to_string(),
                "stakers": cut.stakers.to_string(), "contributors": cut.contributors.to_string(),
                "thirdOfContributors": share_amount(cut.contributors, 333_333_333).expect("a share").to_string(),
            })
        })
        .collect()
}

fn attributions() -> Value {
    let placed = |start, len, contribution, commit_block, live| Placed {
        span: Span { start, len, contribution, offset: 3 },
        commit_block,
        live,
        min_match: 8,
    };
    let cases = [
        (0u32, vec![]),
        (30, vec![placed(0, 10, 1 << 32, 7, true), placed(5, 12, 2 << 32, 6, true)]),
        (
            33,
            vec![
                placed(0, 10, 1 << 32, 7, false),
                placed(2, 12, 1 << 32 | 1, 8, true),
                placed(20, 8, 1 << 32, 7, true),
            ],
        ),
        (
            400,
            (0..40u64).map(|at| placed(at as u32 * 10, 9, 1 << 32 | (at * 7 % 40), at % 3, true)).collect(),
        ),
    ];
    cases
        .iter()
        .map(|(n, spans)| {
            let attributed = attribute(*n, spans, MAX_EARNERS);
            let inputs: Vec<Value> = spans
                .iter()
                .map(|placed| {
                    json!({
                        "start": placed.span.start, "len": placed.span.len,
                        "contribution": placed.span.contribution, "commitBlock": placed.commit_block,
                        "live": placed.live,
                    })
                })
                .collect();
            json!({
                "n": n, "spans": inputs, "won": attributed.won,
                "shares": serde_json::to_value(&attributed.shares).expect("json"),
                "unattributedPpb": attributed.unattributed_ppb,
            })
        })
        .collect()
}

fn record() -> Value {
    let request = request();
    let record = Record {
        chain_id: CHAIN,
        agent_id: 3,
        batch_seq: 4,
        channel: word("channel"),
        request_id: request.request_id,
        l2_block: request.l2_block,
        model_id: request.model_id,
        adapter_id: request.adapter_id,
        sources: vec![Source { datanet: 5, epoch: 1 }, Source { datanet: 6, epoch: 2 }],
        tokenizer_hash: word("tokenizer"),
        algo_id: ALGO_ID,
        profile_hash: word("profile"),
        privacy: request.privacy,
        body_hash: request.body_hash,
        n_in: request.n_in,
        max_fee: request.max_fee,
        cumulative: u128::MAX,
        signature: vec![7; 65].into(),
        exec_hash: word("exec"),
        sampling: Bytes::from_static(&hex!("0102030405")),
        logits_root: word("logits"),
        output: vec![1, 2, 49_151],
        fee: 11,
        spans: vec![Span { start: 1, len: 2, contribution: contribution_id(5, 6), offset: 7 }],
        shares: vec![Share { contribution: contribution_id(5, 6), ppb: 666_666_666 }],
        unattributed_ppb: 333_333_334,
        payees: vec![Payee { index: 8, account: account("payee"), amount: 9 }],
        channel_spent: 12,
        totals: Totals { fees: 15, platform: 1, model: 2, stakers: 3, contributors: 4, treasury: 5 },
        payout_root: word("payouts"),
        n_accounts: 21,
    };
    let bytes = record.encode().expect("a record within bounds");
    let batch = BatchBytes {
        chain_id: CHAIN,
        agent_id: 3,
        seq: 4,
        prev_batch: word("prev"),
        records: vec![record.clone()],
    };
    let batch_bytes = batch.encode().expect("a batch within bounds");
    json!({
        "fields": serde_json::to_value(&record).expect("json"),
        "hash": keccak256(&bytes),
        "bytes": Bytes::from(bytes),
        "batchHash": keccak256(&batch_bytes),
        "batchBytes": Bytes::from(batch_bytes),
    })
}
