//! Signs vouchers of one channel, within what its ledger and the chain justify.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{B256, U256, keccak256};
use alloy_signer::SignerSync;
use eyre::{Report, Result, bail, ensure};
use parking_lot::Mutex;
use tributary_api::{
    VoucherHeader,
    types::{PaymentRequired, Receipt},
};
use tributary_record::{Request, voucher::Voucher};

use super::{
    account::{Account, Price},
    books::{Books, Claim, Mark, Refused},
    ledger::Ledger,
};
use crate::{output::open, wallet::Client};

/// How a user lets a payer spend.
#[derive(Clone, Debug)]
pub(crate) struct Spending {
    /// Folder of ledgers.
    pub(crate) ledgers: PathBuf,
    /// What is taken as spent on the agent's word, once.
    pub(crate) accept_spent: Option<u128>,
    /// Most that one request may cost.
    pub(crate) max_fee: Option<u128>,
}

/// A channel to pay from.
#[derive(Debug)]
pub(super) struct Purse {
    client: Client,
    account: Account,
    ledger: Ledger,
    accept: Mutex<Option<u128>>,
    max_fee: Option<u128>,
}

/// A request under a voucher. Its cap stays promised until it is told how the request ended; when it never is, the answer counts as lost.
#[derive(Debug)]
pub(super) struct Signed {
    purse: Arc<Purse>,
    pub(super) request: Request,
    pub(super) price: Price,
    pub(super) header: String,
    ended: bool,
}

impl Purse {
    pub(super) async fn open(client: Client, channel: B256, spending: Spending) -> Result<Self> {
        let (account, standing) = Account::find(client.clone(), channel).await?;
        ensure!(
            account.signer == client.address(),
            "vouchers of channel {channel} are signed by {}, this key is {}",
            account.signer,
            client.address()
        );
        let ledger = Ledger::new(&spending.ledgers, account.name);
        let begun = ledger.clone();
        blocking(move || begun.begin(standing.settled)).await?;
        let accept = Mutex::new(spending.accept_spent);
        Ok(Self { client, account, ledger, accept, max_fee: spending.max_fee })
    }

    /// How the books stand now.
    pub(super) async fn mark(&self) -> Result<Mark> {
        let ledger = self.ledger.clone();
        let books = blocking(move || ledger.read()).await?;
        books.map(|books| books.mark()).ok_or_else(|| eyre::eyre!("the channel's ledger went away"))
    }

    /// Signs what a 402 asks for, if it is the chain's price. `since`: how the books stood when the API was asked.
    pub(super) async fn sign(
        self: &Arc<Self>,
        terms: &PaymentRequired,
        path: &str,
        body: &[u8],
        since: Mark,
    ) -> Result<Result<Signed, Refused>> {
        let price = self.account.price(terms, path, body).await?;
        let max_fee: u128 = terms.max_fee.to();
        if let Some(most) = self.max_fee {
            ensure!(max_fee <= most, "this request may cost {}, the most is {}", open(max_fee), open(most));
        }
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
        let claim = (terms.channel == Some(self.channel())).then(|| Claim { taken: taken(terms), since });
        let chain = self.account.standing().await?;
        let (purse, id) = (Arc::clone(self), request.request_id);
        let promised = blocking(move || {
            let mut accept = purse.accept.lock();
            purse.ledger.update(|books| books.promise(id, max_fee, claim, chain, &mut accept, now()))
        });
        let cumulative = match promised.await? {
            Ok(cumulative) => cumulative,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut signed =
            Signed { purse: Arc::clone(self), request, price, header: String::new(), ended: false };
        signed.header = self.voucher(&request, cumulative)?;
        Ok(Ok(signed))
    }

    #[cfg(test)]
    pub(super) const fn name(&self) -> super::ledger::ChannelName {
        self.account.name
    }

    fn channel(&self) -> B256 {
        self.account.name.channel
    }

    fn voucher(&self, request: &Request, cumulative: u128) -> Result<String> {
        let cumulative = U256::from(cumulative);
        let voucher = Voucher { channel: self.channel(), cumulative, request_hash: request.hash() };
        let signature = self.client.signer().sign_hash_sync(&voucher.digest(self.client.chain_id()))?;
        let header = VoucherHeader {
            channel: voucher.channel,
            cumulative,
            request_id: request.request_id,
            l2_block: request.l2_block,
            n_in: request.n_in,
            max_fee: request.max_fee,
            privacy: request.privacy,
            signature: signature.as_bytes().into(),
        };
        Ok(header.encode())
    }

    /// Why nothing is signed, and what can be done about it.
    pub(super) fn explain(&self, refused: &Refused) -> Report {
        let channel = self.channel();
        match refused {
            Refused::Excess { claimed, known, .. } => eyre::eyre!(
                "the agent says that {} of the channel were spent; what this machine signed and the chain settled accounts for {} at \
                 most, so nothing is signed. Did another machine pay from it too, or was the ledger here lost? Then take the agent's word \
                 once: --accept-spent {}. Else `tributary channel close {channel}` gets back what is not settled",
                open(*claimed),
                open(*known),
                open(*claimed).trim_end_matches(" OPEN"),
            ),
            Refused::Deposit { needed } => eyre::eyre!(
                "this request may need {} of the channel in all, and it holds less: `tributary channel top-up {channel} AMOUNT`",
                open(*needed)
            ),
            Refused::Fault(fault) => eyre::eyre!(
                "the agent was caught: {fault}. Nothing more is signed for it: `tributary channel close {channel}` gets back what is not \
                 settled, --accept-spent AMOUNT goes on nevertheless"
            ),
            Refused::Crowded => eyre::eyre!("{refused}; try again in an hour, or open another channel"),
        }
    }

    async fn change(self: &Arc<Self>, change: impl FnOnce(&mut Books) + Send + 'static) -> Result<()> {
        let ledger = self.ledger.clone();
        blocking(move || {
            let Ok(()) = ledger.update(|books| {
                change(books);
                Ok::<_, std::convert::Infallible>(())
            })?;
            Ok(())
        })
        .await
    }
}

impl Signed {
    /// The agent refused the request: it costs nothing.
    pub(super) async fn refused(mut self) -> Result<()> {
        self.ended = true;
        let id = self.request.request_id;
        self.purse.change(move |books| books.release(id)).await
    }

    /// Takes a receipt, if it holds; if not, the agent is caught.
    pub(super) async fn settle(mut self, receipt: &Receipt) -> Result<()> {
        if let Some(fault) = self.purse.account.fault(&self, receipt).await? {
            return self.catch(fault).await;
        }
        self.ended = true;
        let (id, fee) = (self.request.request_id, receipt.fee.to());
        self.purse.change(move |books| books.receipt(id, fee)).await
    }

    /// The agent did what no honest one does: nothing more is signed for it.
    pub(super) async fn catch(mut self, fault: String) -> Result<()> {
        self.ended = true;
        let (id, said) = (self.request.request_id, fault.clone());
        self.purse.change(move |books| books.catch(id, said)).await?;
        bail!("{fault}")
    }
}

impl Drop for Signed {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let id = self.request.request_id;
        let lost = self.purse.ledger.update(|books| {
            books.lose(id);
            Ok::<_, std::convert::Infallible>(())
        });
        if let Err(failure) = lost {
            tracing::error!(target: "tributary::payer", %failure, "the ledger cannot be written");
        }
    }
}

/// What the API says is gone from a channel, or promised.
fn taken(terms: &PaymentRequired) -> u128 {
    let sum = terms.settled.to::<u128>().saturating_add(terms.spent.to());
    sum.saturating_add(terms.reserved.to())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Files and their locks are waited for beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}
