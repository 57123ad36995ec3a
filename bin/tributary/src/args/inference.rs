//! `--api*`, `--model`, `--adapter`, `--payments`.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// Whether requests are paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payments {
    /// A voucher with each request.
    Required,
    /// No vouchers, fee 0; answers are still traced.
    Off,
}

/// The inference worker.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Inference")]
pub(crate) struct InferenceArgs {
    /// Serve the OpenAI-compatible API.
    #[arg(long)]
    pub(crate) api: bool,

    /// Address of the API.
    #[arg(long = "api.addr", default_value = "127.0.0.1")]
    pub(crate) api_addr: IpAddr,

    /// Port of the API; 0: any free one.
    #[arg(long = "api.port", default_value_t = 8000)]
    pub(crate) api_port: u16,

    /// File of API keys, one a line; anyone may call without it.
    #[arg(long = "api.keys", value_name = "PATH")]
    pub(crate) api_keys: Option<PathBuf>,

    /// The base model: a GGUF file. Default: the one `tributary model pull` fetches.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,

    /// Threads that compute; 0: as many as there are cores.
    #[arg(long = "inference.threads", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Memory for adapters, in MiB.
    #[arg(long = "inference.adapter-memory", default_value_t = 512)]
    pub(crate) adapter_memory: usize,

    /// Folder that `file:` uris of adapters and documents may lead to; may be given several times. Default: none, on a dev
    /// chain any.
    #[arg(long = "inference.file-root", value_name = "DIR")]
    pub(crate) file_roots: Vec<PathBuf>,

    /// Most requests decoded at a time.
    #[arg(long = "inference.max-num-seqs", default_value_t = 16)]
    pub(crate) max_num_seqs: usize,

    /// Whether requests are paid for.
    #[arg(long, value_enum, default_value = "required")]
    pub(crate) payments: Payments,
}
