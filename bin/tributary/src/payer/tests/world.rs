//! A chain and an agent's API that answer as they are told to, lies included.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U128, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tributary_abi::{IAgents, IModels, IParams, ISettlement};
use tributary_api::{
    VOUCHER_HEADER, VoucherHeader,
    types::{ErrorBody, ErrorReply, PaymentRequired, Receipt},
};
use tributary_record::{Request, fees, fees::Rates, receipt_digest, voucher::Voucher};
use url::Url;

use super::super::{Payer, Spending};
use crate::wallet::Client;

pub(super) const AGENT: u64 = 7;
const MODEL: u64 = 3;
const CHAIN: u64 = 901;
const HEAD: u64 = 50;
pub(super) const CHANNEL: B256 = B256::repeat_byte(0xc1);
const N_IN: u32 = 10;
const RATES: Rates = Rates { input: 1000, output: 2000 };
const PLATFORM: u128 = 5;
/// Tokens of every answer.
const N_OUT: u32 = 4;
/// What a request of eight tokens at most may cost, and does.
pub(super) const MAX_FEE: u128 = 10 + 16 + 5;
pub(super) const FEE: u128 = 10 + 8 + 5;

/// How the agent cheats.
#[derive(Clone, Debug, Default)]
pub(super) struct Lies {
    /// Added to what it says was spent.
    pub(super) spent: u128,
    /// Added to the cap it asks for.
    pub(super) cap: u128,
    pub(super) terms: Option<fn(&mut PaymentRequired)>,
    /// Changes the receipt after it was filled, before it is signed.
    pub(super) receipt: Option<fn(&mut Receipt)>,
    /// Who signs it instead of the operator.
    pub(super) forger: Option<PrivateKeySigner>,
    /// Gives the receipt of the request before.
    pub(super) replay: bool,
    pub(super) no_receipt: bool,
    /// Takes the voucher and never answers.
    pub(super) hangs: bool,
    pub(super) status: Option<StatusCode>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) spent: u128,
    reserved: u128,
    /// The cap and `maxFee` of each voucher ever seen.
    pub(super) vouchers: Vec<(u128, u128)>,
    last: Option<Receipt>,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) lies: Arc<Mutex<Lies>>,
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) settled: Arc<Mutex<u128>>,
    payer: PrivateKeySigner,
    operator: PrivateKeySigner,
    rpc: Option<Url>,
    api: Option<Url>,
    pub(super) ledgers: Arc<tempfile::TempDir>,
}

