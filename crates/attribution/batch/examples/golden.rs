//! Prints two batches in a row with everything they follow from, for other implementations to check against.

#[path = "../tests/it/world.rs"]
pub(crate) mod world;

use serde_json::{Value, json};
use tributary_batch::{AgentState, Limits, Packed, pack};
use tributary_record::{MemoryView, Record, Standing};
use world::{AGENT, CHAIN, COMMIT_BLOCK, Numbers, PAYERS, World, account};

fn main() {
    println!("{}", serde_json::to_string(&vectors()).expect("json"));
}

/// The chain, the texts and two batches.
pub(crate) fn vectors() -> Value {
    let mut world = World::new(2_026, 9);
    let chain = chain(&world);
    let mut numbers = Numbers(11);
    let mut state = AgentState::new(AGENT);
    let mut batches = Vec::new();
    for round in 0..2 {
        let records: Vec<Record> =
            (0..14).map(|at| world.request(&mut numbers, at % PAYERS, round * 100 + at)).collect();
        let packed = pack(&world.view, &state, records, COMMIT_BLOCK, &Limits::default())
            .expect("packing")
            .packed
            .expect("a batch");
        world.commit(&packed.debits, &packed.records);
        batches.push(batch(&packed));
        state = packed.state;
    }
    json!({ "chainId": CHAIN, "agentId": AGENT, "chain": chain, "batches": batches })
}

fn chain(world: &World) -> Value {
    let view: &MemoryView = &world.view;
    let params = view.params[&0];
    let contributions: Vec<Value> = world
        .corpora
        .values()
        .flat_map(|corpus| &corpus.documents)
        .map(|document| {
            let at = view.contributions[&document.contribution];
            let removed = match at.standing {
                Standing::RemovedFrom(epoch) => epoch,
                Standing::Live | Standing::Rejected => 0,
            };
            json!({
                "id": document.contribution, "contributor": at.contributor, "commitBlock": at.commit_block,
                "removedEpoch": removed, "tokens": document.tokens,
            })
        })
        .collect();
    let models: Vec<Value> = view
        .models
        .iter()
        .map(|((id, _), model)| {
            json!({
                "id": id, "owner": model.owner, "inRate": model.rates.input.to_string(),
                "outRate": model.rates.output.to_string(), "tokenizerHash": model.tokenizer_hash,
                "profileHash": model.profile_hash, "baseId": 0, "sources": [],
            })
        })
        .chain(view.adapters.iter().map(|((id, _), adapter)| {
            json!({
                "id": id, "owner": adapter.owner, "inRate": adapter.rates.input.to_string(),
                "outRate": adapter.rates.output.to_string(), "baseId": adapter.base, "sources": adapter.sources,
            })
        }))
        .collect();
    let epochs: Vec<Value> = view
        .epochs
        .iter()
        .map(|(source, epoch)| {
            json!({
                "datanet": source.datanet, "epoch": source.epoch, "count": epoch.count,
                "minMatch": epoch.min_match,
            })
        })
        .collect();
    json!({
        "params": {
            "platformFee": params.split.platform_fee.to_string(), "betaBps": params.split.model_bps,
            "gammaBps": params.split.stakers_bps, "baseShareBps": params.split.base_share_bps,
        },
        "models": models, "epochs": epochs, "contributions": contributions,
        "signers": (0..PAYERS).map(|payer| json!([world::channel(payer), account(&format!("payer {payer}"))])).collect::<Vec<_>>(),
    })
}

fn batch(packed: &Packed) -> Value {
    let debits: Vec<Value> = packed
        .debits
        .iter()
        .zip(&packed.signatures)
        .map(|(debit, signature)| {
            json!({
                "channel": debit.channel, "cumulative": debit.cumulative.to_string(),
                "requestHash": debit.request_hash, "amount": debit.amount.to_string(), "signature": signature,
            })
        })
        .collect();
    let claims: Vec<Value> = packed
        .state
        .payouts
        .accounts()
        .iter()
        .filter_map(|(account, _)| serde_json::to_value(packed.state.claim(*account)?).ok())
        .collect();
    json!({
        "batchId": packed.batch_id, "bytes": alloy_primitives::Bytes::from(packed.bytes.clone()),
        "header": packed.header, "totals": packed.totals, "debits": debits, "claims": claims,
    })
}
