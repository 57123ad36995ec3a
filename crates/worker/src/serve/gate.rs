//! Lets a request pass when a voucher pays for it, before a token is decoded.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U128, U256};
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use tributary_api::{Ask, Gate, Meter, Refusal, VoucherHeader, types::PaymentRequired};
use tributary_index::Pinned;
use tributary_record::{ChainView, Request, Source, voucher::Voucher};

use super::{
    base::BaseModel,
    channels::{Channels, Refused, Standing},
    meter::{Payment, RequestMeter},
    terms::Terms,
};
use crate::{
    chain::{ChainError, Registry, RegistryView},
    corpus::Corpus,
    metrics,
    post::Posting,
    store::Store,
};

/// Channels that still take requests.
const CHANNEL_OPEN: u8 = 1;

/// Whether vouchers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentPolicy {
    /// One with each request.
    Required,
    /// None: fee 0, still traced.
    Off,
}

/// Everything that the gate and its meters share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) view: RegistryView,
    pub(super) base: Arc<BaseModel>,
    pub(super) corpus: Arc<Corpus>,
    pub(super) store: Store,
    pub(super) operator: PrivateKeySigner,
    pub(super) agent: Option<u64>,
    pub(super) packed: Arc<tokio::sync::Notify>,
    pub(super) posting: Posting,
}

/// The gate of a node that serves as an agent.
#[derive(Debug)]
pub struct PaidGate {
    shared: Arc<Shared>,
    channels: Channels,
    policy: PaymentPolicy,
}

impl PaidGate {
    /// A gate for the agent whose operator is `operator`; `agent` narrows it to one.
    #[expect(clippy::too_many_arguments, reason = "the parts of the worker meet here")]
    pub fn new(
        registry: Registry,
        base: Arc<BaseModel>,
        corpus: Arc<Corpus>,
        store: Store,
        operator: PrivateKeySigner,
        agent: Option<u64>,
        policy: PaymentPolicy,
        packed: Arc<tokio::sync::Notify>,
        posting: Posting,
    ) -> Self {
        let view = RegistryView::new(registry.clone(), Some(store.clone()));
        let channels = Channels::new(store.clone());
        let shared = Shared { registry, view, base, corpus, store, operator, agent, packed, posting };
        Self { shared: Arc::new(shared), channels, policy }
    }

    async fn free(&self, ask: &Ask) -> Result<RequestMeter, Refusal> {
        let agent = self.shared.active_agent().map_err(unavailable)?;
        let head = self.shared.registry.chain().head().number;
        let recorded = agent.filter(|_| ask.model.model_id != 0);
        Ok(RequestMeter {
            shared: Arc::clone(&self.shared),
            model: ask.model.clone(),
            agent: recorded,
            request: self.request(ask, B256::from(rand::random::<[u8; 32]>()), head, 0),
            sources: self.shared.sources(&ask.model).map_err(unavailable)?,
            pinned: self.shared.pinned(&ask.model).await?,
            bounds: self.shared.view.params(head).map_err(unavailable)?.bounds,
            terms: None,
            payment: None,
        })
    }

    async fn paid(&self, ask: &Ask) -> Result<RequestMeter, Refusal> {
        let agent = self.shared.active_agent().map_err(unavailable)?.ok_or_else(|| {
            Refusal::Unavailable(format!(
                "{} operates no active agent, so nothing can be paid for: `tributary demo` or `tributary agent register` makes one, \
                 `--payments off` serves without",
                self.shared.operator.address()
            ))
        })?;
        if ask.model.model_id == 0 && !ask.model.composition.is_empty() {
            let message = "a record holds one adapter, by its place on chain: compositions, and adapters that only this node knows, are \
                           served where nothing is paid";
            return Err(Refusal::Invalid(message.to_owned()));
        }
        if ask.model.model_id == 0 {
            return Err(Refusal::Unavailable(format!("{} is not registered on chain", ask.model.name)));
        }
        if let Some(why) = self.shared.posting.stopped() {
            return Err(Refusal::Unavailable(format!("answers cannot be settled: {why}")));
        }
        let bill = Bill { gate: self, ask, agent };
        let Some(voucher) = &ask.voucher else {
            return Err(bill.refuse("voucher_required", "this request needs a voucher".to_owned(), None)?);
        };
        let (terms, payment) = bill.accept(voucher)?;
        Ok(RequestMeter {
            shared: Arc::clone(&self.shared),
            model: ask.model.clone(),
            agent: Some(agent),
            request: self.request(ask, voucher.request_id, voucher.l2_block, voucher.max_fee),
            sources: self.shared.sources(&ask.model).map_err(unavailable)?,
            pinned: self.shared.pinned(&ask.model).await?,
            bounds: terms.bounds,
            terms: Some(terms),
            payment: Some(payment),
        })
    }

