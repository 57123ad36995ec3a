//! Pays for requests: asks for the terms, signs a voucher for the one request, checks the receipt.

mod channel;
mod proxy;
mod watch;

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, U256, keccak256};
use alloy_signer::SignerSync;
use eyre::{Context, OptionExt, Result, bail, ensure};
use parking_lot::Mutex;
use reqwest::{Response, StatusCode};
use tributary_abi::{IAgents, address::AGENTS};
use tributary_api::{
    VOUCHER_HEADER, VoucherHeader,
    types::{ChatReply, ErrorReply, PaymentRequired, Receipt},
};
use tributary_record::{Request, receipt_digest, voucher};
use url::Url;

use self::watch::ReceiptWatch;
pub(crate) use self::{channel::find_channel, proxy::serve_proxy};
use crate::wallet::Client;

/// Rounds of terms and voucher for one request.
const ATTEMPTS: usize = 5;
/// Longest error that is read.
const MAX_ERROR: usize = 64 * 1024;

/// A wallet with a channel to an agent's API.
#[derive(Debug)]
pub(crate) struct Payer {
    client: Client,
    http: reqwest::Client,
    api: Url,
    channel: Option<B256>,
    caps: Mutex<Option<Caps>>,
}

/// What this wallet has promised in its channel.
#[derive(Clone, Copy, Debug)]
struct Caps {
    /// Used, as of when nothing of ours was in flight, and our own fees since.
    used: u128,
    /// Caps of our requests in flight.
    in_flight: u128,
}

/// An HTTP answer that was paid for.
struct Paid {
    response: Response,
    signed: Option<Signed>,
}

/// A request under a voucher.
#[derive(Clone, Copy, Debug)]
struct Signed {
    request: Request,
    max_fee: u128,
}

