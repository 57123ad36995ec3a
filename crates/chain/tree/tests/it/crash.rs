//! `kill -9` at random instants.

use crate::{
    dev::{grow, open_with},
    toy::config,
};
use alloy_primitives::B256;
use rand::Rng;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tributary_tree::{Chain, ChainConfig, Durability, verify};

const DIR: &str = "TRIBUTARY_TEST_CRASH_DIR";
const KILLS: usize = 8;

/// Runs in a process of its own until it is killed: blocks, now and then a reorg, labels behind.
#[test]
fn child_writes_blocks_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let config = ChainConfig { durability: Durability::Acknowledged, cached: 4, ..config() };
    let chain = open_with(dir.as_ref(), config).unwrap();
    let mut random = rand::rng();
    loop {
        let head = chain.head();
        let depth = if random.random_range(0..6) == 0 { random.random_range(0..8) } else { 0 };
        let lowest = chain.finalized().map_or(0, |header| header.number);
        let parent = head.number.saturating_sub(depth).max(lowest);
        let mut at = chain.canonical_hash(parent).unwrap().unwrap();
        for _ in 0..=head.number - parent {
            at = grow(&chain, at, random.random_range(1..1_000));
        }
        let finalized = chain.canonical_hash(parent.saturating_sub(10).max(lowest)).unwrap();
        // Half of the time back first, and only then to the new branch.
        if depth > 0 && random.random() {
            choose(&chain, chain.canonical_hash(parent).unwrap().unwrap(), finalized);
        }
        choose(&chain, at, finalized);
    }
}

fn choose(chain: &Chain, head: B256, finalized: Option<B256>) {
    println!("asked {head}.");
    chain.set_forkchoice(head, finalized, finalized).unwrap();
    println!("acknowledged {head}.");
}

fn start(dir: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_writes_blocks_until_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = rand::rng();
    for round in 0..KILLS {
        let mut child = start(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Once it runs, at any instant.
        let first = lines.find(|line| line.as_ref().unwrap().starts_with("acknowledged")).unwrap();
        std::thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let lines: Vec<String> = std::iter::once(first).chain(lines).map_while(Result::ok).collect();
        let last = |word: &str| {
            let heads = lines.iter().filter_map(|line| line.strip_prefix(word)?.trim().strip_suffix('.'));
            heads.map(|head| head.parse::<B256>().unwrap()).next_back().unwrap()
        };
        let (acknowledged, asked) = (last("acknowledged"), last("asked"));

        let chain = open_with(dir.path(), config()).unwrap();
        verify(chain.store(), |_, _, _| ()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(chain.head().number >= chain.finalized().map_or(0, |header| header.number));
        // What was asked for and not answered may have been carried out; half of it, never.
        let head = chain.head().hash();
        assert!(
            head == acknowledged || head == asked,
            "round {round}: {head} is neither {acknowledged} nor {asked}"
        );
    }
}
