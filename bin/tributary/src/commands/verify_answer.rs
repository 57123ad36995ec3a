//! `tributary verify-answer`: computes an answer once more and says whether it is the model's.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use alloy_primitives::{B256, Bytes, U64, keccak256};
use clap::Args;
use eyre::{Context, OptionExt, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tributary_abi::IModels;
use tributary_adapters::{Artifact, Bounds, FetchPolicy, Fetcher, FileRoots, Source};
use tributary_api::{Replay, TextModel, replay};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{
    AdapterSet, Claim, Ending, InferenceBackend, LoraPart, SamplingParams, Verdict, committed_max_tokens,
    verify,
};
use tributary_weights::{DEFAULT_MODEL, Model, Tokenizer, cache_dir};

use crate::{
    args::WalletArgs,
    commands::{chain_name, model_path, open_model},
    files::read_text,
    output::print,
    wallet::Client,
};

/// Largest file with a request or a reply.
const MAX_FILE: u64 = 16 << 20;
/// What the exit says where nothing could be judged.
const UNKNOWN: u8 = 2;

/// Check an answer's tokens: compute them again, by one pass over prompt and answer, name the first that differs, and show what they say.
/// A reply's text, reason to end and counts are not compared with them. Exits with 0 where it
/// is equal to the last bit, with 1 where it is not, with 2 where that could not be told.
#[derive(Debug, Args)]
pub(crate) struct VerifyAnswerCommand {
    /// File with the body of the request, chat or completion, as it was sent.
    request: PathBuf,
    /// File with the reply: the whole of it, or the last chunk of a stream.
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    reply: Option<PathBuf>,
    /// Take the answer from its record on the node at --rpc instead, by its request id.
    #[arg(long, value_name = "REQUEST_ID", conflicts_with = "reply")]
    record: Option<B256>,
    /// The channel of that record; without it, the one of unpaid answers.
    #[arg(long, requires = "record", default_value_t = B256::ZERO)]
    channel: B256,
    /// Which of the reply's answers.
    #[arg(long, default_value_t = 0)]
    choice: u32,
    /// The base model: a GGUF file or Hugging Face folder; the default model without it.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Folder of the adapter; once for each adapter of a composition, in its order. Without it the one that the chain at --rpc knows is
    /// fetched.
    #[arg(long = "adapter", value_name = "DIR")]
    adapters: Vec<PathBuf>,
    /// Threads that compute; 0: as many as there are cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    wallet: WalletArgs,
}

/// What a receipt and a record both say of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    output: Vec<u32>,
    exec_hash: B256,
    logits_root: B256,
    #[serde(default)]
    sampling: Bytes,
    /// 0: of no model that is on chain.
    model_id: Option<Id>,
    adapter_id: Id,
    profile_hash: Option<B256>,
    /// A record's only.
    body_hash: Option<B256>,
}

/// A number in a receipt, a hex quantity in a record.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Quantity(U64),
}

impl Id {
    fn get(self) -> u64 {
        match self {
            Self::Number(id) => id,
            Self::Quantity(id) => id.to(),
        }
    }
}

