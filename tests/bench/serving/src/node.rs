//! The row of everything at once: a node whose chain is under load, asked over HTTP, all on the same cores.

use crate::{
    report::{Row, median},
    rig::{ANSWER, PROMPT},
    served::{Ask, Served, tokens},
};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use eyre::{Result, bail, ensure, eyre};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};

const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Transfers a second that the chain is given, and reads.
const TRANSFERS: u64 = 20;
const READS: u64 = 20;
/// Who sends them: the pool keeps a few of each only.
const SENDERS: u32 = 8;

/// A running `tributary dev`.
struct Node {
    child: Child,
    rpc: String,
    api: String,
    client: reqwest::Client,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing of it is kept.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Decoding through a loaded node beside the engine alone.
pub(crate) fn row(
    served: &Served,
    program: &Path,
    folder: &Path,
    threads: usize,
    rounds: usize,
) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let node = Node::start(&runtime, program, folder, threads)?;
    let store = served.store(folder, 1 << 20)?;
    let (mut alone, mut loaded) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    let sent = AtomicU64::new(0);
    for round in 0..rounds {
        eprintln!("node, round {} of {rounds}", round + 1);
        for (at, (streams, requests)) in [(1, 6), (16, 48)].into_iter().enumerate() {
            let prompt = |n: usize| {
                (0..PROMPT).map(move |at| (200 + (n * 997 + round * 131 + at * 7) % 40_000) as u32)
            };
            let prompts: Vec<Vec<u32>> = (0..requests).map(|n| prompt(n).collect()).collect();
            let ask = |prompt: &Vec<u32>| Ask { prompt: prompt.clone(), answer: ANSWER, ..Ask::default() };
            let (answers, seconds) = served.closed(&store, streams, prompts.iter().map(ask).collect())?;
            alone[at].push(tokens(&answers) / seconds);
            loaded[at].push(runtime.block_on(node.under_load(streams, prompts, &sent))?);
        }
    }
    let part = |at: usize| median(&loaded[at]) / median(&alone[at]);
    let figure = format!(
        "1 stream {:.0} tok/s, alone {:.0}; 16 streams {:.0}, alone {:.0}",
        median(&loaded[0]),
        median(&alone[0]),
        median(&loaded[1]),
        median(&alone[1])
    );
    let mut row = Row::new("HTTP, chain under load", figure);
    row.bound = "the engine alone, prompts included".into();
    row.rest =
        format!("{TRANSFERS} transfers and {READS} reads a second, {} sent", sent.load(Ordering::Relaxed));
    Ok(vec![row.least("1 stream, of alone", part(0), 0.9).least("16 streams, of alone", part(1), 0.9)])
}

impl Node {
    fn start(runtime: &Runtime, program: &Path, folder: &Path, threads: usize) -> Result<Self> {
        let data = folder.join("node");
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        let port =
            || Ok::<_, eyre::Report>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string());
        let (rpc, ws, api, da) = (port()?, port()?, port()?, port()?);
        let log = std::fs::File::create(folder.join("node.log"))?;
        let child = Command::new(program)
            .args(["dev", "--payments", "off", "--http.port", &rpc, "--ws.port", &ws, "--api.port", &api])
            .args(["--da.memstore-port", &da, "--inference.threads", &threads.to_string()])
            .arg("--datadir")
            .arg(&data)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()?;
        let at = |port: &str| format!("http://127.0.0.1:{port}");
        let mut node = Self { child, rpc: at(&rpc), api: at(&api), client: reqwest::Client::new() };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            ensure!(node.child.try_wait()?.is_none(), "the node ended; see node.log");
            let health = runtime.block_on(node.client.get(format!("{}/health", node.api)).send());
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(node);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the node does not answer; see node.log")
    }

    async fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters});
        let answer: Value = self.client.post(&self.rpc).json(&body).send().await?.json().await?;
        answer.get("result").cloned().ok_or_else(|| eyre!("{method}: {answer}"))
    }

    /// Tokens a second of greedy completions while the chain has its load.
    async fn under_load(&self, streams: usize, prompts: Vec<Vec<u32>>, sent: &AtomicU64) -> Result<f64> {
        let over = AtomicBool::new(false);
        let asked = async {
            let rate = self.complete(streams, prompts).await;
            over.store(true, Ordering::Relaxed);
            rate
        };
        let (rate, load) = tokio::join!(asked, self.load(&over, sent));
        load?;
        rate
    }

    async fn complete(&self, streams: usize, prompts: Vec<Vec<u32>>) -> Result<f64> {
        let model: Value = self.client.get(format!("{}/v1/models", self.api)).send().await?.json().await?;
        let model = model["data"][0]["id"].clone();
        let (prompts, next) = (Arc::new(prompts), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            let (prompts, next, client) = (Arc::clone(&prompts), Arc::clone(&next), self.client.clone());
            let (url, model) = (format!("{}/v1/completions", self.api), model.clone());
            tasks.spawn(async move {
                let mut count = 0;
                while let Some(prompt) = prompts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let body = json!({"model": model, "prompt": prompt, "max_tokens": ANSWER, "temperature": 0,
                        "ignore_eos": true});
                    let answer: Value = client.post(&url).json(&body).send().await?.json().await?;
                    count += answer["usage"]["completion_tokens"].as_u64().ok_or_else(|| eyre!("{answer}"))?;
                }
                Ok::<_, eyre::Report>(count)
            });
        }
        let mut count = 0;
        while let Some(done) = tasks.join_next().await {
            count += done??;
        }
        Ok(count as f64 / start.elapsed().as_secs_f64())
    }

    /// Transfers and reads at their rate until it is over.
    async fn load(&self, over: &AtomicBool, sent: &AtomicU64) -> Result<()> {
        let number =
            |value: &Value| u64::from_str_radix(value.as_str().unwrap_or("").trim_start_matches("0x"), 16);
        let chain = number(&self.call("eth_chainId", json!([])).await?)?;
        let mut senders = Vec::new();
        for index in 0..SENDERS {
            let signer = MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index)?.build()?;
            let nonce = self.call("eth_getTransactionCount", json!([signer.address(), "pending"])).await?;
            senders.push((signer, number(&nonce)?));
        }
        let count = senders.len();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / TRANSFERS as u32);
        while !over.load(Ordering::Relaxed) {
            tick.tick().await;
            let (signer, nonce) = &mut senders[sent.load(Ordering::Relaxed) as usize % count];
            let raw = transfer(signer, chain, *nonce)?;
            self.call("eth_sendRawTransaction", json!([raw])).await?;
            for _ in 0..READS / TRANSFERS {
                self.call("eth_getBalance", json!([signer.address(), "latest"])).await?;
            }
            *nonce += 1;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn transfer(signer: &PrivateKeySigner, chain_id: u64, nonce: u64) -> Result<String> {
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(Address::with_last_byte(0xbb)),
        value: U256::from(1_000),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash())?;
    Ok(hex::encode_prefixed(tx.into_signed(signature).encoded_2718()))
}
