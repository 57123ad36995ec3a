//! Pays for requests: asks for the terms, signs a voucher for the one request, checks the receipt.
//!
//! ```text
//! request ─▶ 402 with terms ─▶ price checked on chain ─▶ ledger: promised, on disk ─▶ voucher ─▶ answer ─▶ receipt checked ─▶ ledger
//!                 ▲                                                        │
//!                 └──────────── 402: the agent counts more ◀───────────────┘   within the ledger, or refused
//! ```

mod account;
mod books;
mod channel;
mod ledger;
mod proxy;
mod purse;
#[cfg(test)]
mod tests;
mod watch;

use std::{path::Path, sync::Arc, time::Duration};

use alloy_primitives::B256;
use eyre::{Context, OptionExt, Result, bail, ensure};
use reqwest::{Response, StatusCode};
use tributary_api::{
    VOUCHER_HEADER,
    types::{ChatReply, ErrorReply},
};
use url::Url;

use self::{
    account::Account,
    books::{Mark, Refused},
    ledger::Ledger,
    purse::{Purse, Signed},
    watch::ReceiptWatch,
};
pub(crate) use self::{channel::find_channel, proxy::serve_proxy, purse::Spending};
use crate::wallet::Client;

/// Rounds of terms and voucher for one request.
const ATTEMPTS: u32 = 8;
/// The first pause when requests in flight may have been counted twice; they grow by as much.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest error that is read.
const MAX_ERROR: usize = 64 * 1024;
/// Refusals that another voucher does not mend.
const HOPELESS: [&str; 4] =
    ["channel_unknown", "channel_closed", "channel_of_another_agent", "voucher_replayed"];

/// A wallet with a channel to an agent's API.
#[derive(Debug)]
pub(crate) struct Payer {
    http: reqwest::Client,
    api: Url,
    purse: Option<Arc<Purse>>,
}

/// An HTTP answer that was paid for.
struct Paid {
    response: Response,
    signed: Option<Signed>,
}

/// What this machine knows of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Proved to be used.
    pub(crate) used: u128,
    /// Caps of requests without a receipt.
    pub(crate) outstanding: u128,
    /// The highest cap ever signed.
    pub(crate) highest: u128,
}

/// What this machine's ledger says of a channel; `None` where it never paid from it.
pub(crate) async fn known(client: &Client, channel: B256, ledgers: &Path) -> Result<Option<Known>> {
    let (account, _) = Account::find(client.clone(), channel).await?;
    let books = Ledger::new(ledgers, account.name).read()?;
    Ok(books.map(|books| Known {
        used: books.used(),
        outstanding: books.outstanding(),
        highest: books.highest(),
    }))
}

impl Payer {
    /// A payer; without a channel only free requests get through.
    pub(crate) async fn new(
        client: Client,
        api: Url,
        channel: Option<B256>,
        spending: Spending,
    ) -> Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
        let purse = match channel {
            Some(channel) => Some(Arc::new(Purse::open(client, channel, spending).await?)),
            None => None,
        };
        Ok(Self { http, api, purse })
    }

    /// A chat answer in one piece, its receipt checked.
    pub(crate) async fn chat(&self, body: &serde_json::Value) -> Result<ChatReply> {
        let paid = self.post("/v1/chat/completions", body.to_string().into_bytes(), Vec::new()).await?;
        let status = paid.response.status();
        if !status.is_success() {
            let text = bounded_text(paid.response).await;
            bail!("the API answered {status}: {}", message_of(&text));
        }
        let reply: ChatReply = paid.response.json().await.wrap_err("the API's reply has another shape")?;
        if let Some(signed) = paid.signed {
            match &reply.tributary {
                Some(receipt) => signed.settle(receipt).await?,
                None => signed.catch(NO_RECEIPT.to_owned()).await?,
            }
        }
        Ok(reply)
    }

    /// A request of an unmodified client: paid for, and passed back as it comes.
    async fn post_through(
        &self,
        path: &str,
        body: Vec<u8>,
        headers: Vec<(String, String)>,
    ) -> Result<(Response, Option<ReceiptWatch>)> {
        let paid = self.post(path, body, headers).await?;
        Ok((paid.response, paid.signed.map(ReceiptWatch::new)))
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
        let (mut signed, mut why): (Option<Signed>, String) = (None, String::new());
        for attempt in 1..=ATTEMPTS {
            let mut since = match &self.purse {
                Some(purse) => Some(purse.mark().await?),
                None => None,
            };
            let sent = self.send(path, &body, &headers, signed.as_ref().map(|signed| &*signed.header)).await;
            let response = match sent {
                Ok(response) => response,
                Err(failure) => {
                    // What was not even sent was not served.
                    if let Some(signed) = signed.filter(|_| failure.is_connect()) {
                        signed.refused().await?;
                    }
                    return Err(failure).wrap_err_with(|| format!("no API answers at {}", self.api));
                }
            };
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                if let Some(refused) = signed.take_if(|_| response.status().is_client_error()) {
                    refused.refused().await?;
                }
                return Ok(Paid { response, signed });
            }
            if let Some(refused) = signed.take() {
                // The agent had not counted what it refused.
                since.iter_mut().for_each(|mark| mark.without(refused.request.max_fee));
                refused.refused().await?;
            }
            let text = bounded_text(response).await;
            why = message_of(&text);
            signed = self.sign(path, &body, &text, since, attempt).await?;
        }
        if let Some(unsent) = signed {
            unsent.refused().await?;
        }
        bail!("the API refused {ATTEMPTS} times in a row, the last because {why}")
    }

    async fn send(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(String, String)],
        voucher: Option<&str>,
    ) -> Result<Response, reqwest::Error> {
        let mut url = self.api.clone();
        url.set_path(path);
        let mut request = self.http.post(url).header("content-type", "application/json").body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(voucher) = voucher {
            request = request.header(VOUCHER_HEADER, voucher);
        }
        request.send().await
    }

    /// Signs what a 402 asks for. Nothing, when the agent may have counted twice what is just being recorded: it is asked again.
    async fn sign(
        &self,
        path: &str,
        body: &[u8],
        text: &str,
        since: Option<Mark>,
        attempt: u32,
    ) -> Result<Option<Signed>> {
        let reply: ErrorReply = serde_json::from_str(text).wrap_err("a 402 of another shape")?;
        let terms = reply.payment.ok_or_eyre("the 402 names no terms")?;
        let (Some(purse), Some(since)) = (&self.purse, since) else {
            bail!("{}; open a channel with agent {} first", reply.error.message, terms.agent_id);
        };
        let code = reply.error.code.as_deref().unwrap_or_default();
        ensure!(!HOPELESS.contains(&code), "{}", reply.error.message);
        match purse.sign(&terms, path, body, since).await? {
            Ok(signed) => Ok(Some(signed)),
            Err(Refused::Excess { others: true, .. }) if attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE * attempt).await;
                Ok(None)
            }
            Err(refused) => Err(purse.explain(&refused)),
        }
    }
}

/// What an answer lacks that only a dishonest agent leaves out.
const NO_RECEIPT: &str = "an answer came without a receipt";

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
