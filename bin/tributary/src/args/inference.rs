//! `--api*`, `--model`, `--inference.*`, `--payments`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, value_parser};
use eyre::{Result, ensure};
use tributary_cpu::Affinity;
use tributary_cuda::{DeviceChoice, Gpus, Tier};

use super::duration::parse_duration;

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

    /// File of API keys: `KEY [name=NAME] [rpm=REQUESTS] [tpm=TOKENS] [priority=N]` a line, limits a minute; anyone may call without it.
    #[arg(long = "api.keys", value_name = "PATH")]
    pub(crate) api_keys: Option<PathBuf>,

    /// File with the key of who may load and unload adapters; nobody may without it.
    #[arg(long = "api.admin-key", value_name = "PATH")]
    pub(crate) admin_key: Option<PathBuf>,

    /// Connections at the same time. Of more, 64 wait and the others are told to come again; `/health` and `/metrics` are answered in any
    /// case.
    #[arg(long = "api.max-connections", default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    pub(crate) api_connections: u32,

    /// Time to receive a request's head, the pause before it included.
    #[arg(long = "api.header-timeout", default_value = "10s", value_parser = parse_duration)]
    pub(crate) api_header_timeout: Duration,

    /// Time for an answer, waiting included.
    #[arg(long = "api.request-timeout", default_value = "10m", value_parser = parse_duration)]
    pub(crate) api_request_timeout: Duration,

    /// Bytes of a request.
    #[arg(long = "api.max-body", default_value_t = 1 << 20, value_parser = at_least_one)]
    pub(crate) api_max_body: usize,

    /// Tokens of a prompt, where the model's context is longer.
    #[arg(long = "api.max-prompt-tokens", value_name = "TOKENS")]
    pub(crate) max_prompt_tokens: Option<u32>,

    /// Tokens of an answer; who asks for more gets this many.
    #[arg(long = "api.max-output-tokens", value_name = "TOKENS")]
    pub(crate) max_output_tokens: Option<u32>,

    /// Answers of a request, over all its prompts.
    #[arg(long = "api.max-answers", value_name = "ANSWERS", default_value_t = 16, value_parser = value_parser!(u32).range(1..))]
    pub(crate) max_answers: u32,

    /// Do not serve `/metrics` on the API's port.
    #[arg(long = "api.no-metrics")]
    pub(crate) no_metrics: bool,

    /// Serve `/v1/embeddings`, free of charge, with the model in this folder, or the one that `tributary model pull all-minilm-l6-v2` fetches.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub(crate) embeddings: Option<Option<PathBuf>>,

    /// The base model: a GGUF file or Hugging Face folder. Default: the one `tributary model pull` fetches.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,

    /// What computes: `auto` takes CUDA GPUs where there are some that work, else the CPU; or `cpu`, `cuda`, `cuda:1` for one alone.
    #[arg(long = "inference.device", value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    pub(crate) device: DeviceChoice,

    /// Which GPUs serve, by number, as `0,1`; `all` that the driver shows, which `CUDA_VISIBLE_DEVICES` bounds. Each has the whole model.
    #[arg(long = "inference.gpus", value_name = "GPUS", default_value_t = Gpus::All)]
    pub(crate) gpus: Gpus,

    /// Arithmetic: `deterministic`, the same bits on every device; or on a GPU alone `fast`, in bf16, or `fast-fp8`. Answers of the last two can
    /// be checked by nobody else, so they are not paid for.
    #[arg(long = "inference.tier", value_name = "TIER", default_value_t = Tier::Deterministic)]
    pub(crate) tier: Tier,

    /// NVRTC, the compiler for CUDA GPUs, where the system does not find it by itself.
    #[arg(long = "inference.nvrtc", value_name = "PATH")]
    pub(crate) nvrtc: Option<PathBuf>,

    /// Memory of each GPU for adapters, in MiB.
    #[arg(long = "inference.gpu-adapter-memory", default_value_t = 2048)]
    pub(crate) gpu_adapter_memory: u64,

    /// Threads that compute; 0: as many as `--inference.cpus` names, or as there are CPUs.
    #[arg(long = "inference.threads", default_value_t = 0, value_parser = value_parser!(u16).range(..=1024))]
    pub(crate) threads: u16,

    /// CPUs that they keep to: numbers and ranges, as `0-3,8`, a thread on each; `cores`, one on each core, which helps where two CPUs are one core's;
    /// `none`: as the system sees fit.
    #[arg(long = "inference.cpus", value_name = "CPUS", default_value_t = Affinity::System)]
    pub(crate) cpus: Affinity,

    /// Memory for weights, keys and values, and adapters together, in MiB. Default: a quarter of the machine's, and at least 1 GiB beside
    /// the weights.
    #[arg(long = "inference.memory", value_name = "MIB")]
    pub(crate) memory: Option<usize>,

    /// Of it at most for adapters, in MiB.
    #[arg(long = "inference.adapter-memory", value_name = "MIB")]
    pub(crate) adapter_memory: Option<usize>,

    /// Of it at most for keys and values, in MiB.
    #[arg(long = "inference.kv-memory", value_name = "MIB")]
    pub(crate) kv_memory: Option<usize>,

    /// Folder that `file:` uris of adapters and documents, and links there, may lead to; may be given several times. Default: none, on a dev
    /// chain any.
    #[arg(long = "inference.file-root", value_name = "DIR")]
    pub(crate) file_roots: Vec<PathBuf>,

    /// Most requests decoded at a time, on each GPU of several.
    #[arg(long = "inference.max-num-seqs", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) max_num_seqs: usize,

    /// Whether requests are paid for.
    #[arg(long, value_enum, default_value = "required")]
    pub(crate) payments: Payments,
}

