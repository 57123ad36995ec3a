//! Data, adapters, stake and channel on chain; what is there already is used again.

use std::collections::HashMap;

use alloy_primitives::{B256, U256};
use eyre::{Context, OptionExt, Result, ensure};
use futures::future::try_join_all;
use tributary_abi::{
    IAgents, ISettlement,
    address::{AGENTS, SETTLEMENT},
};
use tributary_adapters::{Artifact, Bounds, PeftConfig};
use tributary_train::{Document, Recipe, corpus::Selection};
use tributary_weights::Tokenizer;

use super::{DemoCommand, Narrator, wallets::Wallets};
use crate::{
    args::data_home,
    commands::{
        WorkerStatus,
        model::{model_path, open_model},
    },
    economy::{
        AdapterSpec, Prepared, base_model, contribute, create_datanet, file_uri, find_datanet, find_model,
        open_channel, param, prepare, register_adapter, register_agent, register_base, seal,
    },
    payer::{find_channel, known},
};

/// The two dictionaries, and the adapters named after them.
const DICTIONARIES: [&str; 2] = ["dict-devil", "dict-jargon"];
/// Shortest run of tokens that counts.
const MIN_MATCH: u32 = 8;
/// Prices of 1,000 tokens, in wei: of the base model and of an adapter.
const BASE_RATES: (u128, u128) = (100_000_000_000_000, 400_000_000_000_000);
const ADAPTER_RATES: (u128, u128) = (200_000_000_000_000, 800_000_000_000_000);
/// What the channel holds at least when the questions are asked.
const DEPOSIT: u128 = 1_000_000_000_000_000_000;

/// One dictionary on chain and the adapter trained on it.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) name: &'static str,
    pub(super) selection: Selection,
    pub(super) recipe: Recipe,
    pub(super) documents: HashMap<String, Document>,
}

/// Everything that the questions need.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) base_name: String,
    pub(super) books: Vec<Book>,
    pub(super) agent: u64,
    pub(super) channel: B256,
    /// Tokens of every contribution, by its id, as its contributor has them.
    pub(super) tokens: HashMap<u64, Vec<u32>>,
}

/// Puts everything in place.
pub(super) async fn stage(
    demo: &DemoCommand,
    wallets: &Wallets,
    status: &WorkerStatus,
    narrator: &Narrator,
) -> Result<Stage> {
    let tokenizer = open_model(&model_path(None)?)?;
    ensure!(
        tokenizer.hashes.tokenizer == status.model.tokenizer_hash,
        "the node serves another model than the default one"
    );
    let (base, base_name) = base(wallets, status, narrator).await?;
    let mut stage =
        Stage { base_name, books: Vec::new(), agent: 0, channel: B256::ZERO, tokens: HashMap::new() };
    for name in DICTIONARIES {
        let book = book(demo, name)?;
        let documents: Vec<Document> = book.selection.documents(&demo.dictionaries)?;
        let (datanet, epoch) =
            datanet(demo, wallets, status, name, &documents, &tokenizer.tokenizer, &mut stage, narrator)
                .await?;
        adapter(demo, wallets, base, name, (datanet, epoch), narrator).await?;
        stage.books.push(book);
    }
    stage.agent = agent(wallets, status, &demo.api, narrator).await?;
    stage.channel = channel(demo, wallets, stage.agent, narrator).await?;
    Ok(stage)
}

fn book(demo: &DemoCommand, name: &'static str) -> Result<Book> {
    let folder = demo.adapters.join(name);
    let selection = Selection::read(&folder.join("headwords.json")).wrap_err(
        "the adapters are not here: run this from the project's folder, or name theirs with --adapters",
    )?;
    let recipe = Recipe::read(&folder.join("recipe.json"))?;
    let documents = selection
        .documents(&demo.dictionaries)
        .wrap_err("the dictionary is not installed: `make setup` does that")?
        .into_iter()
        .map(|document| (document.headword.clone(), document))
        .collect();
    Ok(Book { name, selection, recipe, documents })
}

async fn base(wallets: &Wallets, status: &WorkerStatus, narrator: &Narrator) -> Result<(u64, String)> {
    let model = &status.model;
    let hashes = [model.weights_hash, model.tokenizer_hash, model.profile_hash];
    let [weights, tokenizer, profile] = hashes;
    if let Some(found) = base_model(&wallets.builder, weights, tokenizer, profile).await? {
        return Ok((found.id, found.name));
    }
    let id = register_base(&wallets.builder, &model.name, hashes, "", BASE_RATES).await?;
    narrator.say(format_args!("base model {} registered as {id}", model.name));
    Ok((id, model.name.clone()))
}