async fn serve(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl World {
    pub(super) async fn new() -> Self {
        let mut world = Self {
            lies: Arc::default(),
            books: Arc::default(),
            settled: Arc::default(),
            payer: PrivateKeySigner::random(),
            operator: PrivateKeySigner::random(),
            rpc: None,
            api: None,
            ledgers: Arc::new(tempfile::tempdir().unwrap()),
        };
        world.rpc = Some(serve(Router::new().route("/", post(chain)).with_state(world.clone())).await);
        world.api = Some(serve(Router::new().fallback(post(agent)).with_state(world.clone())).await);
        world
    }

    pub(super) fn lie(&self, change: impl FnOnce(&mut Lies)) {
        change(&mut self.lies.lock());
    }

    /// What was in flight was answered, and nobody heard it.
    pub(super) fn served_in_secret(&self, fee: u128) {
        let mut books = self.books.lock();
        books.reserved = 0;
        books.spent += fee;
    }

    pub(super) fn vouchers(&self) -> usize {
        self.books.lock().vouchers.len()
    }

    pub(super) fn highest(&self) -> u128 {
        self.books.lock().vouchers.iter().map(|(cap, _)| *cap).max().unwrap_or(0)
    }

    pub(super) fn spending(&self) -> Spending {
        Spending { ledgers: self.ledgers.path().to_owned(), accept_spent: None, max_fee: None }
    }

    /// A payer as a process of its own would have it: nothing but the ledger is shared.
    pub(super) async fn payer_with(&self, spending: Spending) -> eyre::Result<Payer> {
        let client = Client::connect(self.rpc.as_ref().unwrap(), self.payer.clone()).await?;
        Payer::new(client, self.api.clone().unwrap(), Some(CHANNEL), spending).await
    }

    /// A payer with a key that the channel does not know.
    pub(super) async fn stranger(&self) -> eyre::Result<Payer> {
        Self { payer: PrivateKeySigner::random(), ..self.clone() }.payer_with(self.spending()).await
    }

    pub(super) async fn payer(&self) -> Payer {
        self.payer_with(self.spending()).await.unwrap()
    }

    fn terms(&self, channel: Option<B256>) -> PaymentRequired {
        let (books, lies, settled) = (self.books.lock(), self.lies.lock(), *self.settled.lock());
        let mut terms = PaymentRequired {
            channel,
            agent_id: AGENT,
            chain_id: CHAIN,
            model_id: MODEL,
            adapter_id: 0,
            settled: U128::from(settled),
            spent: U128::from(books.spent - settled + lies.spent),
            reserved: U128::from(books.reserved),
            deposit: U128::from(1_000_000),
            n_in: N_IN,
            max_fee: U128::from(MAX_FEE + lies.cap),
            cumulative: U256::ZERO,
            in_rate: U128::from(RATES.input),
            out_rate: U128::from(RATES.output),
            platform_fee: U128::from(PLATFORM),
            l2_block: HEAD,
        };
        if let Some(lie) = lies.terms {
            lie(&mut terms);
        }
        terms
    }

    fn refuse(&self, channel: Option<B256>, code: &str) -> Response {
        let error = ErrorBody {
            message: code.to_owned(),
            kind: "payment_required".into(),
            param: None,
            code: Some(code.to_owned()),
        };
        let reply = ErrorReply { error, payment: Some(Box::new(self.terms(channel))) };
        (StatusCode::PAYMENT_REQUIRED, Json(reply)).into_response()
    }

    fn request(voucher: &VoucherHeader, body: &[u8]) -> Request {
        Request {
            request_id: voucher.request_id,
            model_id: MODEL,
            adapter_id: 0,
            l2_block: voucher.l2_block,
            n_in: voucher.n_in,
            max_fee: voucher.max_fee,
            privacy: 0,
            body_hash: keccak256(body),
        }
    }

    fn receipt(&self, request: &Request) -> Receipt {
        let lies = self.lies.lock().clone();
        let output: Vec<u32> = (0..N_OUT).collect();
        let fee = fees::fee(request.n_in, N_OUT, RATES, PLATFORM).unwrap();
        let mut receipt = Receipt {
            request_id: request.request_id,
            channel: CHANNEL,
            agent_id: AGENT,
            output,
            fee: U128::from(fee),
            request_hash: request.hash(),
            ..Receipt::default()
        };
        if let Some(lie) = lies.receipt {
            lie(&mut receipt);
        }
        let digest = receipt_digest(receipt.request_hash, &receipt.output, receipt.fee.to());
        let signature = lies.forger.as_ref().unwrap_or(&self.operator).sign_hash_sync(&digest).unwrap();
        receipt.signature = Some(signature.as_bytes().into());
        receipt
    }

    async fn answer(&self, voucher: VoucherHeader, body: &[u8]) -> Response {
        let request = Self::request(&voucher, body);
        let signed =
            Voucher { channel: CHANNEL, cumulative: voucher.cumulative, request_hash: request.hash() };
        assert_eq!(signed.signer(CHAIN, &voucher.signature), Ok(self.payer.address()));
        let cap: u128 = voucher.cumulative.to();
        let lies = self.lies.lock().clone();
        {
            let mut books = self.books.lock();
            books.vouchers.push((cap, voucher.max_fee));
            if books.spent + lies.spent + books.reserved + voucher.max_fee > cap {
                drop(books);
                return self.refuse(Some(CHANNEL), "voucher_too_low");
            }
            books.reserved += voucher.max_fee;
        }
        if lies.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let mut books = self.books.lock();
        books.reserved -= voucher.max_fee;
        if let Some(status) = lies.status {
            return (
                status,
                Json(json!({"error": {"message": "no", "type": "x", "param": null, "code": null}})),
            )
                .into_response();
        }
        books.spent += FEE;
        let mut receipt = Some(self.receipt(&request));
        if lies.replay {
            receipt.clone_from(&books.last);
        }
        books.last.clone_from(&receipt);
        let receipt = receipt.filter(|_| !lies.no_receipt);
        let streams = serde_json::from_slice::<Value>(body).unwrap()["stream"] == true;
        if streams {
            let chunk = json!({"choices": [], "tributary": receipt});
            let events = format!("data: {{\"choices\":[]}}\n\ndata: {chunk}\n\ndata: [DONE]\n\n");
            return ([("content-type", "text/event-stream")], events).into_response();
        }
        Json(json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "tributary": receipt,
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null, "message": {"role": "assistant", "content": "yes"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }))
        .into_response()
    }
}

