//! Base models and adapters in the registry.

use alloy_primitives::{B256, Uint};
use eyre::{OptionExt, Result, ensure};
use tributary_abi::{IModels, address::MODELS};

use crate::wallet::Client;

/// What an adapter is registered as.
#[derive(Clone, Debug)]
pub(crate) struct AdapterSpec {
    pub(crate) base: u64,
    pub(crate) name: String,
    pub(crate) artifact: B256,
    pub(crate) rank: u32,
    /// (datanet, epoch), ascending.
    pub(crate) sources: Vec<(u64, u64)>,
    pub(crate) uri: String,
    pub(crate) in_rate: u128,
    pub(crate) out_rate: u128,
}

fn rate(wei: u128) -> Result<Uint<96, 2>> {
    ensure!(wei < 1 << 96, "a rate is below 2^96 wei");
    Ok(Uint::from(wei))
}

/// A model by its name.
pub(crate) async fn find_model(client: &Client, name: &str) -> Result<Option<IModels::Model>> {
    match client.call(MODELS, &IModels::idOfCall { name: name.to_owned() }).await? {
        0 => Ok(None),
        id => Ok(Some(client.call(MODELS, &IModels::getCall { id }).await?)),
    }
}

/// The first base model of these weights, tokenizer and profile.
pub(crate) async fn base_model(
    client: &Client,
    weights: B256,
    tokenizer: B256,
    profile: B256,
) -> Result<Option<IModels::Model>> {
    let count = client.call(MODELS, &IModels::countCall {}).await?;
    for id in 1..=count {
        let model = client.call(MODELS, &IModels::getCall { id }).await?;
        let same = model.hash == weights && model.tokenizerHash == tokenizer && model.profileHash == profile;
        if model.baseId == 0 && same && model.retiredFrom == 0 {
            return Ok(Some(model));
        }
    }
    Ok(None)
}

/// Registers a base model and returns its id.
pub(crate) async fn register_base(
    client: &Client,
    name: &str,
    hashes: [B256; 3],
    uri: &str,
    rates: (u128, u128),
) -> Result<u64> {
    let [weights, tokenizer, profile] = hashes;
    let call = IModels::registerBaseCall {
        name: name.to_owned(),
        weightsHash: weights,
        tokenizerHash: tokenizer,
        profileHash: profile,
        uri: uri.to_owned(),
        inRate: rate(rates.0)?,
        outRate: rate(rates.1)?,
    };
    let sent = client.send(MODELS, &call, Default::default()).await?;
    Ok(sent.event::<IModels::BaseRegistered>(MODELS)?.id)
}

/// Registers an adapter and returns its id.
pub(crate) async fn register_adapter(client: &Client, spec: &AdapterSpec) -> Result<u64> {
    let call = IModels::registerAdapterCall {
        baseId: spec.base,
        name: spec.name.clone(),
        artifactHash: spec.artifact,
        rank: spec.rank,
        sources: spec
            .sources
            .iter()
            .map(|(datanet, epoch)| IModels::Source { datanetId: *datanet, epoch: *epoch })
            .collect(),
        uri: spec.uri.clone(),
        inRate: rate(spec.in_rate)?,
        outRate: rate(spec.out_rate)?,
    };
    let sent = client.send(MODELS, &call, Default::default()).await?;
    Ok(sent.event::<IModels::AdapterRegistered>(MODELS).ok().ok_or_eyre("no adapter was registered")?.id)
}
