//! A wallet's view of a node: reads, and transactions that are filled, signed, sent and waited for here.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::{BlockId, eip2718::Encodable2718};
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_provider::{
    DynProvider, Provider, ProviderBuilder,
    transport::{RpcError, TransportErrorKind},
};
use alloy_rpc_types_eth::{Filter, TransactionInput, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use eyre::{Context, OptionExt, Result, bail};
use serde::de::DeserializeOwned;
use url::Url;

use super::explain_revert;

/// How long a transaction may take to be mined before the command gives up waiting for it.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(120);
/// Transactions of one sender in flight; the pool holds 16.
const IN_FLIGHT: usize = 12;
/// How often a transaction is sent when others take its nonce.
const NONCE_ATTEMPTS: u32 = 6;
/// Blocks that are looked through for an event at once.
const LOG_BLOCKS: u64 = 100_000;
/// The first pause between two of them; they grow by as much.
const NONCE_PAUSE: Duration = Duration::from_millis(50);

/// A node, and the key that signs.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    provider: DynProvider,
    signer: PrivateKeySigner,
    chain_id: u64,
}

/// A mined transaction.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) hash: B256,
    pub(crate) block: u64,
    /// Gas, L1 fee and operator fee, in wei.
    pub(crate) cost: U256,
    pub(crate) logs: Vec<Log>,
}

impl Sent {
    /// The first event of this type that `emitter` logged.
    pub(crate) fn event<E: SolEvent>(&self, emitter: Address) -> Result<E> {
        self.logs
            .iter()
            .filter(|log| log.address == emitter)
            .find_map(|log| E::decode_log(log).ok())
            .map(|log| log.data)
            .ok_or_eyre(format!("transaction {} logged no {}", self.hash, E::SIGNATURE))
    }
}

/// The parts of an OP receipt that matter here.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    status: U256,
    block_number: U256,
    gas_used: U256,
    effective_gas_price: U256,
    #[serde(default)]
    l1_fee: Option<U256>,
    #[serde(default)]
    operator_fee_scalar: Option<U256>,
    #[serde(default)]
    operator_fee_constant: Option<U256>,
    logs: Vec<alloy_rpc_types_eth::Log>,
}

impl Receipt {
    /// What the sender paid beside the value: execution, L1 data, and the operator fee in its Jovian form.
    fn cost(&self) -> U256 {
        let operator = self.operator_fee_scalar.unwrap_or_default() * self.gas_used * U256::from(100)
            + self.operator_fee_constant.unwrap_or_default();
        self.gas_used * self.effective_gas_price + self.l1_fee.unwrap_or_default() + operator
    }
}

impl Client {
    /// Connects, and asks for the chain id.
    pub(crate) async fn connect(rpc: &Url, signer: PrivateKeySigner) -> Result<Self> {
        let provider = ProviderBuilder::default().connect_http(rpc.clone()).erased();
        let chain_id = provider.get_chain_id().await.wrap_err_with(|| format!("no node answers at {rpc}"))?;
        Ok(Self { provider, signer, chain_id })
    }

    /// The same node under another key.
    pub(crate) fn with_signer(&self, signer: PrivateKeySigner) -> Self {
        Self { signer, ..self.clone() }
    }

    pub(crate) fn address(&self) -> Address {
        self.signer.address()
    }

