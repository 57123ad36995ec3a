//! `tributary adapter`: train, register, show.

use std::{ops::ControlFlow, path::PathBuf};

use clap::Subcommand;
use eyre::{Context, OptionExt, Result, ensure};
use serde_json::json;
use tributary_abi::{IDatanets, address::DATANETS};
use tributary_adapters::{Artifact, Bounds, Geometry};
use tributary_train::{Document, Recipe, corpus, job};

use super::model::{model_path, open_model};
use crate::{
    args::WalletArgs,
    economy::{AdapterSpec, MAX_DOCUMENT, file_uri, find_model, read_adapter, register_adapter},
    files::read_bounded,
    output::{open, pairs, parse_open, print, progress},
    wallet::Client,
};

/// LoRA adapters.
#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Train an adapter on a datanet, or on a file of documents.
    Train(TrainArgs),
    /// Register an adapter on chain.
    Register {
        /// Its name on chain.
        name: String,
        /// PEFT folder.
        folder: PathBuf,
        /// The base model, by its name on chain.
        #[arg(long)]
        base: String,
        /// The base model's file, whose shape the adapter has to fit; the default model without it.
        #[arg(long)]
        model: Option<PathBuf>,
        /// Datanet and epoch it was trained on (`3:1`); several are allowed.
        #[arg(long = "source", value_name = "DATANET:EPOCH", value_parser = parse_source)]
        sources: Vec<(u64, u64)>,
        /// Where others find the folder; its path without it.
        #[arg(long)]
        uri: Option<String>,
        /// Price of 1,000 prompt tokens.
        #[arg(long, value_parser = parse_open, default_value = "0.0002")]
        in_rate: u128,
        /// Price of 1,000 answer tokens.
        #[arg(long, value_parser = parse_open, default_value = "0.0008")]
        out_rate: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// An adapter or a base model, by its name.
    Show {
        /// Its name on chain.
        name: String,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

/// What to train, on what.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    /// PEFT folder to write.
    folder: PathBuf,
    /// Train on the newest epoch of this datanet.
    #[arg(long, required_unless_present = "jsonl")]
    datanet: Option<u64>,
    /// Train on a file with a JSON object a line: `headword`, `text`.
    #[arg(long, conflicts_with = "datanet")]
    jsonl: Option<PathBuf>,
    /// Seed, rank, questions, learning rate, …; sensible ones without it.
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// The base model; the default model without it.
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    wallet: WalletArgs,
}

impl AdapterCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Train(args) => args.run().await,
            Self::Register { name, folder, base, model, sources, uri, in_rate, out_rate, wallet } => {
                let client = wallet.client().await?;
                let base = find_model(&client, &base)
                    .await?
                    .ok_or_eyre("the chain knows no base model of that name")?;
                let model = open_model(&model_path(model.as_deref())?)?;
                ensure!(
                    model.hashes.weights == base.hash,
                    "the model here is not {}: name its file with --model",
                    base.name
                );
                let adapter = read_adapter(&folder, &Geometry::from(&model.config))?;
                let mut sources = sources;
                sources.sort_unstable();
                let spec = AdapterSpec {
                    base: base.id,
                    name: name.clone(),
                    artifact: adapter.artifact,
                    rank: adapter.rank,
                    sources,
                    uri: uri.map_or_else(|| file_uri(&folder), Ok)?,
                    in_rate,
                    out_rate,
                };
                let id = register_adapter(&client, &spec).await?;
                let shown = json!({"id": id, "name": name, "artifactHash": spec.artifact});
                print(wallet.json, &shown, |_| {
                    pairs([
                        ("adapter", id.to_string()),
                        ("name", name.clone()),
                        ("artifact", spec.artifact.to_string()),
                    ])
                })
            }
            Self::Show { name, wallet } => show(&name, &wallet).await,
        }
    }
}

