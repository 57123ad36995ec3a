//! The two clients as processes.

use crate::http::Connection;
use eyre::{Result, WrapErr, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Blocks that the safe and finalized labels stay behind the head.
const SAFE_BEHIND: usize = 64;

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tributary,
    OpGeth,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tributary => "tributary",
            Self::OpGeth => "op-geth",
        }
    }
}

/// Programs and files of both.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) tributary: PathBuf,
    pub(crate) op_geth: PathBuf,
    pub(crate) genesis: PathBuf,
    pub(crate) folder: PathBuf,
}

/// Time on the CPU and memory of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: f64,
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let bytes = |name| kilobytes(name).unwrap_or_default() * 1024;
        Ok(Self { cpu: ticks as f64 / 100.0, resident: bytes("VmRSS:"), peak: bytes("VmHWM:") })
    }

    /// This process's.
    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}

/// A running client. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) kind: Kind,
    pub(crate) http: SocketAddr,
    child: Child,
    pub(crate) engine: Connection,
    /// Hashes of the blocks that were made head, for the labels.
    heads: Vec<String>,
}

impl Programs {
    fn program(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Tributary => &self.tributary,
            Kind::OpGeth => &self.op_geth,
        }
    }

    /// A data folder that holds genesis and nothing else; made once and copied.
    pub(crate) fn fresh(&self, kind: Kind, name: &str) -> Result<PathBuf> {
        let pristine = self.folder.join(format!("{}-genesis", kind.name()));
        if !pristine.exists() {
            let made = self.folder.join(format!("{}-making", kind.name()));
            remove(&made)?;
            let mut command = Command::new(self.program(kind));
            match kind {
                Kind::Tributary => {
                    command.args(["init", "--datadir"]).arg(&made).arg("--chain").arg(&self.genesis)
                }
                Kind::OpGeth => command.args(["init", "--datadir"]).arg(&made).arg(&self.genesis),
            };
            let log = File::create(self.folder.join(format!("{}-init.log", kind.name())))?;
            let status = command.stdout(log.try_clone()?).stderr(log).status();
            let status = status.wrap_err_with(|| self.program(kind).display().to_string())?;
            ensure!(
                status.success(),
                "{} init failed, see its log in {}",
                kind.name(),
                self.folder.display()
            );
            fs::rename(&made, &pristine)?;
        }
        let folder = self.folder.join(format!("{}-{name}", kind.name()));
        remove(&folder)?;
        let status = Command::new("cp").arg("-r").arg(&pristine).arg(&folder).status()?;
        ensure!(status.success(), "cannot copy {}", pristine.display());
        // Lest the copying be written out while something is measured.
        Command::new("sync").status()?;
        Ok(folder)
    }

    /// Starts a client on a data folder and waits until it answers.
    pub(crate) fn start(&self, kind: Kind, data: &Path) -> Result<Client> {
        let secret = [7; 32];
        let secret_file = self.folder.join("jwt.hex");
        fs::write(&secret_file, hex::encode(secret))?;
        let (http, auth) = (free_address()?, free_address()?);
        let mut command = Command::new(self.program(kind));
        match kind {
            Kind::Tributary => {
                command.arg("node").arg("--chain").arg(&self.genesis);
                command.args(["--disable-discovery", "--ipcdisable", "--authrpc.addr=127.0.0.1", "--http"]);
                command.args(["--http.addr=127.0.0.1", "--http.api=eth,net,web3,txpool", "--port=0"]);
                command.args(["--txpool.pending-max-count=200000", "--txpool.queued-max-count=200000"]);
                command.args([
                    "--txpool.max-account-slots=1000",
                    "--rpc.max-batch=1000",
                    "--txpool.nolocals",
                ]);
                command.arg(format!("--log.file.directory={}", data.join("logs").display()));
            }
            Kind::OpGeth => {
                command.args(["--networkid=901", "--nodiscover", "--maxpeers=0", "--port=0", "--ipcdisable"]);
                command.args(["--syncmode=full", "--rollup.disabletxpoolgossip", "--cache=1024", "--http"]);
                command.args(["--http.api=eth,net,web3,txpool", "--txpool.nolocals"]);
                command.args(["--txpool.globalslots=200000", "--txpool.globalqueue=200000"]);
                command.args(["--txpool.accountslots=1000", "--txpool.accountqueue=1000"]);
            }
        }
        command.arg(format!("--http.port={}", http.port())).arg(format!("--authrpc.port={}", auth.port()));
        command.arg("--authrpc.jwtsecret").arg(&secret_file).arg("--datadir").arg(data);
        let log = File::create(self.folder.join(format!("{}.log", kind.name())))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().wrap_err_with(|| self.program(kind).display().to_string())?;
        match connect(&mut child, auth, secret) {
            Ok(engine) => Ok(Client { kind, http, child, engine, heads: Vec::new() }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.wrap_err(format!("{} does not answer, see {}", kind.name(), self.folder.display())))
            }
        }
    }
}

impl Client {
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// A connection to the public port.
    pub(crate) fn rpc(&self) -> Result<Connection> {
        Connection::open(self.http, None)
    }

    /// The head.
    pub(crate) fn head(&mut self) -> Result<Value> {
        self.engine.call("eth_getBlockByNumber", &json!(["latest", false]))
    }

    /// `engine_newPayloadV4` with parameters as they are.
    pub(crate) fn new_payload(&mut self, params: &str) -> Result<()> {
        let answer = self.engine.call_raw("engine_newPayloadV4", params)?;
        ensure!(answer["status"] == "VALID", "{} says {answer}", self.kind.name());
        Ok(())
    }

    /// Makes a block the head, its labels some way behind; begins a payload if there are attributes, and gives its id.
    pub(crate) fn choose(&mut self, head: &str, attributes: Value) -> Result<Option<String>> {
        if self.heads.last().is_none_or(|last| last != head) {
            self.heads.push(head.to_owned());
        }
        let zero = format!("0x{}", "0".repeat(64));
        let label = self.heads.len().checked_sub(SAFE_BEHIND + 1).and_then(|at| self.heads.get(at));
        let label = label.unwrap_or(&zero);
        let state = json!({"headBlockHash": head, "safeBlockHash": label, "finalizedBlockHash": label});
        let answer = self.engine.call("engine_forkchoiceUpdatedV3", &json!([state, attributes]))?;
        ensure!(answer["payloadStatus"]["status"] == "VALID", "{} says {answer}", self.kind.name());
        Ok(answer["payloadId"].as_str().map(str::to_owned))
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        let sent = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(sent.success(), "cannot signal {}", self.kind.name());
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.kind.name());
        Ok(start.elapsed())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(child: &mut Child, address: SocketAddr, secret: [u8; 32]) -> Result<Connection> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        let answer = Connection::open(address, Some(secret)).and_then(|mut connection| {
            connection.call("eth_chainId", &json!([]))?;
            Ok(connection)
        });
        match answer {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Removes a folder if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Bytes on the disk in a folder.
pub(crate) fn disk(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { disk(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}