    pub(crate) const fn signer(&self) -> &PrivateKeySigner {
        &self.signer
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub(crate) async fn balance(&self, account: Address) -> Result<U256> {
        Ok(self.provider.get_balance(account).await?)
    }

    /// A balance at the end of a block.
    pub(crate) async fn balance_at(&self, account: Address, block: u64) -> Result<U256> {
        Ok(self.provider.get_balance(account).number(block).await?)
    }

    /// An agent's events of one kind in these blocks, oldest first; the agent is their second indexed field.
    pub(crate) async fn agent_events<E: SolEvent>(
        &self,
        emitter: Address,
        agent: Option<u64>,
        blocks: RangeInclusive<u64>,
    ) -> Result<Vec<E>> {
        let mut filter = Filter::new()
            .address(emitter)
            .event_signature(E::SIGNATURE_HASH)
            .from_block(*blocks.start())
            .to_block(*blocks.end());
        if let Some(agent) = agent {
            filter = filter.topic2(B256::from(U256::from(agent)));
        }
        let logs = self.provider.get_logs(&filter).await?;
        logs.iter().map(|log| Ok(E::decode_log(&log.inner)?.data)).collect()
    }

    pub(crate) async fn block_number(&self) -> Result<u64> {
        Ok(self.provider.get_block_number().await?)
    }

    /// The hash of a block.
    pub(crate) async fn block_hash(&self, number: u64) -> Result<B256> {
        let block = self.provider.get_block_by_number(number.into()).await?;
        Ok(block.ok_or_eyre(format!("the node has no block {number}"))?.header.hash)
    }

    /// The hash of the block that logged an event about `subject`, its first indexed field; looked for from the head backwards.
    pub(crate) async fn first_block_with(
        &self,
        emitter: Address,
        event: B256,
        subject: B256,
    ) -> Result<Option<B256>> {
        let filter = Filter::new().address(emitter).event_signature(event).topic1(subject);
        let mut to = self.block_number().await?;
        let mut width = LOG_BLOCKS;
        loop {
            let from = to.saturating_sub(width - 1);
            match self.provider.get_logs(&filter.clone().from_block(from).to_block(to)).await {
                Ok(logs) => match logs.iter().find_map(|log| log.block_hash) {
                    Some(hash) => return Ok(Some(hash)),
                    None if from == 0 => return Ok(None),
                    None => to = from - 1,
                },
                // Nodes differ in how many blocks they look through at once.
                Err(error) if width > 1000 && error.as_error_resp().is_some() => width /= 10,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Any JSON-RPC method.
    pub(crate) async fn rpc<R>(&self, method: &'static str, params: serde_json::Value) -> Result<R>
    where
        R: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.provider.raw_request(method.into(), params).await.wrap_err(method)
    }

    /// A view.
    pub(crate) async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return> {
        self.call_at(to, call, BlockId::latest()).await
    }

    /// A view at the end of a block.
    pub(crate) async fn call_at<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        block: BlockId,
    ) -> Result<C::Return> {
        let answer = self
            .provider
            .call(self.request(to, call.abi_encode().into(), U256::ZERO))
            .block(block)
            .await
            .map_err(|error| explain_revert(C::SIGNATURE, &error))?;
        C::abi_decode_returns(&answer).wrap_err(C::SIGNATURE)
    }

    /// A transaction that is mined and succeeded when this returns.
    pub(crate) async fn send<C: SolCall>(&self, to: Address, call: &C, value: U256) -> Result<Sent> {
        let (hash, _) = self.submit(to, call.abi_encode().into(), value, C::SIGNATURE, None).await?;
        self.wait(hash, C::SIGNATURE).await
    }

    /// A plain transfer.
    pub(crate) async fn transfer(&self, to: Address, value: U256) -> Result<Sent> {
        let (hash, _) = self.submit(to, Bytes::new(), value, "transfer", None).await?;
        self.wait(hash, "transfer").await
    }

    /// Many transactions in order, several in flight; `done` is told of each that was mined.
    pub(crate) async fn send_many<C: SolCall>(
        &self,
        to: Address,
        calls: &[(C, U256)],
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Sent>> {
        let mut mined = Vec::with_capacity(calls.len());
        for window in calls.chunks(IN_FLIGHT) {
            let mut nonce = self.nonce().await?;
            let mut hashes = Vec::with_capacity(window.len());
            for (call, value) in window {
                let data = call.abi_encode().into();
                let (hash, taken) = self.submit(to, data, *value, C::SIGNATURE, Some(nonce)).await?;
                hashes.push(hash);
                nonce = taken + 1;
            }
            for hash in hashes {
                mined.push(self.wait(hash, C::SIGNATURE).await?);
                done(mined.len());
            }
        }
        Ok(mined)
    }

    async fn nonce(&self) -> Result<u64> {
        Ok(self.provider.get_transaction_count(self.address()).pending().await?)
    }

    fn request(&self, to: Address, data: Bytes, value: U256) -> TransactionRequest {
        TransactionRequest {
            from: Some(self.address()),
            to: Some(TxKind::Call(to)),
            value: Some(value),
            input: TransactionInput::new(data),
            ..Default::default()
        }
    }

    /// Fills, signs and sends; the hash and the nonce. Someone else may sign with the same key: a nonce that they took is not
    /// used again, even for the same transaction, which is theirs and not this one.
    async fn submit(
        &self,
        to: Address,
        input: Bytes,
        value: U256,
        what: &str,
        nonce: Option<u64>,
    ) -> Result<(B256, u64)> {
        let request = self.request(to, input.clone(), value);
        let gas = self
            .provider
            .estimate_gas(request)
            .block(BlockId::pending())
            .await
            .map_err(|error| explain_revert(what, &error))?;
        let fees = self.provider.estimate_eip1559_fees().await?;
        let mut transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: match nonce {
                Some(nonce) => nonce,
                None => self.nonce().await?,
            },
            // State may grow between the estimate and the block.
            gas_limit: gas + gas / 5,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: TxKind::Call(to),
            value,
            access_list: Default::default(),
            input,
        };
        for attempt in 1.. {
            let signature = self.signer.sign_transaction_sync(&mut transaction)?;
            let raw = TxEnvelope::from(transaction.clone().into_signed(signature)).encoded_2718();
            match self.provider.send_raw_transaction(&raw).await {
                Ok(pending) => return Ok((*pending.tx_hash(), transaction.nonce)),
                Err(error) if attempt < NONCE_ATTEMPTS && nonce_is_taken(&error) => {
                    tokio::time::sleep(NONCE_PAUSE * attempt).await;
                    transaction.nonce = self.nonce().await?;
                }
                Err(error) => return Err(error).wrap_err_with(|| format!("{what} was refused")),
            }
        }
        bail!("{what} was refused")
    }

    async fn wait(&self, hash: B256, what: &str) -> Result<Sent> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(20);
        while start.elapsed() < RECEIPT_TIMEOUT {
            let receipt: Option<Receipt> =
                self.rpc("eth_getTransactionReceipt", serde_json::json!([hash])).await?;
            if let Some(receipt) = receipt {
                return self.mined(hash, what, &receipt).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        bail!("{what}: transaction {hash} was not mined within {} s", RECEIPT_TIMEOUT.as_secs())
    }

    async fn mined(&self, hash: B256, what: &str, receipt: &Receipt) -> Result<Sent> {
        let block = receipt.block_number.to::<u64>();
        if receipt.status.is_zero() {
            let why = self.replay(hash, block).await;
            bail!("{what}: transaction {hash} reverted in block {block}: {why}");
        }
        Ok(Sent {
            hash,
            block,
            cost: receipt.cost(),
            logs: receipt.logs.iter().map(|log| log.inner.clone()).collect(),
        })
    }

    /// Why a mined transaction failed: the same call again, on the state of its block.
    async fn replay(&self, hash: B256, block: u64) -> String {
        let Ok(Some(transaction)) = self
            .rpc::<Option<serde_json::Value>>("eth_getTransactionByHash", serde_json::json!([hash]))
            .await
        else {
            return "unknown reason".to_owned();
        };
        let call = serde_json::json!({
            "from": transaction["from"], "to": transaction["to"],
            "data": transaction["input"], "value": transaction["value"],
        });
        let parent = format!("{:#x}", block.saturating_sub(1));
        match self
            .provider
            .raw_request::<_, Bytes>("eth_call".into(), serde_json::json!([call, parent]))
            .await
        {
            Ok(_) => "out of gas, or the state had changed".to_owned(),
            Err(error) => explain_revert("call", &error).to_string(),
        }
    }
}

/// Whether a node refused a transaction because its sender has another one of that nonce.
fn nonce_is_taken(error: &RpcError<TransportErrorKind>) -> bool {
    const TEXTS: [&str; 3] = ["already known", "nonce too low", "replacement transaction underpriced"];
    let Some(refusal) = error.as_error_resp() else { return false };
    let message = refusal.message.to_lowercase();
    TEXTS.into_iter().any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, extract::State, routing::post};
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use std::{collections::VecDeque, sync::Arc};

    /// A node whose pool says these things, one a transaction; the nonce grows with each question.
    #[derive(Clone, Default)]
    struct Node {
        refusals: Arc<Mutex<VecDeque<&'static str>>>,
        sent: Arc<Mutex<u64>>,
    }

    async fn answer(State(node): State<Node>, Json(call): Json<Value>) -> Json<Value> {
        let result = match call["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x1"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_getTransactionCount" => json!(format!("{:#x}", *node.sent.lock())),
            "eth_feeHistory" => json!({
                "oldestBlock": "0x0", "baseFeePerGas": ["0x1", "0x1"], "gasUsedRatio": [0.5], "reward": [["0x1"]],
            }),
            "eth_sendRawTransaction" => {
                *node.sent.lock() += 1;
                if let Some(message) = node.refusals.lock().pop_front() {
                    let error = json!({"code": -32000, "message": message});
                    return Json(json!({"jsonrpc": "2.0", "id": call["id"], "error": error}));
                }
                json!(B256::repeat_byte(7))
            }
            method => panic!("{method}"),
        };
        Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": result}))
    }

    async fn client(refusals: &[&'static str]) -> Client {
        let node =
            Node { refusals: Arc::new(Mutex::new(refusals.iter().copied().collect())), ..Node::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let app = Router::new().route("/", post(answer)).with_state(node);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Client::connect(&url, PrivateKeySigner::random()).await.unwrap()
    }

    async fn submit(client: &Client) -> Result<(B256, u64)> {
        client.submit(Address::ZERO, Bytes::new(), U256::ZERO, "transfer", None).await
    }

    /// Two programs with one key ask for its nonce at the same time.
    #[tokio::test]
    async fn a_nonce_that_someone_else_took_is_given_up() {
        let client_of_three = client(&[
            "already known",
            "replacement transaction underpriced",
            "nonce too low: next nonce 3, tx nonce 2",
        ])
        .await;
        assert_eq!(submit(&client_of_three).await.unwrap(), (B256::repeat_byte(7), 3));
        let endless = client(&["already known"; 20]).await;
        let error = format!("{:#}", submit(&endless).await.unwrap_err());
        assert!(error.contains("transfer was refused") && error.contains("already known"), "{error}");
        let poor = client(&["insufficient funds", "unreached"]).await;
        assert!(format!("{:#}", submit(&poor).await.unwrap_err()).contains("insufficient funds"));
    }
}
