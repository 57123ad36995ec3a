//! `tributary datanet`: create, add documents, seal, show.

use std::path::PathBuf;

use clap::Subcommand;
use eyre::{Context, Result, bail};
use serde_json::json;
use tributary_abi::{IDatanets, address::DATANETS};
use tributary_train::corpus;
use url::Url;

use super::model::{model_path, open_model};
use crate::{
    args::WalletArgs,
    economy::{MAX_DOCUMENT, contribute, create_datanet, prepare, seal},
    files::read_text,
    output::{pairs, print, progress, table},
};

/// Contributions shown in one call.
const PAGE: u32 = 256;

/// Datanets: the data that adapters are trained on.
#[derive(Debug, Subcommand)]
pub(crate) enum DatanetCommand {
    /// Create a datanet; you own it.
    Create {
        /// Its name.
        name: String,
        /// Where it is described.
        #[arg(long, default_value = "")]
        uri: String,
        /// Shortest run of tokens that counts as a quotation, 8 to 64.
        #[arg(long, default_value_t = 8)]
        min_match: u32,
        /// The model whose tokenizer its documents use; the default model without it.
        #[arg(long)]
        model: Option<PathBuf>,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Contribute documents: commit, then reveal. Run it again to go on after an interruption.
    Add {
        /// The datanet.
        id: u64,
        /// Text files, one document each.
        #[arg(required_unless_present = "jsonl")]
        files: Vec<PathBuf>,
        /// A file with a JSON object a line, its `text` one document.
        #[arg(long)]
        jsonl: Option<PathBuf>,
        /// Folder that keeps the documents' files.
        #[arg(long)]
        store: Option<PathBuf>,
        /// Where others find that folder; file paths without it.
        #[arg(long)]
        base_url: Option<Url>,
        /// The model whose tokenizer is used; the default model without it.
        #[arg(long)]
        model: Option<PathBuf>,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Seal what was contributed since the last epoch into a new one.
    Seal {
        /// The datanet.
        id: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// A datanet and its contributions.
    Show {
        /// The datanet.
        id: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

impl DatanetCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Create { name, uri, min_match, model, wallet } => {
                let tokenizer = open_model(&model_path(model.as_deref())?)?.hashes.tokenizer;
                let client = wallet.client().await?;
                let id = create_datanet(&client, &name, &uri, tokenizer, min_match).await?;
                print(wallet.json, &json!({"id": id, "name": name}), |_| {
                    pairs([("datanet", id.to_string()), ("name", name.clone())])
                })
            }
            Self::Add { id, files, jsonl, store, base_url, model, wallet } => {
                let texts = texts(&files, jsonl.as_deref())?;
                add(id, &texts, store, base_url.as_ref(), model, &wallet).await
            }
            Self::Seal { id, wallet } => {
                let epoch = seal(&wallet.client().await?, id).await?;
                print(wallet.json, &json!({"datanet": id, "epoch": epoch}), |_| {
                    pairs([("datanet", id.to_string()), ("epoch", epoch.to_string())])
                })
            }
            Self::Show { id, wallet } => show(id, &wallet).await,
        }
    }
}

fn texts(files: &[PathBuf], jsonl: Option<&std::path::Path>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for file in files {
        texts.push(read_text(file, MAX_DOCUMENT).wrap_err_with(|| file.display().to_string())?);
    }
    if let Some(path) = jsonl {
        texts.extend(corpus::read_jsonl(path)?.into_iter().map(|document| document.text));
    }
    Ok(texts)
}

async fn add(
    id: u64,
    texts: &[String],
    store: Option<PathBuf>,
    base_url: Option<&Url>,
    model: Option<PathBuf>,
    wallet: &WalletArgs,
) -> Result<()> {
    let opened = open_model(&model_path(model.as_deref())?)?;
    let client = wallet.client().await?;
    let datanet = client.call(DATANETS, &IDatanets::getCall { id }).await?;
    if datanet.tokenizerHash != opened.hashes.tokenizer {
        bail!("datanet {id} uses another tokenizer: {}", datanet.tokenizerHash);
    }
    let folder = store.unwrap_or_else(|| crate::args::data_home().join("tributary").join("documents"));
    let prepared = texts
        .iter()
        .map(|text| prepare(&opened.tokenizer, text, &folder, base_url))
        .collect::<Result<Vec<_>>>()?;
    let bar = progress(prepared.len() * 2, "commit and reveal", wallet.json);
    let added = contribute(&client, id, &prepared, |done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    print(wallet.json, &added, |added| {
        let mut table = table(&["contribution", "tokens", "content hash", ""]);
        for one in added {
            let new = if one.new { "new" } else { "was there" };
            table.add_row([
                one.id.to_string(),
                one.tokens.to_string(),
                one.content_hash.to_string(),
                new.to_owned(),
            ]);
        }
        table
    })
}

async fn show(id: u64, wallet: &WalletArgs) -> Result<()> {
    let client = wallet.reader().await?;
    let datanet = client.call(DATANETS, &IDatanets::getCall { id }).await?;
    let mut all = Vec::new();
    while (all.len() as u32) < datanet.contributions {
        let call = IDatanets::contributionsCall { id, first: all.len() as u32, limit: PAGE };
        let page = client.call(DATANETS, &call).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let contributions: Vec<_> = all
        .iter()
        .map(|c| {
            json!({
                "id": c.id, "contributor": c.contributor, "tokens": c.tokens, "commitBlock": c.commitBlock,
                "firstEpoch": c.firstEpoch, "removedEpoch": c.removedEpoch, "rejected": c.rejected, "uri": c.uri,
            })
        })
        .collect();
    let shown = json!({
        "id": id, "name": datanet.name, "owner": datanet.owner, "minMatch": datanet.minMatch,
        "epochs": datanet.epochs, "liveTokens": datanet.liveTokens, "contributions": contributions,
    });
    print(wallet.json, &shown, |_| {
        let mut rows = table(&["contribution", "contributor", "tokens", "committed in", "epoch", "state"]);
        for c in &all {
            let state = match (c.rejected, c.removedEpoch) {
                (true, _) => "rejected".to_owned(),
                (_, 0) => "live".to_owned(),
                (_, epoch) => format!("removed from epoch {epoch}"),
            };
            rows.add_row([
                c.id.to_string(),
                c.contributor.to_string(),
                c.tokens.to_string(),
                c.commitBlock.to_string(),
                c.firstEpoch.to_string(),
                state,
            ]);
        }
        println!(
            "datanet {id} «{}» of {}: {} epochs, {} live tokens, minMatch {}",
            datanet.name, datanet.owner, datanet.epochs, datanet.liveTokens, datanet.minMatch
        );
        rows
    })
}
