#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod kernels;
mod lora;
mod memory;
mod node;
mod peer;
mod quotes;
mod registered;
mod report;
mod rig;
mod served;

use clap::{Parser, ValueEnum};
use eyre::{Result, ensure};
use peer::Peer;
use registered::Amount;
use report::Row;
use rig::Rig;
use served::Served;
use std::path::PathBuf;
use tributary_cpu::{Affinity, Options};
use tributary_engine::EngineConfig;

/// Measures serving, beside llama.cpp and beside what the machine can do at most.
#[derive(Debug, Parser)]
struct Args {
    /// The model's file
    #[arg(long)]
    model: PathBuf,
    /// Where adapters and converted files are kept; 1 GB
    #[arg(long)]
    folder: PathBuf,
    /// The node that the row under load starts; without it there is no such row
    #[arg(long)]
    tributary: Option<PathBuf>,
    /// A Python that has llama_cpp; without it there is no peer
    #[arg(long)]
    python: Option<PathBuf>,
    /// A folder of adapters that were taught a dictionary
    #[arg(long, default_value = "adapters/dict-devil")]
    taught: PathBuf,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// CPUs that they keep to, as `--inference.cpus` of the node
    #[arg(long, default_value_t = Affinity::System)]
    cpus: Affinity,
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Adapters registered
    #[arg(long, default_value_t = 2_000)]
    registered: usize,
    /// Requests of a run over many adapters
    #[arg(long, default_value_t = 160)]
    requests: usize,
    /// Print this process's memory and end
    #[arg(long, hide = true)]
    measure_memory: bool,
    /// Which rows; all if none is named
    cases: Vec<Case>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// One stream, prompts, batches, adapters in a batch
    Kernels,
    /// 2,000 registered adapters
    Adapters,
    /// Time to the first token with more adapters than memory holds
    FirstToken,
    /// Guesses
    Quotes,
    /// Prompts that begin alike
    Prefix,
    /// A node whose chain is under load
    Node,
    /// Memory
    Memory,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.model.exists(), "{} is missing", args.model.display());
    std::fs::create_dir_all(&args.folder)?;
    if args.measure_memory {
        return memory::measure(&args.model, &args.folder, args.threads, args.registered);
    }
    let taught = args.taught.join("headwords.json");
    ensure!(!args.wants(Case::Quotes) || taught.exists(), "{} is missing", taught.display());
    // What was measured before a case failed is not lost.
    let mut rows = Vec::new();
    let measured = measure(&args, &mut rows);
    report::print(&rows);
    measured
}

impl Args {
    fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }
}

/// Adds the rows of the cases that are wanted.
fn measure(args: &Args, rows: &mut Vec<Row>) -> Result<()> {
    let (model, folder, threads, rounds) = (&args.model, &args.folder, args.threads, args.rounds);
    let options = Options { threads, affinity: args.cpus.clone(), ..Options::default() };
    let served = |config| Served::open(model, &options, config, &lora::kept(folder));
    let amount = Amount { registered: args.registered, requests: args.requests, rounds };
    if args.wants(Case::Memory) {
        rows.push(memory::row(model, folder, threads, args.registered)?);
    }
    if args.wants(Case::Kernels) {
        let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/peer.py"));
        let mut peer = match &args.python {
            Some(python) => Some(Peer::start(python, &script, model, folder, threads)?),
            None => None,
        };
        let (mut rig, mut bare) = (Rig::open(model, &options)?, Rig::open(model, &options)?);
        rows.extend(kernels::rows(&mut rig, &mut bare, peer.as_mut(), rounds)?);
    }
    // Prompts are to be computed here, also those that were asked before.
    let forgetful = EngineConfig { prefix_cache: false, ..EngineConfig::default() };
    if args.wants(Case::Adapters) {
        let bandwidth = Rig::open(model, &options)?.bandwidth()?;
        rows.extend(registered::throughput(&served(forgetful)?, folder, amount, bandwidth)?);
    }
    if args.wants(Case::FirstToken) {
        rows.extend(registered::first_token(&served(forgetful)?, folder, amount)?);
    }
    if args.wants(Case::Quotes) {
        let plain = served(EngineConfig { draft_tokens: 0, ..forgetful })?;
        rows.extend(quotes::speculation(&served(forgetful)?, &plain, folder, &args.taught, rounds)?);
    }
    if args.wants(Case::Prefix) {
        let mut rig = Rig::open(model, &options)?;
        rows.extend(quotes::prefix(&served(EngineConfig::default())?, &mut rig, folder, rounds)?);
    }
    if let (true, Some(program)) = (args.wants(Case::Node), &args.tributary) {
        rows.extend(node::row(&served(forgetful)?, program, folder, threads, rounds)?);
    }
    Ok(())
}
