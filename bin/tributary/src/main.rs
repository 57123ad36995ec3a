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

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use eyre::Result;

use crate::{
    args::{Given, LogArgs},
    commands::{
        AdapterCommand, AgentCommand, ChannelCommand, ChatCommand, ClaimCommand, DatanetCommand, DbCommand,
        DemoCommand, ExplainCommand, InitCommand, ModelCommand, ProxyCommand, StatelessCommand,
        VerifyAnswerCommand, WalletCommand,
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
    Stateless(StatelessCommand),
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
    VerifyAnswer(VerifyAnswerCommand),
    Claim(ClaimCommand),
    Proxy(ProxyCommand),
    /// The database of a stopped node.
    #[command(subcommand)]
    Db(DbCommand),
}

impl Cli {
    /// A node also learns which flags were given.
    fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        let given = Given::read(&Self::command(), &matches);
        match &mut cli.command {
            Command::Dev(dev) => dev.was_given(given),
            Command::Node(node) => node.was_given(given),
            _ => {}
        }
        Ok(cli)
    }
}

fn main() -> std::process::ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", told(&failure));
            std::process::ExitCode::FAILURE
        }
    }
}

/// A failure and its causes, each said once: some errors name their cause themselves.
fn told(failure: &eyre::Report) -> String {
    let mut text = String::new();
    for cause in failure.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

/// How long threads that still compute something are waited for at the end.
const LAST_THREADS: std::time::Duration = std::time::Duration::from_secs(1);

fn run(cli: Cli) -> Result<std::process::ExitCode> {
    // A node's log is its output; a command's output is its answer.
    let is_node = matches!(cli.command, Command::Dev(_) | Command::Node(_));
    // Whoever reads the answer may close the pipe, as `head` does. A peer that closes its end of a connection must not end the process so.
    let converses = matches!(cli.command, Command::Chat(_) | Command::Demo(_) | Command::Proxy(_));
    if !is_node && !converses {
        sigpipe::reset();
    }
    cli.log.init(!is_node)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        match cli.command {
            Command::Dev(command) => command.run().await,
            Command::Node(command) => command.run().await,
            Command::Init(command) => command.run(),
            Command::Stateless(command) => command.run(),
            Command::Demo(command) => command.run().await,
            Command::Model(command) => command.run().await,
            Command::Wallet(command) => command.run().await,
            Command::Datanet(command) => command.run().await,
            Command::Adapter(command) => command.run().await,
            Command::Agent(command) => command.run().await,
            Command::Channel(command) => command.run().await,
            Command::Chat(command) => command.run().await,
            Command::Explain(command) => command.run().await,
            Command::VerifyAnswer(command) => return Ok(command.run().await),
            Command::Claim(command) => command.run().await,
            Command::Proxy(command) => command.run().await,
            Command::Db(command) => command.run(),
        }?;
        Ok(std::process::ExitCode::SUCCESS)
    });
    // A call that nobody waits for any more may be computed for minutes. What had to be written is.
    runtime.shutdown_timeout(LAST_THREADS);
    code
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    /// What OP's test harness starts op-reth with.
    #[test]
    fn the_node_takes_op_reths_command_line() {
        let flags = "tributary node --addr=127.0.0.1 --authrpc.addr=127.0.0.1 --authrpc.jwtsecret=F --authrpc.port=0 \
            --builder.deadline=2 --builder.interval=100ms --chain=G.json --color=never --datadir=D --disable-discovery \
            --http --http.api=admin,debug,eth,net,trace,txpool,web3,rpc,reth,miner --http.addr=127.0.0.1 --http.port=0 \
            --ipcdisable --log.file.directory=L --log.stdout.format=json --nat=none --p2p-secret-key=F --port=0 \
            --txpool.minimum-priority-fee=1 --txpool.nolocals --with-unused-ports --ws \
            --ws.api=admin,debug,eth,net,trace,txpool,web3,rpc,reth,miner --ws.addr=127.0.0.1 --ws.port=0 -vvvv \
            --metrics=127.0.0.1:0 --rollup.interop-http=http://127.0.0.1:1 --rollup.sequencer-http=http://127.0.0.1:2 \
            --rollup.sequencer-headers=a=b,c=d --rollup.compute-pending-block --rollup.discovery.v4 \
            --rollup.enable-tx-conditional --rollup.retain-forwarded-txs --rollup.historicalrpc=http://127.0.0.1:3 \
            --rollup.disable-tx-pool-gossip --rpc.eth-proof-window=100000 \
            --rollup.max-uncompressed-block-size=8000000 --builder.gaslimit=1 --builder.max-tasks=3 --builder.extradata=0x";
        let parsed = Cli::try_parse_from(flags.split_whitespace()).map_err(|error| error.to_string());
        assert!(parsed.is_ok(), "{parsed:?}");
        for spelt_as_op_geth in ["--rollup.sequencerhttp=http://a", "--rollup.disabletxpoolgossip"] {
            assert!(Cli::try_parse_from(["tributary", "node", spelt_as_op_geth]).is_ok());
        }
        assert!(Cli::try_parse_from(["tributary", "init", "--datadir=D", "--chain=G.json"]).is_ok());
    }

    #[test]
    fn a_node_learns_which_flags_were_given_and_which_are_at_their_defaults() {
        let words = "tributary dev --http.port 8545 --log.file.filter debug -vvvv --da memstore";
        let cli = Cli::read(words.split(' ').map(Into::into)).unwrap();
        let Command::Dev(dev) = cli.command else { panic!("{:?}", cli.command) };
        let given = format!("{:?}", dev.into_node().given);
        for flag in ["http.port", "log.file.filter", "verbosity", "da"] {
            assert!(given.contains(&format!("{flag:?}")), "{flag}: {given}");
        }
        for flag in ["http.addr", "log.file.directory", "quiet", "dev"] {
            assert!(!given.contains(&format!("{flag:?}")), "{flag}: {given}");
        }
    }
}
