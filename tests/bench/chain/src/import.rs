//! Cases 1 and 5: blocks through the Engine API, then what they left on the disk and in memory.

use crate::{
    blocks::Blocks,
    client::{Client, Kind, Programs, Usage, disk, remove},
};
use eyre::Result;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// One client's import of one chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Import {
    /// Seconds from the first `newPayload` to the answer of the last `forkchoiceUpdated`.
    pub(crate) seconds: f64,
    /// Seconds that a clean stop took then.
    pub(crate) stop: f64,
    /// Seconds on the CPU: the client's, and this program's.
    pub(crate) cpu: f64,
    pub(crate) own_cpu: f64,
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    pub(crate) disk: u64,
}

/// Imports all blocks into a running client.
pub(crate) fn feed(client: &mut Client, blocks: &Blocks) -> Result<Import> {
    let (before, own) = (client.usage()?, Usage::own()?);
    let start = Instant::now();
    for block in &blocks.blocks {
        client.new_payload(&block.params)?;
        client.choose(&block.hash, serde_json::Value::Null)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (after, own_after) = (client.usage()?, Usage::own()?);
    Ok(Import {
        seconds,
        cpu: after.cpu - before.cpu,
        own_cpu: own_after.cpu - own.cpu,
        resident: after.resident,
        peak: after.peak,
        ..Import::default()
    })
}

/// Imports all blocks into a fresh data folder, stops the client and weighs the folder, which stays.
pub(crate) fn run(programs: &Programs, kind: Kind, name: &str, blocks: &Blocks) -> Result<(Import, PathBuf)> {
    let data = programs.fresh(kind, name)?;
    let mut client = programs.start(kind, &data)?;
    let import = feed(&mut client, blocks)?;
    let stop = client.stop()?.as_secs_f64();
    let import = Import { stop, disk: disk(&data)?, ..import };
    eprintln!(
        "{:>9} {name}: {:.2} s, {:.0} Mgas/s, stop {:.2} s, cpu {:.1} s ({:.1} s of this program), {} MiB, disk {} MiB",
        kind.name(),
        import.seconds,
        blocks.gas() as f64 / 1e6 / import.seconds,
        stop,
        import.cpu,
        import.own_cpu,
        import.peak >> 20,
        import.disk >> 20,
    );
    Ok((import, data))
}

/// How long a client may tidy up.
const SETTLING: Duration = Duration::from_secs(30);

/// Bytes of a data folder after the client has had time to tidy up.
pub(crate) fn settled(programs: &Programs, kind: Kind, data: &Path) -> Result<u64> {
    let client = programs.start(kind, data)?;
    std::thread::sleep(SETTLING);
    client.stop()?;
    let bytes = disk(data)?;
    eprintln!("{:>9} settled: disk {} MiB", kind.name(), bytes >> 20);
    Ok(bytes)
}

/// The same several times, the clients in turn; each client's runs. The folders go.
pub(crate) fn compare(programs: &Programs, blocks: &Blocks, rounds: u32) -> Result<[Vec<Import>; 2]> {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (kind, runs) in [Kind::Tributary, Kind::OpGeth].into_iter().zip(&mut runs) {
            let (import, data) = run(programs, kind, "import", blocks)?;
            remove(&data)?;
            runs.push(import);
        }
    }
    Ok(runs)
}
