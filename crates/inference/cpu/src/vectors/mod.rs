//! Vectors of every primitive: made by the reference, committed, and run by each path before it serves.
//!
//! A case is a name, inputs that a seed gives, and output bits. Inputs are not stored: they come from
//! [`Source`], which is SplitMix64, so another implementation of the profile can make them too.

mod cases;
mod ops;
mod outside;
mod source;

use crate::{CpuError, PROFILE, kernels::Kernels};
use cases::{Case, Ops, cases};
use ops::{KernelOps, ReferenceOps};
use outside::OutsideOps;
pub use outside::{AttentionCase, Primitives, Q8};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const COMMITTED: &str = include_str!("../../vectors/f32-q8-1.json");
/// Seeds of the committed cases.
const SEEDS: std::ops::Range<u64> = 0..3;

/// The committed file. Outputs are the bits of each value in hex, eight digits a value.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    profile: String,
    cases: BTreeMap<String, String>,
}

fn hex(case: &Case) -> String {
    case.bits.iter().map(|bits| format!("{bits:08x}")).collect()
}

/// The file's contents, by the reference.
pub fn generate() -> String {
    let all = SEEDS.flat_map(|seed| cases(&ReferenceOps, seed));
    let cases = all.map(|case| (case.name.clone(), hex(&case))).collect();
    let file = File { profile: PROFILE.to_owned(), cases };
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

/// Runs every committed case; an error names the first that differs.
pub(crate) fn self_test(kernels: &Kernels) -> Result<(), CpuError> {
    let differs = |vector| CpuError::SelfTest { path: kernels.path().name(), vector };
    first_difference(&KernelOps(*kernels)).map_or(Ok(()), |vector| Err(differs(vector)))
}

/// Runs every committed case on another implementation of the profile; an error names the first that differs.
pub fn check(primitives: &dyn Primitives) -> Result<(), String> {
    first_difference(&OutsideOps(primitives)).map_or(Ok(()), Err)
}

fn first_difference(ops: &dyn Ops) -> Option<String> {
    let Ok(file) = serde_json::from_str::<File>(COMMITTED) else { return Some("the file".to_owned()) };
    let mut left = file.cases;
    for case in SEEDS.flat_map(|seed| cases(ops, seed)) {
        if left.remove(&case.name) != Some(hex(&case)) {
            return Some(case.name);
        }
    }
    left.into_keys().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    #[test]
    fn the_committed_file_is_what_the_reference_makes() {
        assert_eq!(generate(), COMMITTED);
    }

    #[test]
    fn every_path_passes_its_self_test() {
        for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
            self_test(&Kernels::new(path).unwrap()).unwrap();
        }
    }

    /// Each path against the reference, over random shapes and values.
    #[test]
    fn every_path_has_the_bits_of_the_reference() {
        for seed in 100..160 {
            let expected = cases(&ReferenceOps, seed);
            for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
                let found = cases(&KernelOps(Kernels::new(path).unwrap()), seed);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(found.name, expected.name);
                    let differs = found.bits.iter().zip(&expected.bits).position(|(a, b)| a != b);
                    assert_eq!(differs, None, "{path}: {}", found.name);
                    assert_eq!(found.bits.len(), expected.bits.len(), "{path}: {}", found.name);
                }
            }
        }
    }
}