impl VerifyAnswerCommand {
    pub(crate) async fn run(self) -> ExitCode {
        match self.check().await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(failure) => {
                eprintln!("error: {failure:#}");
                ExitCode::from(UNKNOWN)
            }
        }
    }

    async fn check(self) -> Result<bool> {
        let body = read_text(&self.request, MAX_FILE).wrap_err("the request cannot be read")?;
        let said = self.said().await?;
        let path = model_path(self.model.as_deref())?;
        let model = tokio::task::spawn_blocking(move || open_model(&path)).await??;
        let text = TextModel::new(Arc::clone(&model.tokenizer), model.chat.clone());
        let vocabulary = Arc::clone(&model.tokenizer);
        let base = [DEFAULT_MODEL.name.to_owned(), chain_name(&model.name)];
        let began = Instant::now();
        let mut backend = self.backend(model)?;
        let (context, identity) = (backend.limits().context, *backend.identity());
        if let Some(profile) = said.profile_hash {
            ensure!(
                profile == identity.profile,
                "the answer is of another model or profile than {}: name its file with --model; a fast tier's cannot be checked here",
                identity.profile
            );
        }
        let asked = replay(&text, context, body.as_bytes(), self.choice).await.wrap_err("the request")?;
        let adapters = self.adapters(&backend, &asked, &said).await?;
        let missing = self.missing_adapter(&asked, &said, &base);
        let mut request = asked.request;
        request.adapters = AdapterSet::of(adapters);
        request.sampling.seed = seed(&request.sampling, &said.sampling, asked.seeded)?;
        let (exec_hash, logits_root) = (said.exec_hash, said.logits_root);
        let mut claim = Claim { request, output: said.output, exec_hash, logits_root };
        if let Some(max) = committed_max_tokens(&identity, context, &claim) {
            claim.request.stop.min_tokens = claim.request.stop.min_tokens.min(max);
            claim.request.stop.max_tokens = max;
        } else if let Some(name) = missing {
            bail!(
                "the answer is of the adapter `{name}`, which has not been given: the reply says that it is not on chain, so its name is all that is known \
                 of it. Name its folder with --adapter (or the base model's file with --model, if `{name}` is what the node calls that)"
            );
        }
        let tokens = claim.output.len();
        let shown = Arc::clone(&vocabulary);
        let text = text_of(&claim.output, &shown);
        let verdict =
            tokio::task::spawn_blocking(move || verify(&mut backend, &*vocabulary, claim)).await??;
        let piece =
            |token: u32| String::from_utf8_lossy(shown.token_bytes(token).unwrap_or_default()).into_owned();
        let same_body = said.body_hash.map(|hash| hash == keccak256(body.as_bytes()));
        let mut found = described(&verdict, &piece);
        found["tokens"] = json!(tokens);
        found["text"] = json!(text);
        found["execHash"] = json!(exec_hash);
        found["logitsRoot"] = json!(logits_root);
        found["sameBody"] = json!(same_body);
        found["seconds"] = json!(began.elapsed().as_secs_f64());
        print(self.wallet.json, &found, |_| {
            format!("{}\nits tokens say: {text:?}", words(&verdict, tokens, &piece))
        })?;
        Ok(matches!(verdict, Verdict::Equal(_)))
    }

    /// The receipt of the reply, or the record.
    async fn said(&self) -> Result<Said> {
        let said = match (&self.reply, self.record) {
            (Some(reply), _) => {
                let text = read_text(reply, MAX_FILE).wrap_err("the reply cannot be read")?;
                let reply: Value = serde_json::from_str(&text).wrap_err("the reply is no JSON")?;
                let own = reply["choices"]
                    .as_array()
                    .and_then(|choices| choices.iter().find(|choice| choice["index"] == self.choice))
                    .map(|choice| choice["tributary"].clone())
                    .filter(|receipt| !receipt.is_null());
                own.unwrap_or_else(|| reply["tributary"].clone())
            }
            (None, Some(request)) => {
                let client = self.wallet.reader().await?;
                let found: Value = client.rpc("tributary_getRecord", json!([self.channel, request])).await?;
                found["record"].clone()
            }
            (None, None) => bail!("name a reply with --reply, or a record with --record"),
        };
        ensure!(!said.is_null(), "the reply has no `tributary` field, so nothing says what was computed");
        serde_json::from_value(said).wrap_err("what the reply says of the answer cannot be read")
    }

    fn backend(&self, model: Model) -> Result<CpuBackend> {
        let mut options = Options { rows: 1, ..Options::default() };
        // One sequence, as long as the context.
        options.cache_tokens = options.context.min(model.config.context);
        if self.threads > 0 {
            options.threads = self.threads;
        }
        Ok(CpuBackend::new(model.config, model.weights, &model.hashes, &options)?)
    }

    /// Every adapter of the answer, in this backend's form.
    async fn adapters(&self, backend: &CpuBackend, asked: &Replay, said: &Said) -> Result<Vec<LoraPart>> {
        let weights: Vec<f32> = match &*asked.adapters {
            [] if said.adapter_id.get() == 0 && self.adapters.is_empty() => Vec::new(),
            [] => vec![1.0],
            parts => parts.iter().map(|(_, weight)| *weight).collect(),
        };
        let artifacts = match &*self.adapters {
            [] if weights.is_empty() => Vec::new(),
            [] if asked.adapters.is_empty() => vec![self.registered(said.adapter_id.get()).await?],
            [] => {
                let names: Vec<_> = asked.adapters.iter().map(|(name, _)| &**name).collect();
                bail!(
                    "the answer is of {}: name the folder of each with --adapter, in this order",
                    names.join(", ")
                )
            }
            folders => {
                let wanted = weights.len();
                ensure!(
                    folders.len() == wanted,
                    "the request composes {wanted} adapters: name as many with --adapter"
                );
                let bounds = Bounds::default();
                let read = |folder: &PathBuf| {
                    Artifact::read(folder, &bounds).wrap_err_with(|| folder.display().to_string())
                };
                folders.iter().map(read).collect::<Result<_>>()?
            }
        };
        let (preparer, geometry) = (backend.preparer(), backend.geometry());
        let part = |(artifact, weight): (Artifact, f32)| {
            let adapter = artifact.parse(&geometry, &Bounds::default())?;
            let prepared = preparer.prepare(&adapter, weight)?;
            Ok(LoraPart { hash: adapter.hash, weight, prepared })
        };
        artifacts.into_iter().zip(weights).map(part).collect()
    }

    /// The adapter of an answer, by name, if it was neither given nor is said to be on chain: somebody loaded it into the node that answered.
    fn missing_adapter(&self, asked: &Replay, said: &Said, base: &[String]) -> Option<String> {
        let on_chain = said.adapter_id.get() != 0 || said.model_id.is_some_and(|id| id.get() != 0);
        let given = !self.adapters.is_empty() || !asked.adapters.is_empty();
        let is_missing = !on_chain && !given && !base.contains(&asked.model);
        is_missing.then(|| asked.model.chars().take(256).collect())
    }

    /// An adapter of the chain, fetched and checked against its hash there.
    async fn registered(&self, id: u64) -> Result<Artifact> {
        let client: Client = self.wallet.reader().await?;
        let model = client.call(tributary_abi::address::MODELS, &IModels::getCall { id }).await?;
        let cache = cache_dir().ok_or_eyre("neither XDG_CACHE_HOME nor HOME is set")?.join("verify");
        let policy = FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() };
        let fetcher = Fetcher::new(policy, cache)?;
        let source = Source { hash: model.hash, uri: model.uri };
        fetcher.fetch(&source).await.wrap_err("the adapter cannot be fetched: name its folder with --adapter")
    }
}

