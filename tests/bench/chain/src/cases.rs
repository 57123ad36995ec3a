//! The cases, one after the other.

use crate::{
    blocks::Blocks,
    build,
    client::{Client, Kind, Programs, remove},
    import::{self, Import},
    load::{self, Load},
    report::{Row, median},
    requests,
    world::World,
};
use eyre::Result;
use std::{path::PathBuf, time::Duration};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Case {
    /// Large blocks through the Engine API
    Import,
    /// Many blocks, and what they leave on the disk and in memory
    Chain,
    /// A full block from a full pool
    Build,
    /// Calls, balances and logs
    Rpc,
    /// Proofs of slots
    Proof,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [Self::Import, Self::Chain, Self::Build, Self::Rpc, Self::Proof];
}

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Amount {
    /// Blocks to import
    #[arg(long, default_value_t = 200)]
    blocks: u64,
    /// Gas of each
    #[arg(long, default_value_t = 30_000_000)]
    block_gas: u64,
    /// Blocks of the long chain that the other cases run on
    #[arg(long, default_value_t = 5_000)]
    chain_blocks: u64,
    /// Gas of each
    #[arg(long, default_value_t = 1_500_000)]
    chain_gas: u64,
    /// Blocks whose logs are asked for at once
    #[arg(long, default_value_t = 1_000)]
    log_range: u64,
    /// Connections that ask
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of asking
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How often each client is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

const KINDS: [Kind; 2] = [Kind::Tributary, Kind::OpGeth];

/// Runs the cases.
pub(crate) fn run(programs: &Programs, world: &World, amount: &Amount, cases: &[Case]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if cases.contains(&Case::Import) {
        let blocks = Blocks::get(programs, world, "large", amount.blocks, amount.block_gas)?;
        let runs = import::compare(programs, &blocks, amount.rounds)?;
        rows.extend(import_rows(&blocks, &runs));
    }
    if cases.iter().any(|case| *case != Case::Import) {
        on_chain(programs, world, amount, cases, &mut rows)?;
    }
    Ok(rows)
}

fn import_rows(blocks: &Blocks, runs: &[Vec<Import>; 2]) -> [Row; 2] {
    let rate = |runs: &[Import], seconds: fn(&Import) -> f64| {
        median(runs.iter().map(|run| blocks.gas() as f64 / 1e6 / seconds(run)).collect(), false)
    };
    let row = |case: &str, seconds: fn(&Import) -> f64, target: f64| Row {
        case: case.into(),
        ours: rate(&runs[0], seconds),
        theirs: rate(&runs[1], seconds),
        unit: "Mgas/s",
        more: true,
        target,
        note: format!("cores busy {:.1}; {:.1}", cores(&runs[0]), cores(&runs[1])),
    };
    let name = format!("import of {} blocks", blocks.blocks.len());
    [row(&name, |run| run.seconds, 2.0), row("the same and a clean stop", |run| run.seconds + run.stop, 1.0)]
}

/// Cores that a client kept busy.
fn cores(runs: &[Import]) -> f64 {
    median(runs.iter().map(|run| run.cpu / run.seconds).collect(), true)
}

/// Cases on the long chain. Both clients run at the same time; one is asked.
fn on_chain(
    programs: &Programs,
    world: &World,
    amount: &Amount,
    cases: &[Case],
    rows: &mut Vec<Row>,
) -> Result<()> {
    let blocks = Blocks::get(programs, world, "small", amount.chain_blocks, amount.chain_gas)?;
    let [ours, theirs] = KINDS.map(|kind| import::run(programs, kind, "chain", &blocks));
    let ((mut ours, our_data), (mut theirs, their_data)) = (ours?, theirs?);
    if cases.contains(&Case::Chain) {
        // Once more started and stopped: what they tidy up then is not held against them.
        ours.disk = import::settled(programs, Kind::Tributary, &our_data)?;
        theirs.disk = import::settled(programs, Kind::OpGeth, &their_data)?;
        rows.extend(chain_rows(&blocks, &ours, &theirs));
    }
    let mut clients =
        [programs.start(Kind::Tributary, &our_data)?, programs.start(Kind::OpGeth, &their_data)?];
    if cases.contains(&Case::Rpc) {
        let logs = requests::logs(world, amount.chain_blocks, amount.log_range);
        for (name, bodies) in [
            ("eth_call", requests::calls(world)),
            ("eth_getBalance", requests::balances(world)),
            ("eth_getLogs", logs),
        ] {
            rows.extend(load_rows(name, &clients, &bodies, amount, 1.5)?);
        }
    }
    if cases.contains(&Case::Proof) {
        rows.extend(load_rows("eth_getProof", &clients, &requests::proofs(world), amount, 2.0)?);
    }
    if cases.contains(&Case::Build) {
        rows.push(build_row(world, &blocks.nonces, &mut clients, amount)?);
    }
    drop(clients);
    let folders: [PathBuf; 2] = [our_data, their_data];
    folders.iter().try_for_each(|folder| remove(folder))
}

fn chain_rows(blocks: &Blocks, ours: &Import, theirs: &Import) -> [Row; 4] {
    let row = |case: String, unit, more, figure: &dyn Fn(&Import) -> f64| Row {
        case,
        ours: figure(ours),
        theirs: figure(theirs),
        unit,
        more,
        target: 1.0,
        note: String::new(),
    };
    let count = blocks.blocks.len();
    let mebibytes = |bytes: u64| (bytes >> 20) as f64;
    [
        row(format!("import of {count} small blocks"), "Mgas/s", true, &|run| {
            blocks.gas() as f64 / 1e6 / run.seconds
        }),
        row(format!("disk after {count} blocks"), "MiB", false, &|run| mebibytes(run.disk)),
        row(format!("memory after {count} blocks"), "MiB", false, &|run| mebibytes(run.resident)),
        row("its peak".into(), "MiB", false, &|run| mebibytes(run.peak)),
    ]
}

fn load_rows(
    name: &str,
    clients: &[Client; 2],
    bodies: &[String],
    amount: &Amount,
    target: f64,
) -> Result<[Row; 2]> {
    let mut loads: [Vec<Load>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..amount.rounds {
        for (client, loads) in clients.iter().zip(&mut loads) {
            let duration = Duration::from_secs(amount.seconds);
            loads.push(load::run(client, name, bodies, amount.connections, duration)?);
        }
    }
    let figures = |figure: fn(&Load) -> f64, low| {
        [0, 1].map(|at: usize| median(loads[at].iter().map(figure).collect(), low))
    };
    let shares = figures(|load| load.own_share * 100.0, true);
    let row = |case: String, unit, more, [ours, theirs]: [f64; 2], note| Row {
        case,
        ours,
        theirs,
        unit,
        more,
        target,
        note,
    };
    let note = format!("asking takes {:.0} %; {:.0} % of the CPU", shares[0], shares[1]);
    Ok([
        row(name.into(), "req/s", true, figures(|load| load.rate, false), note),
        row(format!("{name}, p99"), "ms", false, figures(|load| load.p99, true), String::new()),
    ])
}

fn build_row(world: &World, nonces: &[u64], clients: &mut [Client; 2], amount: &Amount) -> Result<Row> {
    let transactions = build::transactions(world, nonces, 3)?;
    let mut times = [Vec::new(), Vec::new()];
    let mut filled = [0.0; 2];
    for (client, filled) in clients.iter().zip(&mut filled) {
        *filled = build::fill(client, &transactions)?;
    }
    for _ in 0..amount.rounds {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            times.extend(build::times(client)?);
        }
    }
    let count = transactions.len() as f64;
    let [ours, theirs] = times.map(|times| median(times, true));
    Ok(Row {
        case: "building 60M gas from the pool".into(),
        ours,
        theirs,
        unit: "ms",
        more: false,
        target: 1.5,
        note: format!(
            "bound 200 ms; the pool takes {:.0}; {:.0} tx/s over RPC",
            count / filled[0],
            count / filled[1]
        ),
    })
}
