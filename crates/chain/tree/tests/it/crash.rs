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
use tributary_tree::{ChainConfig, Durability, verify};

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
        if parent < head.number {
            println!("reorg from {}", parent);
        }
        let mut at = chain.canonical_hash(parent).unwrap().unwrap();
        for _ in 0..=head.number - parent {
            at = grow(&chain, at, random.random_range(1..1_000));
        }
        let finalized = chain.canonical_hash(parent.saturating_sub(10).max(lowest)).unwrap();
        chain.set_forkchoice(at, finalized, finalized).unwrap();
        println!("acknowledged {} {at}", chain.head().number);
    }
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
        let lines: Vec<String> = std::iter::once(first)
            .chain(lines)
            .map_while(Result::ok)
            .filter(|line| line.is_ascii())
            .collect();
        let complete = |line: &&String| line.len() >= "acknowledged 1 0x".len() + 64;
        let last = lines.iter().rfind(complete).unwrap();
        let mut words = last.split(' ').skip(1);
        let number: u64 = words.next().unwrap().parse().unwrap();
        let hash: B256 = words.next().unwrap().parse().unwrap();

        let chain = open_with(dir.path(), config()).unwrap();
        verify(chain.store(), |_, _, _| ()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(chain.head().number >= chain.finalized().map_or(0, |header| header.number));
        // A reorg goes back before it goes forward; killed in its middle, the chain is in between.
        let reorg = lines
            .iter()
            .rev()
            .take_while(|line| *line != last)
            .find_map(|line| line.strip_prefix("reorg from "));
        let least = reorg.map_or(number, |parent| parent.parse().unwrap());
        assert!(
            chain.head().number >= least,
            "round {round}: after {last} the head is {}",
            chain.head().number
        );
        if reorg.is_none() {
            assert_eq!(chain.canonical_hash(number).unwrap(), Some(hash), "round {round}: {last}");
        }
    }
}
