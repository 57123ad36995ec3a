//! Flags that start a node together with others, or that start nothing.

use eyre::{OptionExt, Result, ensure};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{info, warn};
use tributary_cuda::DeviceChoice;
use tributary_da::DaChoice;
use tributary_evm::MAX_BLOCK_BYTES;
use tributary_rpc::{Forwarder, Namespace};

use super::NodeCommand;

/// How a node and its peers meet.
const NETWORK: &[&str] =
    &["addr", "port", "nat", "p2p-secret-key", "max-outbound-peers", "max-inbound-peers"];
/// What a rollup node makes use of.
const ENGINE: &[&str] = &["authrpc.", "builder.interval", "builder.deadline", "builder.max-tasks"];
/// Only WebSockets carry subscriptions.
const MAX_SUBSCRIPTIONS: &str = "rpc.max-subscriptions-per-connection";
/// Limits of the servers for users. The Engine API has its own.
const SERVERS: &[&str] =
    &["http.vhosts", "rpc.max-request-size", "rpc.max-response-size", "rpc.max-connections", "rpc.max-batch"];
/// Limits of methods, which the Engine API's port serves, too.
const METHODS: &[&str] = &[
    "rpc.max-blocks-per-filter",
    "rpc.max-logs-per-response",
    "rpc.gascap",
    "rpc.evmtimeout",
    "rpc.txfeecap",
    "rpc.eth-proof-window",
    "rpc.max-tracing-requests",
    "rpc.max-blocking-io-requests",
    "rollup.sequencer",
    "rollup.enable-tx-conditional",
    "rollup.compute-pending-block",
    "rollup.min-suggested-priority-fee",
];
/// Limits of `trace_*`, which the Engine API's port does not serve.
const TRACE: &[&str] = &["rpc.max-trace-filter-blocks"];
/// How transactions are sent on.
const FORWARDING: &[&str] = &["rollup.sequencer-headers", "rollup.retain-forwarded-txs"];
/// What GPUs are told.
const GPU: &[&str] = &["inference.nvrtc", "inference.gpu-adapter-memory", "inference.gpus"];
/// What the worker is told.
const WORKER: &[&str] = &[
    "api.",
    "embeddings",
    "model",
    "inference.",
    "payments",
    "operator.",
    "batch.interval",
    "da",
    "da.memstore-port",
];

