//! A channel, its agent and the prices as the chain has them: nothing of this is taken from the API.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};
use eyre::{Context, OptionExt, Result, ensure};
use futures::try_join;
use serde::Deserialize;
use tributary_abi::{
    IAgents, IModels, IParams, ISettlement,
    address::{AGENTS, MODELS, PARAMS, SETTLEMENT},
};
use tributary_api::types::{PaymentRequired, Receipt};
use tributary_record::{
    fees::{self, Rates},
    receipt_digest, voucher,
};

use super::{Signed, books::OnChain, channel::OPEN, ledger::ChannelName};
use crate::wallet::Client;

/// Tokens of a prompt beyond two for each byte of the body: what a chat template adds.
const TEMPLATE: usize = 1024;
/// Tokens of answer where the body names no number: more than any context here.
const LONGEST_ANSWER: u32 = 131_072;
/// The same for plain completions: OpenAI's default.
const DEFAULT_COMPLETION: u32 = 16;

/// A channel, by its opening.
#[derive(Clone, Debug)]
pub(super) struct Account {
    client: Client,
    pub(super) name: ChannelName,
    agent: u64,
    /// Whose vouchers count.
    pub(super) signer: Address,
}

/// What a request may cost, as of its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    n_in: u32,
    rates: Rates,
    platform_fee: u128,
}

/// What of a request's body bears on its price.
#[derive(Deserialize)]
struct Priced {
    model: String,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

impl Price {
    fn fee(&self, n_out: usize) -> Result<u128> {
        let n_out = u32::try_from(n_out).wrap_err("an answer of more tokens than can be")?;
        Ok(fees::fee(self.n_in, n_out, self.rates, self.platform_fee)?)
    }
}

impl Account {
    /// Finds a channel and where it was opened, and how it stands.
    pub(super) async fn find(client: Client, channel: B256) -> Result<(Self, OnChain)> {
        let info = client.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await?;
        ensure!(info.status != 0, "the chain knows no channel {channel}");
        let (genesis, opening) =
            try_join!(client.block_hash(0), client.first_block_with(SETTLEMENT, opened(), channel))?;
        let opening = opening.ok_or_eyre("the chain's logs do not say when the channel was opened")?;
        let name = ChannelName { chain_id: client.chain_id(), genesis, channel, opening };
        let standing = OnChain { deposited: info.deposited, settled: info.settled };
        Ok((Self { client, name, agent: info.agentId, signer: info.signer }, standing))
    }

    /// How the channel stands on chain now.
    pub(super) async fn standing(&self) -> Result<OnChain> {
        let call = ISettlement::getChannelCall { channel: self.name.channel };
        let info = self.client.call(SETTLEMENT, &call).await?;
        ensure!(info.status == OPEN, "channel {} is not open", self.name.channel);
        Ok(OnChain { deposited: info.deposited, settled: info.settled })
    }

    /// Checks what a 402 asks for against the chain: the agent, the model that was named, its rates, and a cap that is no more than the
    /// longest answer costs.
    pub(super) async fn price(&self, terms: &PaymentRequired, path: &str, body: &[u8]) -> Result<Price> {
        let chain = self.client.chain_id();
        ensure!(terms.chain_id == chain, "the API settles on chain {}, this is {chain}", terms.chain_id);
        ensure!(
            terms.agent_id == self.agent,
            "the channel pays agent {}, the API is agent {}",
            self.agent,
            terms.agent_id
        );
        let asked: Priced =
            serde_json::from_slice(body).wrap_err("the request is no JSON that can be priced")?;
        let (price, ()) = try_join!(self.rates(terms), self.check_model(terms, &asked.model))?;
        let longest = body.len().saturating_mul(2).saturating_add(TEMPLATE);
        ensure!(
            terms.n_in as usize <= longest,
            "the API counts {} tokens in a request of {} bytes",
            terms.n_in,
            body.len()
        );
        let default = if path == "/v1/completions" { DEFAULT_COMPLETION } else { LONGEST_ANSWER };
        let n_out = asked.max_completion_tokens.or(asked.max_tokens).unwrap_or(default);
        let (most, asks) = (price.fee(n_out as usize)?, terms.max_fee.to::<u128>());
        ensure!(
            asks <= most,
            "the API asks for a cap of {asks} wei, by the chain's rates it costs {most} at most"
        );
        Ok(price)
    }

