//! Random operations, and what must hold after each of them.

mod audit;
mod batches;
mod sim;
mod stake;
mod texts;

use sim::Sim;
use std::collections::BTreeMap;

const OPERATIONS: u32 = 132_000;

impl Sim {
    fn step(&mut self) {
        self.tick();
        match self.pick(100) {
            0..3 => self.register(),
            3..9 => self.stake(),
            9..14 => self.unstake(),
            14..20 => self.withdraw_or_collect(),
            20 => self.change_agent(),
            21..28 => self.open(),
            28..32 => self.top_up(),
            32..36 => self.close(),
            36..50 => self.commit(),
            50..64 => self.finalize(),
            64 => self.challenge(),
            65..74 => self.answer(),
            74..86 => self.claim(),
            86..89 => self.refund(),
            89..91 => self.govern(),
            91..95 => self.contribute(),
            95..97 => self.model(),
            _ => self.garbage(),
        }
    }
}

fn run(seed: u64, operations: u32) -> BTreeMap<&'static str, (u32, u32)> {
    let mut sim = Sim::new(seed);
    for n in 0..operations {
        sim.step();
        if n % 250 == 0 {
            sim.audit();
            assert_eq!(sim.host.supply(), sim.supply);
        }
        if n % 5_000 == 0 {
            assert_eq!(sim.host.state_hash(), sim.host.recomputed_state_hash());
        }
    }
    sim.audit();
    sim.done
}

#[test]
fn random_operations_conserve_every_wei() {
    let mut done: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for seed in 0..6 {
        for (name, (ok, refused)) in run(seed, OPERATIONS / 6) {
            let sum = done.entry(name).or_default();
            *sum = (sum.0 + ok, sum.1 + refused);
        }
    }
    println!("{done:#?}");
    for (name, (ok, _)) in &done {
        assert!(*ok >= 20 || *name == "garbage", "{name} succeeded only {ok} times: {done:?}");
    }
    assert!(done.len() >= 28, "{done:?}");
    let calls: u32 = done.values().map(|(ok, refused)| ok + refused).sum();
    assert!(calls >= 100_000, "{calls}");
}
