//! The kernels under the address and undefined-behaviour sanitizers, in a process that was started with their runtime.

use crate::{emulator, shadow};
use std::process::{Command, Output};

/// Set inside such a process.
pub(crate) const INSIDE: &str = "TRIBUTARY_SANITIZED";

/// Runs one of this binary's tests there.
fn run(test: &str) -> Output {
    let runtime = Command::new("g++").arg("-print-file-name=libasan.so").output().unwrap();
    let runtime = String::from_utf8(runtime.stdout).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .env("LD_PRELOAD", runtime.trim())
        .env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0")
        .output()
        .unwrap()
}

#[test]
fn a_mixed_batch_is_clean() {
    for test in ["forward::under_sanitizers", "fast::under_sanitizers", "choose::under_sanitizers"] {
        let output = run(test);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{text}");
    }
}

/// The sanitizers see what they are there for.
#[test]
fn a_fault_is_seen() {
    let output = run("sanitized::with_a_fault");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("AddressSanitizer"), "{text}");
}

/// A kernel that reads past its region, in the process that the test above starts.
#[test]
fn with_a_fault() {
    if std::env::var_os(INSIDE).is_some() {
        let library = shadow::faults(emulator::Watch::Sanitizers);
        let found = shadow::run(&library, "fault_outside", 1);
        panic!("went on: {found:?}");
    }
}