    fn request(&self, ask: &Ask, request_id: B256, l2_block: u64, max_fee: u128) -> Request {
        Request {
            request_id,
            model_id: ask.model.model_id,
            adapter_id: ask.model.adapter_id,
            l2_block,
            n_in: ask.prompt_tokens,
            max_fee,
            privacy: 0,
            body_hash: ask.body_hash,
        }
    }
}

#[async_trait]
impl Gate for PaidGate {
    async fn authorize(&self, ask: Ask) -> Result<Box<dyn Meter>, Refusal> {
        let meter = match self.policy {
            PaymentPolicy::Off => self.free(&ask).await,
            PaymentPolicy::Required => self.paid(&ask).await,
        };
        match meter {
            Ok(meter) => Ok(Box::new(meter)),
            Err(refusal) => {
                metrics::refused(&refusal);
                Err(refusal)
            }
        }
    }

    fn checks_vouchers(&self) -> bool {
        self.policy == PaymentPolicy::Required
    }
}

impl Shared {
    /// The agent this node serves as, if it may go on committing batches.
    pub(super) fn active_agent(&self) -> Result<Option<u64>, ChainError> {
        let operator = self.operator.address();
        let agent = match self.agent {
            Some(id) => self.registry.agent(id)?.filter(|agent| agent.operator == operator),
            None => self.registry.agent_of_operator(operator)?,
        };
        Ok(agent.filter(|agent| agent.retiredFrom == 0).map(|agent| agent.id))
    }

    fn sources(&self, model: &tributary_api::ResolvedModel) -> Result<Vec<Source>, ChainError> {
        if model.adapter_id == 0 {
            return Ok(Vec::new());
        }
        let adapter = self.registry.model(model.adapter_id)?;
        let source = |s: &tributary_abi::IModels::Source| Source { datanet: s.datanetId, epoch: s.epoch };
        Ok(adapter.map(|adapter| adapter.sources.iter().map(source).collect()).unwrap_or_default())
    }

    async fn pinned(&self, model: &tributary_api::ResolvedModel) -> Result<Vec<Arc<Pinned>>, Refusal> {
        let sources = self.sources(model).map_err(unavailable)?;
        self.corpus.pin(&sources).await.map_err(|error| Refusal::Unavailable(error.to_string()))
    }
}

/// One request and what it would cost.
struct Bill<'a> {
    gate: &'a PaidGate,
    ask: &'a Ask,
    agent: u64,
}

/// A channel as the chain and the worker see it.
#[derive(Clone, Copy)]
struct Account {
    id: B256,
    signer: Address,
    deposited: u128,
    settled: u128,
    standing: Standing,
}

