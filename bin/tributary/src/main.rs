//! The Tributary node: parse, configure, start.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod economy;
mod files;
mod node;
mod output;
mod payer;
mod wallet;

use clap::{Parser, Subcommand};
use eyre::Result;

use crate::{
    args::LogArgs,
    commands::{
        AdapterCommand, AgentCommand, ChannelCommand, ChatCommand, ClaimCommand, DatanetCommand, DbCommand,
        DemoCommand, ExplainCommand, InitCommand, ModelCommand, ProxyCommand, WalletCommand,
    },
    node::{DevCommand, NodeCommand},
};

/// The node that decentralised AI runs on: an OP Stack execution client and a LoRA inference worker.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, about, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node of a development chain: embedded sequencer, worker and DA, no L1.
    Dev(Box<DevCommand>),
    /// Start a node.
    Node(Box<NodeCommand>),
    Init(InitCommand),
    Demo(DemoCommand),
    /// The base model.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Keys and balances.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Datanets: the data that adapters are trained on.
    #[command(subcommand)]
    Datanet(DatanetCommand),
    /// LoRA adapters.
    #[command(subcommand)]
    Adapter(AdapterCommand),
    /// Agents: who serves, with what at stake.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Payment channels.
    #[command(subcommand)]
    Channel(ChannelCommand),
    Chat(ChatCommand),
    Explain(ExplainCommand),
    Claim(ClaimCommand),
    Proxy(ProxyCommand),
    /// The database of a stopped node.
    #[command(subcommand)]
    Db(DbCommand),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    // A node's log is its output; a command's output is its answer.
    let is_node = matches!(cli.command, Command::Dev(_) | Command::Node(_));
    cli.log.init(!is_node)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Dev(command) => command.run().await,
            Command::Node(command) => command.run().await,
            Command::Init(command) => command.run(),
            Command::Demo(command) => command.run().await,
            Command::Model(command) => command.run().await,
            Command::Wallet(command) => command.run().await,
            Command::Datanet(command) => command.run().await,
            Command::Adapter(command) => command.run().await,
            Command::Agent(command) => command.run().await,
            Command::Channel(command) => command.run().await,
            Command::Chat(command) => command.run().await,
            Command::Explain(command) => command.run().await,
            Command::Claim(command) => command.run().await,
            Command::Proxy(command) => command.run().await,
            Command::Db(command) => command.run(),
        }
    })
}