impl TrainArgs {
    async fn run(self) -> Result<()> {
        let recipe = self.recipe.as_deref().map_or_else(|| Ok(Recipe::default()), Recipe::read)?;
        let documents = match (&self.jsonl, self.datanet) {
            (Some(path), _) => corpus::read_jsonl(path)?,
            (None, datanet) => {
                of_datanet(&self.wallet.reader().await?, datanet.ok_or_eyre("name a datanet or a file")?)
                    .await?
            }
        };
        ensure!(!documents.is_empty(), "there is nothing to train on");
        let model = open_model(&model_path(self.model.as_deref())?)?;
        let bar = progress(0, "train", self.wallet.json);
        let folder = self.folder.clone();
        let shown = bar.clone();
        let trained = tokio::task::spawn_blocking(move || {
            job::run(&model, &documents, &recipe, &folder, |step| {
                shown.set_length(step.steps as u64);
                shown.set_position(step.step as u64);
                shown.set_message(format!("train, loss {:.3}", step.loss));
                ControlFlow::Continue(())
            })
        })
        .await??;
        bar.finish_and_clear();
        let loss = trained.curve.last().map_or(0.0, |step| step.loss);
        let artifact = Artifact::read(&self.folder, &Bounds::default())?.hash();
        let shown = json!({"folder": self.folder, "artifactHash": artifact, "steps": trained.curve.len(), "loss": loss});
        print(self.wallet.json, &shown, |_| {
            pairs([
                ("adapter", self.folder.display().to_string()),
                ("artifact", artifact.to_string()),
                ("steps", trained.curve.len().to_string()),
                ("last loss", format!("{loss:.3}")),
            ])
        })
    }
}

/// The texts of a datanet's newest epoch, from beside their token files, each checked against its contribution.
async fn of_datanet(client: &Client, id: u64) -> Result<Vec<Document>> {
    let datanet = client.call(DATANETS, &IDatanets::getCall { id }).await?;
    ensure!(datanet.epochs > 0, "datanet {id} is not sealed");
    let epoch = client.call(DATANETS, &IDatanets::getEpochCall { id, epoch: datanet.epochs }).await?;
    let mut documents = Vec::new();
    while (documents.len() as u32) < epoch.count {
        let call = IDatanets::contributionsCall { id, first: documents.len() as u32, limit: 256 };
        let page = client.call(DATANETS, &call).await?;
        ensure!(!page.is_empty(), "the chain lists fewer contributions than the epoch holds");
        for contribution in page.into_iter().take(epoch.count as usize - documents.len()) {
            documents.push(Document::from_text(text_of(&contribution).await?));
        }
    }
    Ok(documents)
}

async fn text_of(contribution: &IDatanets::Contribution) -> Result<String> {
    let stem =
        contribution.uri.strip_suffix(".tokens").ok_or_eyre("a contribution's uri names no token file")?;
    let url: url::Url = format!("{stem}.txt").parse()?;
    let bytes = match url.to_file_path() {
        Ok(path) if url.scheme() == "file" => {
            read_bounded(&path, MAX_DOCUMENT).wrap_err_with(|| url.to_string())?
        }
        _ => fetch(&url).await?,
    };
    ensure!(
        alloy_primitives::keccak256(&bytes) == contribution.contentHash,
        "{url} is not the text that was contributed"
    );
    Ok(String::from_utf8(bytes)?)
}

/// A document from elsewhere, no further than a document goes.
async fn fetch(url: &url::Url) -> Result<Vec<u8>> {
    let mut response = reqwest::get(url.clone()).await?.error_for_status()?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        ensure!(bytes.len() as u64 <= MAX_DOCUMENT, "{url} is larger than {MAX_DOCUMENT} bytes");
    }
    Ok(bytes)
}

async fn show(name: &str, wallet: &WalletArgs) -> Result<()> {
    let client = wallet.reader().await?;
    let model = find_model(&client, name).await?.ok_or_eyre("the chain knows no model of that name")?;
    let sources: Vec<String> = model.sources.iter().map(|s| format!("{}:{}", s.datanetId, s.epoch)).collect();
    let shown = json!({
        "id": model.id, "name": model.name, "base": model.baseId, "owner": model.owner, "hash": model.hash,
        "uri": model.uri, "rank": model.rank, "sources": sources, "inRate": model.inRate.to_string(),
        "outRate": model.outRate.to_string(), "retiredFrom": model.retiredFrom,
    });
    print(wallet.json, &shown, |_| {
        pairs([
            ("model", model.id.to_string()),
            ("name", model.name.clone()),
            (
                "adapter of",
                if model.baseId == 0 { "– (a base model)".to_owned() } else { model.baseId.to_string() },
            ),
            ("owner", model.owner.to_string()),
            ("hash", model.hash.to_string()),
            ("uri", model.uri.clone()),
            ("trained on", sources.join(", ")),
            (
                "1,000 tokens",
                format!("{} in, {} out", open(model.inRate.to::<u128>()), open(model.outRate.to::<u128>())),
            ),
        ])
    })
}

fn parse_source(text: &str) -> Result<(u64, u64), String> {
    let (datanet, epoch) = text.split_once(':').ok_or("write datanet:epoch, such as 3:1")?;
    let number = |part: &str| part.parse().map_err(|_| format!("{part:?} is no number"));
    Ok((number(datanet)?, number(epoch)?))
}