/// What the tokens say. The reply's own text is only what the server made of them, and nothing binds him to it: who reads this reads what
/// was checked.
fn text_of(tokens: &[u32], tokenizer: &Tokenizer) -> String {
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|token| tokenizer.token_bytes(*token).unwrap_or_default()).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The seed that was drawn with: the record's, or the body's where nothing else says one.
fn seed(sampling: &SamplingParams, said: &[u8], seeded: bool) -> Result<u64> {
    let Some(seed) = SamplingParams::seed_in(said) else {
        ensure!(seeded || sampling.is_greedy(), "neither the request nor the reply says the seed");
        return Ok(sampling.seed);
    };
    Ok(seed)
}

fn described(verdict: &Verdict, piece: &dyn Fn(u32) -> String) -> Value {
    match verdict {
        Verdict::Equal(ending) => json!({"verdict": "equal", "ending": name(*ending)}),
        Verdict::Inputs { computed } => json!({"verdict": "inputs", "computedExecHash": computed}),
        Verdict::Token { index, claimed, computed } => json!({
            "verdict": "token", "index": index, "claimed": claimed, "computed": computed,
            "claimedText": piece(*claimed), "computedText": computed.map(piece),
        }),
        Verdict::Root { computed, ending } => {
            json!({"verdict": "root", "computedLogitsRoot": computed, "ending": name(*ending)})
        }
    }
}

