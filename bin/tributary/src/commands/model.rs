//! `tributary model`: the base model on this machine and on chain.

use std::path::{Path, PathBuf};

use clap::{Subcommand, builder::PossibleValuesParser};
use eyre::{Context, OptionExt, Result, bail};
use serde_json::json;
use tributary_weights::{DEFAULT_MODEL, KNOWN_MODELS, Model, cache_dir, pull};

use crate::{
    args::WalletArgs,
    economy::register_base,
    output::{pairs, parse_open, print},
};

/// The base model.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Fetch a model into the cache; does nothing when it is there.
    Pull {
        /// The default base model, or the one for `--embeddings`.
        #[arg(default_value = DEFAULT_MODEL.name, value_parser = PossibleValuesParser::new(KNOWN_MODELS.map(|model| model.name)))]
        name: String,
    },
    /// Hashes and sizes of a model file or folder.
    Show {
        /// GGUF file or Hugging Face folder; the default model without it.
        path: Option<PathBuf>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Register a base model on chain.
    Register {
        /// Its name on chain.
        name: String,
        /// GGUF file or Hugging Face folder; the default model without it.
        #[arg(long)]
        model: Option<PathBuf>,
        /// Where others find it.
        #[arg(long, default_value = "")]
        uri: String,
        /// Price of 1,000 prompt tokens.
        #[arg(long, value_parser = parse_open, default_value = "0.0001")]
        in_rate: u128,
        /// Price of 1,000 answer tokens.
        #[arg(long, value_parser = parse_open, default_value = "0.0004")]
        out_rate: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

impl ModelCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Pull { name } => {
                let path = tokio::task::spawn_blocking(move || pull_named(&name)).await??;
                println!("{}", path.display());
                Ok(())
            }
            Self::Show { path, json } => {
                let path = model_path(path.as_deref())?;
                let model = open_model(&path)?;
                let profile = tributary_cpu::profile_hash(&model.config, &model.weights);
                let shown = json!({
                    "path": path, "weightsHash": model.hashes.weights, "tokenizerHash": model.hashes.tokenizer,
                    "profileHash": profile, "layers": model.config.layers, "hidden": model.config.hidden,
                });
                print(json, &shown, |_| {
                    pairs([
                        ("file", path.display().to_string()),
                        ("weights", model.hashes.weights.to_string()),
                        ("tokenizer", model.hashes.tokenizer.to_string()),
                        ("profile", profile.to_string()),
                        ("layers", model.config.layers.to_string()),
                        ("hidden", model.config.hidden.to_string()),
                    ])
                })
            }
            Self::Register { name, model, uri, in_rate, out_rate, wallet } => {
                let opened = open_model(&model_path(model.as_deref())?)?;
                let profile = tributary_cpu::profile_hash(&opened.config, &opened.weights);
                let client = wallet.client().await?;
                let hashes = [opened.hashes.weights, opened.hashes.tokenizer, profile];
                let id = register_base(&client, &name, hashes, &uri, (in_rate, out_rate)).await?;
                print(wallet.json, &json!({"id": id, "name": name}), |_| {
                    pairs([("model", id.to_string()), ("name", name.clone())])
                })
            }
        }
    }
}

/// A known model's file or folder, fetched if need be.
fn pull_named(name: &str) -> Result<PathBuf> {
    let model = KNOWN_MODELS.iter().find(|model| model.name == name).ok_or_eyre("no model of that name")?;
    pull(model, &cache()?).wrap_err_with(|| format!("{name} cannot be fetched"))
}

fn cache() -> Result<PathBuf> {
    cache_dir().ok_or_eyre("neither XDG_CACHE_HOME nor HOME is set")
}

/// The file that was named, or the default model's.
pub(crate) fn model_path(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let path = DEFAULT_MODEL.path(&cache()?);
    if !path.exists() {
        bail!("the default model is not here: run `tributary model pull`, or name one with --model");
    }
    Ok(path)
}

/// Opens a model.
pub(crate) fn open_model(path: &Path) -> Result<Model> {
    Model::open(path).wrap_err("the model cannot be loaded")
}

/// What a node calls its base model in its API.
pub(crate) fn served_name(model: &Model, is_default: bool) -> String {
    if is_default { DEFAULT_MODEL.name.to_owned() } else { chain_name(&model.name) }
}

/// A model's own name in the letters that names on chain have.
pub(crate) fn chain_name(name: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_lowercase() } else { '-' }
    };
    name.chars().take(64).map(letter).collect()
}
