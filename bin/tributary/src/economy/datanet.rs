//! Datanets: create, commit and reveal, seal.

use std::time::Duration;

use alloy_primitives::{B256, U256, keccak256};
use alloy_signer::SignerSync;
use eyre::{OptionExt, Result, bail};
use serde::Serialize;
use tributary_abi::{
    IDatanets, IParams,
    address::{DATANETS, PARAMS},
};
use tributary_record::Contribution;

use super::documents::Prepared;
use crate::wallet::Client;

/// A document on chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contributed {
    pub(crate) id: u64,
    pub(crate) contributor: alloy_primitives::Address,
    pub(crate) content_hash: B256,
    pub(crate) tokens: u64,
    /// False when it was there before.
    pub(crate) new: bool,
}

/// A parameter's value now.
pub(crate) async fn param(client: &Client, name: &str) -> Result<U256> {
    let mut key = B256::ZERO;
    key[..name.len()].copy_from_slice(name.as_bytes());
    client.call(PARAMS, &IParams::getCall { key }).await
}

/// Creates a datanet and returns its id.
pub(crate) async fn create_datanet(
    client: &Client,
    name: &str,
    uri: &str,
    tokenizer: B256,
    min_match: u32,
) -> Result<u64> {
    let fee = param(client, "datanetFee").await?;
    let call = IDatanets::createCall {
        name: name.to_owned(),
        uri: uri.to_owned(),
        tokenizerHash: tokenizer,
        minMatch: min_match,
    };
    let sent = client.send(DATANETS, &call, fee).await?;
    Ok(sent.event::<IDatanets::DatanetCreated>(DATANETS)?.id)
}

/// The datanet of this name and owner, if there is one.
pub(crate) async fn find_datanet(
    client: &Client,
    name: &str,
    owner: alloy_primitives::Address,
) -> Result<Option<(u64, IDatanets::Datanet)>> {
    let count = client.call(DATANETS, &IDatanets::countCall {}).await?;
    for id in (1..=count).rev() {
        let datanet = client.call(DATANETS, &IDatanets::getCall { id }).await?;
        if datanet.name == name && datanet.owner == owner {
            return Ok(Some((id, datanet)));
        }
    }
    Ok(None)
}

/// Puts documents on chain: commits, waits a block, reveals. What is there is left alone, so an interrupted run goes on.
pub(crate) async fn contribute(
    client: &Client,
    datanet: u64,
    documents: &[Prepared],
    mut progress: impl FnMut(usize),
) -> Result<Vec<Contributed>> {
    let mut plans = Vec::with_capacity(documents.len());
    for document in documents {
        plans.push(Plan::of(client, datanet, document).await?);
    }
    let commits: Vec<_> = plans
        .iter()
        .filter(|plan| plan.committed == 0)
        .map(|plan| (IDatanets::commitCall { id: datanet, commitment: plan.commitment }, U256::ZERO))
        .collect();
    let sent = client.send_many(DATANETS, &commits, &mut progress).await?;
    if let Some(last) = sent.last() {
        wait_for_block_after(client, last.block).await?;
    }
    let fee = param(client, "tokenFee").await?;
    let reveals: Vec<_> = plans
        .iter()
        .filter(|plan| plan.revealed == 0)
        .map(|plan| (plan.reveal(datanet), fee * U256::from(plan.document.tokens)))
        .collect();
    let done = commits.len();
    client.send_many(DATANETS, &reveals, |count| progress(done + count)).await?;
    let mut contributed = Vec::with_capacity(plans.len());
    for plan in plans {
        let (_, _, id) = plan.look_up(client, datanet).await?;
        if id == 0 {
            bail!(
                "a document was revealed and is not on chain: its commitment expired, or it was taken over"
            );
        }
        contributed.push(Contributed {
            id,
            contributor: client.address(),
            content_hash: plan.document.content_hash,
            tokens: plan.document.tokens,
            new: plan.revealed == 0,
        });
    }
    Ok(contributed)
}

/// Seals what was revealed since the last epoch and returns the new one.
pub(crate) async fn seal(client: &Client, datanet: u64) -> Result<u64> {
    let sent = client.send(DATANETS, &IDatanets::sealCall { id: datanet }, U256::ZERO).await?;
    Ok(sent.event::<IDatanets::Sealed>(DATANETS)?.epoch)
}

/// One document on its way.
struct Plan<'a> {
    document: &'a Prepared,
    salt: B256,
    commitment: B256,
    committed: u64,
    revealed: u64,
}

impl<'a> Plan<'a> {
    async fn of(client: &Client, datanet: u64, document: &'a Prepared) -> Result<Self> {
        let salt = salt(client, document)?;
        let commitment = Contribution {
            datanet,
            contributor: client.address(),
            content_hash: document.content_hash,
            tokens_root: document.tokens_root,
            tokens: document.tokens,
            salt,
        }
        .commitment(client.chain_id());
        let mut plan = Self { document, salt, commitment, committed: 0, revealed: 0 };
        (plan.committed, _, plan.revealed) = plan.look_up(client, datanet).await?;
        Ok(plan)
    }

    async fn look_up(&self, client: &Client, datanet: u64) -> Result<(u64, u64, u64)> {
        let call = IDatanets::getCommitmentCall {
            id: datanet,
            contributor: client.address(),
            commitment: self.commitment,
        };
        let found = client.call(DATANETS, &call).await?;
        Ok((found.blockNumber, found.timestamp, found.contributionId))
    }

    fn reveal(&self, datanet: u64) -> IDatanets::revealCall {
        IDatanets::revealCall {
            id: datanet,
            contentHash: self.document.content_hash,
            tokensRoot: self.document.tokens_root,
            tokens: self.document.tokens,
            uri: self.document.uri.clone(),
            salt: self.salt,
        }
    }
}

/// A salt nobody else can guess and this wallet can find again: from its own deterministic signature.
fn salt(client: &Client, document: &Prepared) -> Result<B256> {
    let message =
        keccak256([b"tributary contribution salt".as_slice(), document.content_hash.as_slice()].concat());
    Ok(keccak256(client.signer().sign_hash_sync(&message)?.as_bytes()))
}

/// A reveal counts from the block after its commitment.
async fn wait_for_block_after(client: &Client, block: u64) -> Result<()> {
    for _ in 0..100 {
        if client.block_number().await? > block {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A chain that makes a block only for a transaction gets one: a payment to oneself.
    client.transfer(client.address(), U256::ZERO).await.map(drop)?;
    (client.block_number().await? > block).then_some(()).ok_or_eyre("the chain makes no blocks")
}