fn words(verdict: &Verdict, tokens: usize, piece: &dyn Fn(u32) -> String) -> String {
    match verdict {
        Verdict::Equal(ending) => format!("equal: {tokens} tokens, {}", end(*ending)),
        Verdict::Inputs { computed } => {
            format!(
                "other inputs: prompt, model, adapter, sampling or bounds are not those committed to (computed {computed})"
            )
        }
        Verdict::Token { index, claimed, computed } => {
            let instead = computed.map_or_else(
                || "the answer ends before it".to_owned(),
                |token| format!("the model chooses {token} {:?}", piece(token)),
            );
            format!("token {index} differs: the answer has {claimed} {:?}, {instead}", piece(*claimed))
        }
        Verdict::Root { computed, ending } => format!(
            "no token differs, but the chain over the {tokens} tokens ends elsewhere: the answer was cut ({}), or other logits were committed to (computed {computed})",
            end(*ending)
        ),
    }
}

const fn name(ending: Ending) -> &'static str {
    match ending {
        Ending::Stop => "stop",
        Ending::Length => "length",
        Ending::Cut => "cut",
    }
}

const fn end(ending: Ending) -> &'static str {
    match ending {
        Ending::Stop => "then the model stops",
        Ending::Length => "as many as were asked for",
        Ending::Cut => "the model would have gone on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::{fs, path::Path};
    use tempfile::TempDir;
    use tributary_testkit::{AdapterSpec, artifact, model_folder};

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        command: VerifyAnswerCommand,
    }

    /// What comes of a request to `name` whose reply commits to inputs that nobody has.
    async fn checked(folder: &Path, model: &TempDir, name: &str, ids: Value, more: &[&str]) -> Result<bool> {
        let (request, reply) = (&*folder.join("request"), &*folder.join("reply"));
        let body = json!({"model": name, "prompt": "one two", "temperature": 0, "max_tokens": 2});
        fs::write(request, body.to_string()).unwrap();
        let receipt = json!({"output": [65, 66], "execHash": B256::repeat_byte(1), "logitsRoot": B256::ZERO,
            "modelId": ids[0], "adapterId": ids[1]});
        fs::write(reply, json!({"tributary": receipt}).to_string()).unwrap();
        let [request, reply, model] = [request, reply, model.path()].map(|path| path.to_str().unwrap());
        let words = [request, "--reply", reply, "--model", model].into_iter().chain(more.iter().copied());
        let only =
            Only::try_parse_from(["verify-answer", "--threads", "1"].into_iter().chain(words)).unwrap();
        only.command.check().await
    }

    /// It had been called "other inputs", as if the operator had lied.
    #[tokio::test]
    async fn an_adapter_that_has_not_been_given_is_asked_for() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model_folder(7).unwrap());
        let at = folder.path();
        let error = checked(at, &model, "poet", json!([0, 0]), &[]).await.unwrap_err().to_string();
        assert!(error.contains("`poet`") && error.contains("--adapter"), "{error}");
        // What is known of is compared, and is found to be of other inputs.
        let base = chain_name(&model.path().file_name().unwrap().to_string_lossy());
        assert!(!checked(at, &model, &base, json!([0, 0]), &[]).await.unwrap());
        assert!(!checked(at, &model, "a-base-on-chain", json!([1, 0]), &[]).await.unwrap());
        let published = artifact(&AdapterSpec::new(1));
        let adapter = at.join("adapter");
        fs::create_dir(&adapter).unwrap();
        fs::write(adapter.join(tributary_adapters::CONFIG_FILE), published.config()).unwrap();
        fs::write(adapter.join(tributary_adapters::TENSORS_FILE), published.tensors()).unwrap();
        let given = ["--adapter", adapter.to_str().unwrap()];
        assert!(!checked(at, &model, "poet", json!([0, 0]), &given).await.unwrap());
    }
}
