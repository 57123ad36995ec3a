//! What `forge` makes of the contracts.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Builds the contracts (the compiler comes with `make setup`) and reads an artefact.
pub(crate) fn artefact(name: &str) -> Value {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../contracts");
    let built = Command::new(contracts.join("build.sh")).arg("build").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let bytes = std::fs::read(contracts.join(format!("out/{name}.sol/{name}.json"))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