impl Bill<'_> {
    /// Checks everything the voucher says, and reserves its cap.
    fn accept(&self, voucher: &VoucherHeader) -> Result<(Terms, Payment), Refusal> {
        let account = self.account(voucher)?;
        let refuse = |code, message: String| self.refuse(code, message, Some(account));
        let terms = match self.terms(voucher.l2_block)? {
            Ok(terms) => terms,
            Err(message) => return Err(refuse("voucher_invalid", message)?),
        };
        if voucher.privacy != 0 {
            return Err(Refusal::Invalid("privacy must be 0: private answers are not served yet".to_owned()));
        }
        if voucher.n_in != self.ask.prompt_tokens {
            let message = format!("the prompt has {} tokens, not {}", self.ask.prompt_tokens, voucher.n_in);
            return Err(refuse("voucher_invalid", message)?);
        }
        if terms.affordable(voucher.n_in, voucher.max_fee) == Some(0) {
            return Err(refuse("voucher_too_low", "maxFee does not pay for one token of answer".to_owned())?);
        }
        self.check_signature(voucher, &account)?;
        self.reserve(voucher, &account).map(|payment| (terms, payment))
    }

    fn account(&self, voucher: &VoucherHeader) -> Result<Account, Refusal> {
        let found = self.gate.shared.registry.channel(voucher.channel).map_err(unavailable)?;
        let Some(channel) = found.filter(|channel| channel.status != 0) else {
            return Err(self.refuse(
                "channel_unknown",
                "the chain knows no such channel".to_owned(),
                None,
            )?);
        };
        let standing = self
            .gate
            .channels
            .standing(voucher.channel, channel.settled)
            .map_err(|e| unavailable_store(&e))?;
        let account = Account {
            id: voucher.channel,
            signer: channel.signer,
            deposited: channel.deposited,
            settled: channel.settled,
            standing,
        };
        if channel.agentId != self.agent {
            let message = format!("the channel pays agent {}, this is agent {}", channel.agentId, self.agent);
            return Err(self.refuse("channel_of_another_agent", message, Some(account))?);
        }
        if channel.status != CHANNEL_OPEN {
            return Err(self.refuse(
                "channel_closed",
                "the channel is closing or closed".to_owned(),
                Some(account),
            )?);
        }
        Ok(account)
    }

    /// The terms as of the voucher's block, or what is wrong with that block.
    fn terms(&self, l2_block: u64) -> Result<Result<Terms, String>, Refusal> {
        let head = self.gate.shared.registry.chain().head().number;
        if l2_block > head {
            return Ok(Err(format!("l2Block {l2_block} is not a block yet")));
        }
        let model = &self.ask.model;
        let terms = Terms::at(&self.gate.shared.view, model.model_id, model.adapter_id, l2_block);
        let Some(terms) = terms.map_err(unavailable)? else {
            return Ok(Err(format!("{} was not registered in block {l2_block}", model.name)));
        };
        // The batch must still be able to hold it some time from now.
        if head - l2_block > terms.max_record_age / 2 {
            return Ok(Err(format!("l2Block {l2_block} is too old, the head is {head}")));
        }
        Ok(Ok(terms))
    }

    fn check_signature(&self, voucher: &VoucherHeader, account: &Account) -> Result<(), Refusal> {
        let request = self.gate.request(self.ask, voucher.request_id, voucher.l2_block, voucher.max_fee);
        let signed = Voucher {
            channel: voucher.channel,
            cumulative: voucher.cumulative,
            request_hash: request.hash(),
        };
        let chain_id = self.gate.shared.registry.chain().chain_id();
        let why = match signed.signer(chain_id, &voucher.signature) {
            Ok(signer) if signer == account.signer => return Ok(()),
            Ok(_) => "the voucher is not signed by the channel's signer, or for another request".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.refuse("voucher_invalid", why, Some(*account))?)
    }

    fn reserve(&self, voucher: &VoucherHeader, account: &Account) -> Result<Payment, Refusal> {
        let cumulative: u128 = voucher.cumulative.saturating_to();
        let limit = cumulative.min(account.deposited);
        let reserved = self.gate.channels.reserve(
            account.id,
            voucher.request_id,
            voucher.max_fee,
            account.settled,
            limit,
        );
        match reserved {
            Ok(reservation) => Ok(Payment {
                channel: account.id,
                cumulative,
                signature: voucher.signature.clone(),
                reservation: Some(reservation),
            }),
            Err(Refused::Replayed) => Err(self.refuse(
                "voucher_replayed",
                "this request id was used before".to_owned(),
                Some(*account),
            )?),
            Err(Refused::Short { needed }) => {
                let message = format!("the channel needs {needed} wei of cap and deposit, and has {limit}");
                Err(self.refuse("voucher_too_low", message, Some(*account))?)
            }
            Err(Refused::Store(error)) => Err(unavailable_store(&error)),
        }
    }

    /// A 402 with the terms as of the head.
    fn refuse(
        &self,
        code: &'static str,
        message: String,
        account: Option<Account>,
    ) -> Result<Refusal, Refusal> {
        let chain = self.gate.shared.registry.chain();
        let head = chain.head().number;
        let model = &self.ask.model;
        let terms = Terms::at(&self.gate.shared.view, model.model_id, model.adapter_id, head)
            .map_err(unavailable)?
            .ok_or_else(|| Refusal::Unavailable(format!("{} is not registered on chain", model.name)))?;
        let max_fee = terms
            .fee(self.ask.prompt_tokens, self.ask.max_tokens)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        let (settled, standing) = account.map_or((0, Standing::default()), |a| (a.settled, a.standing));
        let cumulative =
            settled.saturating_add(standing.spent).saturating_add(standing.reserved).saturating_add(max_fee);
        let terms = PaymentRequired {
            channel: account.map(|account| account.id),
            agent_id: self.agent,
            chain_id: chain.chain_id(),
            model_id: model.model_id,
            adapter_id: model.adapter_id,
            settled: U128::from(settled),
            spent: U128::from(standing.spent),
            reserved: U128::from(standing.reserved),
            deposit: U128::from(account.map_or(0, |account| account.deposited)),
            n_in: self.ask.prompt_tokens,
            max_fee: U128::from(max_fee),
            cumulative: U256::from(cumulative),
            in_rate: U128::from(terms.rates.input),
            out_rate: U128::from(terms.rates.output),
            platform_fee: U128::from(terms.split.platform_fee),
            l2_block: terms.l2_block,
        };
        Ok(Refusal::Payment { message, code, terms: Box::new(terms) })
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable(error.to_string())
}

fn unavailable_store(error: &crate::store::StoreError) -> Refusal {
    tracing::error!(target: "tributary::worker", %error, "the worker's store failed");
    Refusal::Busy { message: "the worker's store is failing".to_owned(), retry_after: Duration::from_secs(5) }
}