impl Payer {
    /// A payer; without a channel only free requests get through.
    pub(crate) fn new(client: Client, api: Url, channel: Option<B256>) -> Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
        Ok(Self { client, http, api, channel, caps: Mutex::new(None) })
    }

    /// A chat answer in one piece, its receipt checked.
    pub(crate) async fn chat(&self, body: &serde_json::Value) -> Result<ChatReply> {
        let paid = self.post("/v1/chat/completions", body.to_string().into_bytes(), Vec::new()).await?;
        let status = paid.response.status();
        if !status.is_success() {
            let text = bounded_text(paid.response).await;
            bail!("the API answered {status}: {}", message_of(&text));
        }
        let signed = paid.signed;
        let reply: ChatReply = paid.response.json().await.wrap_err("the API's reply has another shape")?;
        if let Some(signed) = signed {
            let receipt = reply.tributary.as_deref().ok_or_eyre("the reply carries no receipt")?;
            self.settled(signed, receipt).await?;
        }
        Ok(reply)
    }

    /// A request of an unmodified client: paid for, and passed back as it comes.
    async fn post_through(
        self: &Arc<Self>,
        path: &str,
        body: Vec<u8>,
        headers: Vec<(String, String)>,
    ) -> Result<(Response, Option<ReceiptWatch>)> {
        let paid = self.post(path, body, headers).await?;
        let watch = paid.signed.map(|signed| ReceiptWatch::new(Arc::clone(self), signed));
        Ok((paid.response, watch))
    }

    async fn get_through(&self, path: &str, headers: Vec<(String, String)>) -> Result<Response> {
        let mut request = self.http.get(self.api.join(path)?);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.wrap_err_with(|| format!("no API answers at {}", self.api))
    }

    /// Sends a body to a path of the API, with a voucher when one is asked for.
    async fn post(&self, path: &str, body: Vec<u8>, headers: Vec<(String, String)>) -> Result<Paid> {
        let (mut signed, mut voucher, mut why) = (None, None, String::new());
        for _ in 0..ATTEMPTS {
            let response = self.send(path, &body, &headers, voucher.as_deref()).await?;
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                if !response.status().is_success() {
                    self.give_back(signed.take());
                }
                return Ok(Paid { response, signed });
            }
            self.give_back(signed.take());
            let text = bounded_text(response).await;
            why = message_of(&text);
            let (next, header) = self.sign(&body, &text)?;
            signed = next;
            voucher = Some(header);
        }
        self.give_back(signed);
        bail!("the API refused {ATTEMPTS} vouchers in a row, the last because {why}")
    }

    async fn send(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(String, String)],
        voucher: Option<&str>,
    ) -> Result<Response> {
        let url = self.api.join(path)?;
        let mut request = self.http.post(url).header("content-type", "application/json").body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(voucher) = voucher {
            request = request.header(VOUCHER_HEADER, voucher);
        }
        request.send().await.wrap_err_with(|| format!("no API answers at {}", self.api))
    }

    /// Signs what a 402 asks for. The first voucher of a process caps nothing: its refusal tells how the channel stands.
    fn sign(&self, body: &[u8], text: &str) -> Result<(Option<Signed>, String)> {
        let reply: ErrorReply = serde_json::from_str(text).wrap_err("a 402 of another shape")?;
        let terms = reply.payment.ok_or_eyre("the 402 names no terms")?;
        let channel = self.channel.ok_or_else(|| {
            eyre::eyre!("{}; open a channel with agent {} first", reply.error.message, terms.agent_id)
        })?;
        ensure!(terms.chain_id == self.client.chain_id(), "the API settles on chain {}", terms.chain_id);
        let code = reply.error.code.as_deref().unwrap_or_default();
        let hopeless = ["channel_unknown", "channel_closed", "channel_of_another_agent", "voucher_replayed"];
        ensure!(!hopeless.contains(&code), "{}", reply.error.message);
        let max_fee: u128 = terms.max_fee.to();
        let cumulative = self.promise(&terms, channel, max_fee)?;
        let request = Request {
            request_id: B256::from(rand::random::<[u8; 32]>()),
            model_id: terms.model_id,
            adapter_id: terms.adapter_id,
            l2_block: terms.l2_block,
            n_in: terms.n_in,
            max_fee,
            privacy: 0,
            body_hash: keccak256(body),
        };
        let header = self.voucher(channel, cumulative.unwrap_or(0), &request)?;
        Ok((cumulative.map(|_| Signed { request, max_fee }), header))
    }

    /// The cap to sign, once it is known how the channel stands: room for this request beside what was used and is in flight, of
    /// ours and of whoever else pays from the channel. What the API says was spent is taken at its word: a channel's deposit is the
    /// bound of what a dishonest one can be promised.
    fn promise(&self, terms: &PaymentRequired, channel: B256, max_fee: u128) -> Result<Option<u128>> {
        let mut caps = self.caps.lock();
        let told = (terms.channel == Some(channel)).then(|| {
            let spent = terms.settled.to::<u128>().saturating_add(terms.spent.to());
            (spent, spent.saturating_add(terms.reserved.to()))
        });
        let Some(caps) = (match told {
            Some((spent, _)) => Some(caps.get_or_insert(Caps { used: spent, in_flight: 0 })),
            None => caps.as_mut(),
        }) else {
            return Ok(None);
        };
        let (spent, taken) = told.unwrap_or_default();
        if caps.in_flight == 0 {
            caps.used = caps.used.max(spent);
        }
        let cumulative = taken.max(caps.used.saturating_add(caps.in_flight)).saturating_add(max_fee);
        if told.is_some() {
            let deposit: u128 = terms.deposit.to();
            ensure!(
                cumulative <= deposit,
                "the channel holds {}, this request may need {} in all: `tributary channel top-up {channel} AMOUNT`",
                crate::output::open(deposit),
                crate::output::open(cumulative)
            );
        }
        caps.in_flight = caps.in_flight.saturating_add(max_fee);
        Ok(Some(cumulative))
    }

    /// A request that was not served costs nothing.
    fn give_back(&self, signed: Option<Signed>) {
        if let (Some(signed), Some(caps)) = (signed, self.caps.lock().as_mut()) {
            caps.in_flight -= signed.max_fee;
        }
    }

    fn voucher(&self, channel: B256, cumulative: u128, request: &Request) -> Result<String> {
        let voucher =
            voucher::Voucher { channel, cumulative: U256::from(cumulative), request_hash: request.hash() };
        let signature = self.client.signer().sign_hash_sync(&voucher.digest(self.client.chain_id()))?;
        let header = VoucherHeader {
            channel,
            cumulative: voucher.cumulative,
            request_id: request.request_id,
            l2_block: request.l2_block,
            n_in: request.n_in,
            max_fee: request.max_fee,
            privacy: request.privacy,
            signature: signature.as_bytes().into(),
        };
        Ok(header.encode())
    }

    /// Checks a receipt: of this request, not above its cap, signed by the agent's operator.
    async fn settled(&self, signed: Signed, receipt: &Receipt) -> Result<()> {
        let fee: u128 = receipt.fee.to();
        ensure!(receipt.request_hash == signed.request.hash(), "the receipt is of another request");
        ensure!(fee <= signed.max_fee, "the receipt's fee of {fee} wei passes the cap of {}", signed.max_fee);
        let digest = receipt_digest(receipt.request_hash, &receipt.output, fee);
        let signature = receipt.signature.as_deref().ok_or_eyre("the receipt is not signed")?;
        let signer = voucher::recover(digest, signature)?;
        let agent = self.client.call(AGENTS, &IAgents::getCall { id: receipt.agent_id }).await?;
        ensure!(signer == agent.operator, "the receipt is signed by {signer}, not by the operator");
        if let Some(caps) = self.caps.lock().as_mut() {
            caps.in_flight -= signed.max_fee;
            caps.used += fee;
        }
        Ok(())
    }
}

async fn bounded_text(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ERROR {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn message_of(text: &str) -> String {
    serde_json::from_str::<ErrorReply>(text).map_or_else(|_| text.to_owned(), |reply| reply.error.message)
}