    async fn rates(&self, terms: &PaymentRequired) -> Result<Price> {
        let priced = if terms.adapter_id == 0 { terms.model_id } else { terms.adapter_id };
        let block = terms.l2_block;
        let param = |name: &str| {
            let mut key = B256::ZERO;
            key[..name.len()].copy_from_slice(name.as_bytes());
            IParams::atCall { key, blockNumber: block }
        };
        let rates_at = IModels::ratesAtCall { id: priced, blockNumber: block };
        let (platform, age) = (param("platformFee"), param("maxRecordAge"));
        let (rates, platform, age, head) = try_join!(
            self.client.call(MODELS, &rates_at),
            self.client.call(PARAMS, &platform),
            self.client.call(PARAMS, &age),
            self.client.block_number(),
        )?;
        let age: u64 = age.saturating_to();
        ensure!(head.saturating_sub(block) <= age, "the API prices by block {block}, the head is {head}");
        let platform_fee =
            u128::try_from(platform).map_err(|_| eyre::eyre!("a platform fee beyond 128 bits"))?;
        let rates = Rates { input: rates.inRate.to(), output: rates.outRate.to() };
        Ok(Price { n_in: terms.n_in, rates, platform_fee })
    }

    /// The API bills the model that was named: by the chain's name, by `adapter:<id>`, or the base under a name of the node's own.
    async fn check_model(&self, terms: &PaymentRequired, name: &str) -> Result<()> {
        let billed = if terms.adapter_id == 0 { terms.model_id } else { terms.adapter_id };
        let named = match name.strip_prefix("adapter:") {
            Some(id) => id.parse().wrap_err_with(|| format!("no model is called {name}"))?,
            None => self.client.call(MODELS, &IModels::idOfCall { name: name.to_owned() }).await?,
        };
        let own_name = named == 0 && terms.adapter_id == 0;
        ensure!(named == billed || own_name, "the API bills model {billed} for {name}");
        Ok(())
    }

    /// What is wrong with a receipt; an error where the chain could not be asked.
    pub(super) async fn fault(&self, signed: &Signed, receipt: &Receipt) -> Result<Option<String>> {
        let fee: u128 = receipt.fee.to();
        if receipt.request_hash != signed.request.hash() {
            return Ok(Some("the receipt is of another request".to_owned()));
        }
        if fee > signed.request.max_fee {
            return Ok(Some(format!("its fee of {fee} wei passes the cap of {}", signed.request.max_fee)));
        }
        match signed.price.fee(receipt.output.len()) {
            Ok(price) if fee <= price => {}
            Ok(price) => return Ok(Some(format!("its fee is {fee} wei, its tokens cost {price}"))),
            Err(error) => return Ok(Some(error.to_string())),
        }
        let Some(signature) = receipt.signature.as_deref() else {
            return Ok(Some("the receipt is not signed".to_owned()));
        };
        let digest = receipt_digest(receipt.request_hash, &receipt.output, fee);
        match voucher::recover(digest, signature) {
            Ok(signer) if self.is_operator(signer, signed.request.l2_block).await? => Ok(None),
            Ok(signer) => Ok(Some(format!("the receipt is signed by {signer}, not by the operator"))),
            Err(error) => Ok(Some(format!("the receipt's signature: {error}"))),
        }
    }

    /// The operator may have changed since the request's block.
    async fn is_operator(&self, signer: Address, block: u64) -> Result<bool> {
        let call = IAgents::getCall { id: self.agent };
        if self.client.call(AGENTS, &call).await?.operator == signer {
            return Ok(true);
        }
        let then = self.client.call_at(AGENTS, &call, BlockId::number(block)).await;
        Ok(then.is_ok_and(|agent| agent.operator == signer))
    }
}

const fn opened() -> B256 {
    <ISettlement::ChannelOpened as alloy_sol_types::SolEvent>::SIGNATURE_HASH
}