/// Whether, and why, which flags change nothing; a name that ends in a dot stands for all that begin with it.
type Rule = (bool, &'static str, &'static [&'static str]);

const fn rule(idle: bool, why: &'static str, flags: &'static [&'static str]) -> Rule {
    (idle, why, flags)
}

impl NodeCommand {
    /// Flags of which one says the opposite of the other.
    pub(super) fn refuse_contradictions(&self) -> Result<()> {
        let (dev, network) = (self.dev.dev, &self.network);
        ensure!(
            dev || network.sequencer_key.is_none(),
            "--p2p.sequencer.key signs the blocks that are made here, and blocks are made here with --dev only"
        );
        ensure!(
            !dev || network.unsafe_block_signer.is_none(),
            "--p2p.unsafe-block-signer follows the blocks of another node, and --dev makes them here: one of the two"
        );
        Ok(())
    }

    /// Flags that change nothing. Whoever sets one should not believe otherwise.
    pub(super) fn log_flags_without_effect(&self) {
        for (flag, why) in self.flags_without_effect() {
            info!(target: "tributary", flag = format!("--{flag}"), why, "Flag has no effect");
        }
        for flag in &self.overridden {
            let why = "--with-unused-ports has the system choose";
            info!(target: "tributary", flag = format!("--{flag}"), why, "Port of flag has no effect");
        }
        if let Some(bytes) = self.rollup.max_uncompressed_block_size
            && bytes > MAX_BLOCK_BYTES as u64
        {
            warn!(
                target: "tributary", bytes, limit = MAX_BLOCK_BYTES,
                "--rollup.max-uncompressed-block-size is beyond what gossip carries: blocks are built up to that limit"
            );
        }
    }

    fn flags_without_effect(&self) -> Vec<(&str, &'static str)> {
        let idle = self.idle().into_iter().filter(|(idle, ..)| *idle);
        idle.flat_map(|(_, why, flags)| self.given.among(flags).map(move |flag| (flag, why))).collect()
    }

    fn idle(&self) -> Vec<Rule> {
        let (dev, rpc, network) = (self.dev.dev, &self.rpc, &self.network);
        let nat = ["any", "none"].contains(&network.nat.as_str()) || network.nat.starts_with("extip:");
        let alone = dev && !network.wanted_in_dev();
        let worker = self.inference.api;
        let cpu = self.inference.device == DeviceChoice::Cpu;
        let one_gpu = matches!(self.inference.device, DeviceChoice::Cuda(Some(_)));
        let proxy = !matches!(self.da.da, DaChoice::Memstore);
        vec![
            rule(true, "this node does not look for peers", &["disable-discovery", "rollup.discovery.v4"]),
            rule(true, "this node has no IPC socket", &["ipcdisable", "ipcpath"]),
            rule(true, "the protocol says what stands there", &["builder.extradata"]),
            rule(true, "this node never tells peers of transactions", &["rollup.disable-tx-pool-gossip"]),
            rule(true, "no chain of this node has blocks from before Bedrock", &["rollup.historicalrpc"]),
            rule(true, "this node takes no part in interop", &["rollup.interop-http"]),
            rule(!nat, "this node asks nobody for its address: name it with extip:", &["nat"]),
            rule(alone, "a dev chain has peers only if one is named, or with --p2p.sequencer.key", NETWORK),
            rule(dev, "--dev makes blocks without the Engine API", ENGINE),
            rule(!dev, "without --dev, the rollup node says it", &["dev.block-time", "builder.gaslimit"]),
            rule(!rpc.http, "without --http", &["http.addr", "http.port", "http.api", "http.corsdomain"]),
            rule(!rpc.ws, "without --ws", &["ws.addr", "ws.port", "ws.api", "ws.origins", MAX_SUBSCRIPTIONS]),
            rule(!rpc.http && !rpc.ws, "without --http and --ws", SERVERS),
            rule(
                !rpc.http && !rpc.ws && dev,
                "nobody is served: no --http, no --ws, and no Engine API",
                METHODS,
            ),
            rule(
                !rpc.serves(Namespace::Trace),
                "neither --http nor --ws serves trace: name it in --http.api or --ws.api",
                TRACE,
            ),
            rule(self.rollup.sequencer.is_none(), "without --rollup.sequencer", FORWARDING),
            rule(!worker, "without --api", WORKER),
            rule(worker && cpu, "the CPU computes", GPU),
            rule(worker && one_gpu, "--inference.device names the GPU", &["inference.gpus"]),
            rule(worker && proxy, "--da names a proxy", &["da.memstore-port"]),
            rule(
                self.settlement.key.is_none() && worker,
                "without --operator.key",
                &["operator.password-file"],
            ),
            rule(
                !self.given.contains("log.file.directory"),
                "without --log.file.directory",
                &["log.file.format", "log.file.filter"],
            ),
            rule(
                self.given.contains("log.stdout.filter"),
                "--log.stdout.filter says it",
                &["verbosity", "quiet"],
            ),
        ]
    }

    /// Where transactions are sent on to.
    pub(super) fn forwarder(&self) -> Result<Option<Forwarder>> {
        let Some(url) = &self.rollup.sequencer else { return Ok(None) };
        let headers = self.rollup.sequencer_headers.iter().map(|header| parse_header(header));
        let headers = headers.collect::<Result<HeaderMap>>()?;
        Ok(Some(Forwarder::new(url.as_str(), headers, self.rollup.retain_forwarded_txs)?))
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=').ok_or_eyre("--rollup.sequencer-headers: `name=value` wanted")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

#[cfg(test)]
pub(super) mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::args::Given;

    pub(in crate::node) fn node(words: &str) -> NodeCommand {
        let command = NodeCommand::augment_args(Command::new("node"));
        let matches =
            command.clone().try_get_matches_from(format!("node {words}").split_whitespace()).unwrap();
        let mut node = NodeCommand::from_arg_matches(&matches).unwrap();
        node.was_given(Given::read(&command, &matches));
        node
    }

    fn idle(words: &str) -> Vec<String> {
        let node = node(words);
        node.flags_without_effect().into_iter().map(|(flag, _)| flag.to_owned()).collect()
    }

    /// Each without what it needs changes nothing, also at the value that it would have without being given; with it, it counts.
    #[test]
    fn a_flag_that_changes_nothing_is_told_of() {
        for (flag, needs) in [
            ("--http.port 8545", "--http"),
            ("--http.api eth", "--http"),
            ("--ws.origins *", "--ws"),
            ("--rpc.max-subscriptions-per-connection 3", "--ws"),
            ("--http.vhosts *", "--ws"),
            ("--rpc.max-batch 1000", "--http"),
            ("--rpc.max-trace-filter-blocks 100", "--http --http.api eth,trace"),
            ("--rpc.max-trace-filter-blocks 9", "--ws --ws.api all"),
            ("--builder.gaslimit 30000000", "--dev"),
            ("--dev.block-time 1s", "--dev"),
            ("--rollup.retain-forwarded-txs", "--rollup.sequencer http://127.0.0.1:1"),
            ("--api.port 8000", "--api"),
            ("--da.memstore-port 1", "--api"),
            ("--operator.password-file p", "--api --operator.key k"),
            ("--inference.nvrtc p", "--api"),
            ("--payments off", "--api"),
        ] {
            let name = flag.trim_start_matches("--").split(' ').next().unwrap();
            assert_eq!(idle(flag), [name], "{flag}");
            assert_eq!(idle(&format!("{flag} {needs}")), [""; 0], "{flag} {needs}");
        }
        for without in [
            "--disable-discovery",
            "--nat upnp",
            "--ipcdisable",
            "--ipcpath p",
            "--builder.extradata 0x",
            "--rollup.disable-tx-pool-gossip",
            "--rollup.discovery.v4",
            "--rollup.historicalrpc http://127.0.0.1:1",
            "--rollup.interop-http http://127.0.0.1:1",
            "--dev --port 1",
            "--dev --authrpc.port 1",
            "--dev --builder.deadline 2",
            "--dev --rpc.gascap 1",
            "--dev --rpc.max-trace-filter-blocks 1",
            "--http --rpc.max-trace-filter-blocks 1",
            "--api --inference.device cpu --inference.nvrtc p",
            "--api --inference.device cpu --inference.gpus all",
            "--api --inference.device cuda:1 --inference.gpus all",
            "--api --da http://127.0.0.1:1 --da.memstore-port 1",
        ] {
            assert_eq!(idle(without).len(), 1, "{without}: {:?}", idle(without));
        }
        let useful = "--http --ws --port 1 --nat extip:1.2.3.4 --authrpc.port 1 --builder.deadline 2 --rpc.gascap 1 \
                      --txpool.nolocals --rollup.compute-pending-block --metrics 1 --with-unused-ports \
                      --api --inference.device cuda --inference.gpus 0";
        assert_eq!(idle(useful), [""; 0]);
    }

    /// The names in the lists are those of flags: a misspelt one would never be told of.
    #[test]
    fn every_flag_that_is_spoken_of_exists() {
        let command = NodeCommand::augment_args(Command::new("node"));
        let known: Vec<_> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
        let logging = ["log.file.format", "log.file.filter", "verbosity", "quiet"];
        for name in node("").idle().into_iter().flat_map(|(_, _, flags)| flags).copied() {
            let is_known = |flag: &&str| *flag == name || (name.ends_with('.') && flag.starts_with(name));
            assert!(known.iter().chain(&logging).any(is_known), "{name}");
        }
    }

    #[test]
    fn a_node_makes_blocks_or_follows_those_of_another() {
        let key = "--p2p.sequencer.key 0x0101010101010101010101010101010101010101010101010101010101010101";
        let signer = "--p2p.unsafe-block-signer 0x0101010101010101010101010101010101010101";
        for (words, taken) in [
            (key.to_owned(), false),
            (format!("{key} --dev"), true),
            (signer.to_owned(), true),
            (format!("{signer} --dev"), false),
        ] {
            assert_eq!(node(&words).refuse_contradictions().is_ok(), taken, "{words}");
        }
    }
}
