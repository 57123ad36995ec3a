#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod blocks;
mod build;
mod cases;
mod client;
mod contracts;
mod http;
mod import;
mod load;
mod report;
mod requests;
mod traffic;
mod world;

use clap::Parser;
use client::Programs;
use eyre::{Result, ensure};
use std::path::PathBuf;
use world::{Size, World};

/// Compares Tributary with op-geth.
#[derive(Debug, Parser)]
struct Args {
    /// The client that is measured
    #[arg(long)]
    tributary: PathBuf,
    /// The client it is compared with
    #[arg(long)]
    op_geth: PathBuf,
    /// Where the worlds, the blocks and the data folders are kept; 10 GB for the full size
    #[arg(long)]
    folder: PathBuf,
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    amount: cases::Amount,
    /// Which cases: import, chain, build, rpc, proof; all if none is named
    cases: Vec<cases::Case>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cases = if args.cases.is_empty() { cases::Case::ALL.to_vec() } else { args.cases };
    for program in [&args.tributary, &args.op_geth] {
        ensure!(program.exists(), "{} is missing", program.display());
    }
    let Size { accounts, senders, slots } = args.size;
    let folder = args.folder.join(format!("world-{accounts}-{senders}-{slots}"));
    std::fs::create_dir_all(&folder)?;
    let world = World::new(args.size)?;
    let genesis = folder.join("genesis.json");
    if !genesis.exists() {
        eprintln!("writing {}", genesis.display());
        let made = folder.join("genesis.making");
        world.write_genesis(&made)?;
        std::fs::rename(&made, &genesis)?;
    }
    let programs = Programs { tributary: args.tributary, op_geth: args.op_geth, genesis, folder };
    let rows = cases::run(&programs, &world, &args.amount, &cases)?;
    report::print(&rows);
    Ok(())
}