#[expect(clippy::too_many_arguments, reason = "one step of a script, called once")]
async fn datanet(
    demo: &DemoCommand,
    wallets: &Wallets,
    status: &WorkerStatus,
    name: &str,
    documents: &[Document],
    tokenizer: &Tokenizer,
    stage: &mut Stage,
    narrator: &Narrator,
) -> Result<(u64, u64)> {
    let curator = &wallets.curator;
    let (id, epochs) = match find_datanet(curator, name, curator.address()).await? {
        Some((id, datanet)) => (id, datanet.epochs),
        None => {
            let id = create_datanet(curator, name, "", status.model.tokenizer_hash, MIN_MATCH).await?;
            (id, 0)
        }
    };
    let folder = demo.store.clone().unwrap_or_else(|| data_home().join("tributary").join("documents"));
    let hands = hands(documents, wallets.contributors.len());
    let mut prepared: Vec<Vec<Prepared>> = Vec::new();
    for hand in &hands {
        prepared.push(
            hand.iter()
                .map(|document| prepare(tokenizer, &document.text, &folder, None))
                .collect::<Result<_>>()?,
        );
    }
    let bar = narrator.bar(documents.len() * 2, &format!("contribute to {name}"));
    let contributions = wallets.contributors.iter().zip(&prepared).map(|(contributor, hand)| {
        let bar = bar.clone();
        let mut seen = 0;
        async move {
            contribute(contributor, id, hand, |done| {
                bar.inc((done - seen) as u64);
                seen = done;
            })
            .await
        }
    });
    let contributed = try_join_all(contributions).await?;
    bar.finish_and_clear();
    let mut new = 0;
    for (hand, ids) in hands.iter().zip(contributed) {
        for (document, contribution) in hand.iter().zip(ids) {
            stage.tokens.insert(contribution.id, tokenizer.encode(&document.text)?);
            new += usize::from(contribution.new);
        }
    }
    let epoch = if new > 0 || epochs == 0 { seal(curator, id).await? } else { epochs };
    narrator.say(format_args!(
        "datanet {id} «{name}»: {} documents of {} contributors, epoch {epoch}{}",
        documents.len(),
        wallets.contributors.len(),
        if new == 0 { ", as it was" } else { "" }
    ));
    Ok((id, epoch))
}

/// Deals documents in turn, beginning each round with the next contributor: questions that ask for every third entry then reach
/// all of them.
fn hands(documents: &[Document], contributors: usize) -> Vec<Vec<Document>> {
    let mut hands = vec![Vec::new(); contributors];
    for (index, document) in documents.iter().enumerate() {
        hands[(index + index / contributors) % contributors].push(document.clone());
    }
    hands
}

async fn adapter(
    demo: &DemoCommand,
    wallets: &Wallets,
    base: u64,
    name: &str,
    source: (u64, u64),
    narrator: &Narrator,
) -> Result<u64> {
    let folder = demo.adapters.join(name);
    let artifact = Artifact::read(&folder, &Bounds::default())?;
    if let Some(found) = find_model(&wallets.builder, name).await? {
        ensure!(found.hash == artifact.hash(), "the chain has another adapter under the name {name}");
        return Ok(found.id);
    }
    let spec = AdapterSpec {
        base,
        name: name.to_owned(),
        artifact: artifact.hash(),
        rank: PeftConfig::parse(artifact.config())?.r,
        sources: vec![source],
        uri: file_uri(&folder)?,
        in_rate: ADAPTER_RATES.0,
        out_rate: ADAPTER_RATES.1,
    };
    let id = register_adapter(&wallets.builder, &spec).await.wrap_err_with(|| {
        format!("adapter {name}: when its files are on this chain under another name, give the demo a fresh one (`make clean-dev`)")
    })?;
    narrator.say(format_args!(
        "adapter {id} «{name}» registered, trained on datanet {} epoch {}",
        source.0, source.1
    ));
    Ok(id)
}

async fn agent(wallets: &Wallets, status: &WorkerStatus, api: &url::Url, narrator: &Narrator) -> Result<u64> {
    if let Some(id) = status.agent_id {
        let agent = wallets.staker.call(AGENTS, &IAgents::getCall { id: id.to() }).await?;
        ensure!(
            agent.owner == wallets.staker.address(),
            "this node serves as agent {id}, which {} owns; the demo plays every part itself: run it on a fresh chain (`make clean-dev`)",
            agent.owner
        );
        return Ok(id.to());
    }
    let stake = param(&wallets.staker, "minStake").await?;
    let balance = wallets.staker.balance(wallets.staker.address()).await?;
    ensure!(stake + stake <= balance, "a stake of {stake} wei is more than the demo's wallet has");
    let id = register_agent(&wallets.staker, 0, api.as_str(), status.operator, stake + stake).await?;
    narrator.say(format_args!("agent {id} registered with {}", crate::output::open(stake + stake)));
    Ok(id)
}

/// The newest channel, unless another machine's demo opened it: what was spent from that is not known here.
async fn channel(demo: &DemoCommand, wallets: &Wallets, agent: u64, narrator: &Narrator) -> Result<B256> {
    let payer = &wallets.payer;
    if let Some(channel) = find_channel(payer, agent).await?
        && known(payer, channel, &demo.ledger.folder()).await?.is_some()
    {
        let info = payer.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await?;
        let left =
            info.deposited.checked_sub(info.settled).ok_or_eyre("the channel settled more than it holds")?;
        if left < DEPOSIT {
            let call = ISettlement::topUpCall { channel };
            payer.send(SETTLEMENT, &call, U256::from(DEPOSIT)).await?;
        }
        return Ok(channel);
    }
    let channel = open_channel(payer, agent, U256::from(DEPOSIT)).await?;
    narrator.say(format_args!("channel {channel} opened with {}", crate::output::open(DEPOSIT)));
    Ok(channel)
}