impl InferenceArgs {
    /// GPUs are named in one place.
    pub(crate) fn check_gpus(&self) -> Result<()> {
        let named = matches!(self.device, DeviceChoice::Cpu | DeviceChoice::Cuda(Some(_)));
        ensure!(
            !named || self.gpus == Gpus::All,
            "--inference.device {} leaves nothing for --inference.gpus {} to say",
            self.device,
            self.gpus
        );
        Ok(())
    }

    /// Who pays relies on a profile that anybody can compute once more.
    pub(crate) fn check_tier(&self) -> Result<()> {
        ensure!(
            !self.tier.is_fast() || self.payments == Payments::Off,
            "--inference.tier {} needs --payments off: only a GPU like this one could check its answers",
            self.tier
        );
        Ok(())
    }
}

/// A count of what there has to be some of.
fn at_least_one(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if count == 0 { Err("must be 1 at least".into()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: InferenceArgs,
    }

    fn parse(line: &str) -> InferenceArgs {
        Only::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn a_request_has_an_answer() {
        assert_eq!((parse("node").max_answers, parse("node --api.max-answers 40").max_answers), (16, 40));
        assert!(Only::try_parse_from(["node", "--api.max-answers", "0"]).is_err());
    }

    #[test]
    fn gpus_are_named_once() {
        assert_eq!(parse("node").gpus, Gpus::All);
        let two = parse("node --inference.gpus 0,2");
        assert_eq!(two.gpus, Gpus::These(vec![0, 2]));
        assert!(two.check_gpus().is_ok() && parse("node --inference.device cuda:1").check_gpus().is_ok());
        for device in ["cpu", "cuda:1"] {
            let both = parse(&format!("node --inference.device {device} --inference.gpus 0,2"));
            assert!(both.check_gpus().unwrap_err().to_string().contains(device));
        }
        assert!(Only::try_parse_from(["node", "--inference.gpus", "0,0"]).is_err());
    }

    #[test]
    fn fast_tiers_are_not_paid_for() {
        assert_eq!(parse("node").tier, Tier::Deterministic);
        assert!(parse("node").check_tier().is_ok());
        for tier in ["fast", "fast-fp8"] {
            let refused = parse(&format!("node --inference.tier {tier}")).check_tier().unwrap_err();
            assert!(refused.to_string().contains(tier), "{refused}");
            assert!(parse(&format!("node --inference.tier {tier} --payments off")).check_tier().is_ok());
        }
        assert!(Only::try_parse_from(["node", "--inference.tier", "quick"]).is_err());
    }
}
