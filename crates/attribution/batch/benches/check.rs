//! The native check of a full batch, what a validator does for each.

#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod world;

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tributary_batch::{AgentState, Limits, pack};
use tributary_record::{BatchClaim, Record, check_batch};
use world::{AGENT, COMMIT_BLOCK, Numbers, PAYERS, World};

fn bench(criterion: &mut Criterion) {
    let world = World::new(1, 200);
    let mut numbers = Numbers(5);
    let records: Vec<Record> = (0..400).map(|at| world.request(&mut numbers, at % PAYERS, at)).collect();
    let state = AgentState::new(AGENT);
    let outcome = pack(&world.view, &state, records.clone(), COMMIT_BLOCK, &Limits::default());
    let packed = outcome.expect("packing").packed.expect("a batch");
    let claim = BatchClaim {
        header: packed.header,
        debits: packed.debits.clone(),
        signatures: packed.signatures.clone(),
        totals: packed.totals,
        commit_block: COMMIT_BLOCK,
    };
    let size = format!("{} bytes, {} records", packed.bytes.len(), packed.records.len());
    criterion.bench_function(&format!("check_batch/{size}"), |bencher| {
        bencher.iter(|| {
            let mut payouts = state.payouts.clone();
            check_batch(&world.view, black_box(&claim), black_box(&packed.bytes), &mut payouts)
        });
    });
    criterion.bench_function(&format!("pack/{size}"), |bencher| {
        bencher
            .iter(|| pack(&world.view, &state, black_box(records.clone()), COMMIT_BLOCK, &Limits::default()));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
