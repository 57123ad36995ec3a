//! A disk that fails.

use crate::{
    dev::{block, grow, open_with},
    toy::config,
};
use std::process::Command;
use tributary_tree::{ChainConfig, Durability, verify};

const DIR: &str = "TRIBUTARY_TEST_FAIL_DIR";

/// Runs in a process of its own, in which no file can grow beyond a limit.
#[test]
fn child_writes_until_the_disk_fails() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let config = ChainConfig { durability: Durability::Acknowledged, ..config() };
    let chain = open_with(dir.as_ref(), config).unwrap();
    let mut at = chain.head().hash();
    for seed in chain.head().number + 1.. {
        let built = block(&chain, at, 2);
        let next = built.block.hash();
        // The writer follows behind: it may fail at any time.
        match chain.insert(built).and_then(|()| chain.set_forkchoice(next, None, None)) {
            Ok(_) => println!("acknowledged {seed}"),
            Err(error) => {
                // The writer may have failed after the head was logged: whoever has seen it finds it again.
                if chain.head().hash() == next {
                    println!("acknowledged {seed}");
                } else {
                    assert_eq!(chain.head().hash(), at);
                }
                println!("failed {:?}", error.severity());
                // From now on nothing is accepted.
                assert!(chain.set_forkchoice(next, None, None).is_err());
                assert!(chain.flush().is_err());
                assert!(chain.shutdown().is_err());
                let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
                assert_eq!(waiting.block_on(chain.ended()).severity(), error.severity());
                return;
            }
        }
        at = next;
    }
}

#[test]
fn a_failing_disk_is_fatal_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // Genesis first, without the limit.
    drop(open_with(dir.path(), config()).unwrap());
    let exe = std::env::current_exe().unwrap();
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" --exact fail::child_writes_until_the_disk_fails --nocapture";
    let output = Command::new("bash").arg("-c").arg(script).arg(exe).env(DIR, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("failed Fatal"), "{text}");
    let last = text.lines().filter_map(|line| line.strip_prefix("acknowledged ")).next_back().unwrap();
    let last: u64 = last.parse().unwrap();

    let chain = open_with(dir.path(), config()).unwrap();
    assert!(chain.head().number >= last, "{} acknowledged, {} there", last, chain.head().number);
    verify(chain.store(), |_, _, _| ()).unwrap();
    for _ in 0..3 {
        let next = grow(&chain, chain.head().hash(), 3);
        chain.set_forkchoice(next, None, None).unwrap();
    }
}