async fn agent(State(world): State<World>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    match headers.get(VOUCHER_HEADER) {
        None => world.refuse(None, "voucher_required"),
        Some(header) => {
            let voucher = VoucherHeader::parse(header.to_str().unwrap()).unwrap();
            world.answer(voucher, &body).await
        }
    }
}

async fn chain(State(world): State<World>, Json(call): Json<Value>) -> Json<Value> {
    let result = match call["method"].as_str().unwrap() {
        "eth_chainId" => json!(format!("{CHAIN:#x}")),
        "eth_blockNumber" => json!(format!("{HEAD:#x}")),
        "eth_getBlockByNumber" => {
            serde_json::to_value(alloy_rpc_types_eth::Block::<B256>::default()).unwrap()
        }
        "eth_getLogs" => json!([{
            "address": tributary_abi::address::SETTLEMENT, "data": "0x", "blockNumber": "0x9",
            "topics": [ISettlement::ChannelOpened::SIGNATURE_HASH, CHANNEL],
            "blockHash": B256::repeat_byte(9), "transactionHash": B256::repeat_byte(8),
            "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
        }]),
        "eth_call" => {
            let input = &call["params"][0];
            let data: Bytes =
                serde_json::from_value(input.get("input").or(input.get("data")).unwrap().clone()).unwrap();
            json!(view(&world, &data))
        }
        method => panic!("{method}"),
    };
    Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": result}))
}

fn view(world: &World, data: &[u8]) -> Bytes {
    if ISettlement::getChannelCall::abi_decode(data).is_ok() {
        let channel = ISettlement::Channel {
            agentId: AGENT,
            payer: world.payer.address(),
            signer: world.payer.address(),
            status: 1,
            closeAt: 0,
            deposited: 1_000_000,
            settled: *world.settled.lock(),
        };
        return ISettlement::getChannelCall::abi_encode_returns(&channel).into();
    }
    if IModels::ratesAtCall::abi_decode(data).is_ok() {
        let rates = IModels::ratesAtReturn {
            inRate: RATES.input.try_into().unwrap(),
            outRate: RATES.output.try_into().unwrap(),
        };
        return IModels::ratesAtCall::abi_encode_returns(&rates).into();
    }
    if let Ok(call) = IParams::atCall::abi_decode(data) {
        let value = if call.key.starts_with(b"platformFee") { PLATFORM } else { 40 };
        return IParams::atCall::abi_encode_returns(&U256::from(value)).into();
    }
    if let Ok(call) = IModels::idOfCall::abi_decode(data) {
        let id = match call.name.as_str() {
            "m" => MODEL,
            "other" => MODEL + 1,
            _ => 0,
        };
        return IModels::idOfCall::abi_encode_returns(&id).into();
    }
    let call = IAgents::getCall::abi_decode(data).unwrap();
    assert_eq!(call.id, AGENT);
    let agent = IAgents::Agent {
        id: AGENT,
        kind: 0,
        owner: Address::ZERO,
        operator: world.operator.address(),
        uri: String::new(),
        peerId: String::new(),
        registeredBlock: 1,
        retiredFrom: 0,
        slashed: false,
        assets: 0,
        shares: 0,
        earningShares: 0,
        ownerStake: 0,
    };
    IAgents::getCall::abi_encode_returns(&agent).into()
}
