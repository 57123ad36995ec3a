//! How much of the machine's memory serving may have.

use std::{fs, path::Path};

use crate::args::InferenceArgs;

/// What is left beside the weights at least, if nobody says otherwise.
const BESIDE: u64 = 1 << 30;
/// Of a machine that does not say what it has.
const UNKNOWN: u64 = 8 << 30;

/// Bytes of the budget: what the flag says, or a part of the machine.
pub(super) fn budget(args: &InferenceArgs, model: &Path) -> usize {
    let bytes = args.memory.map(|mib| (mib as u64).saturating_mul(1 << 20));
    let bytes = bytes.unwrap_or_else(|| default(machine().unwrap_or(UNKNOWN), size(model)));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A cap of so many MiB; none without a flag.
pub(super) fn cap(mib: Option<usize>) -> usize {
    mib.map_or(usize::MAX, |mib| mib.saturating_mul(1 << 20))
}

/// A quarter of the machine, and at least something beside weights, which in memory are a little larger than in the file.
fn default(machine: u64, weights: u64) -> u64 {
    (machine / 4).max(weights.saturating_add(weights / 4).saturating_add(BESIDE))
}

/// Bytes of a model's file, or of the files of its folder.
fn size(model: &Path) -> u64 {
    let of = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    match fs::read_dir(model) {
        Ok(folder) => folder.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(model),
    }
}

/// Memory of the machine, or of the container if that is less.
fn machine() -> Option<u64> {
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse::<u64>().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    [container, machine].into_iter().flatten().min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_machine_but_room_beside_the_weights() {
        let gib = 1 << 30;
        assert_eq!(default(64 * gib, gib), 16 * gib);
        assert_eq!(default(4 * gib, 4 * gib), 6 * gib);
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16384 * 1024));
        assert_eq!(total("MemTotal: a lot"), None);
        assert_eq!((cap(None), cap(Some(2))), (usize::MAX, 2 << 20));
        assert!(machine().is_some_and(|bytes| bytes > 0));
    }
}
