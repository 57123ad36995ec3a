//! A node as a rollup node sees it: the auth port, and attributes like op-node's.

use std::{fs, io::Read, path::PathBuf, sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B64, B256, Bytes, Sealable, Signature, TxKind, U256, uint};
use alloy_signer_local::PrivateKeySigner;
use op_alloy_consensus::TxDeposit;
use serde_json::{Value, json};
use tempfile::TempDir;
use tributary_builder::{DevL1, PayloadBuilder, PayloadConfig};
use tributary_engine_api::{
    AuthConfig, AuthServer, ClientVersion, Engine, JwtSecret, MinerApiServer, PayloadWitness,
    PayloadWitnessApiServer,
};
use tributary_evm::Executor;
use tributary_pool::{Origin, Pool, PoolConfig};
use tributary_rpc::{EthConfig, Modules, Namespace, NoWorker, RpcContext, RpcParts};
use tributary_spec::{ChainSpec, SealedHeader, Tx, predeploys::SEQUENCER_FEE_VAULT};
use tributary_tree::{Chain, ChainConfig, Durability};

/// The first account of the well-known mnemonic, rich on dev chains.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Order of the curve.
const SECP256K1N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// Longer than any test.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Node {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
    pub(crate) engine: Engine,
    pub(crate) server: AuthServer,
    pub(crate) secret: JwtSecret,
    http: reqwest::Client,
    folder: TempDir,
}

/// An error's code and message.
pub(crate) type Refusal = (i64, String);

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(ChainSpec::dev()).await
    }

    pub(crate) async fn with(spec: Arc<ChainSpec>) -> Self {
        Self::open(spec, tempfile::tempdir().unwrap(), PATIENCE).await
    }

    /// One whose auth port waits so long for a request's body, and for its answer to be read.
    pub(crate) async fn with_patience(patience: Duration) -> Self {
        Self::open(ChainSpec::dev(), tempfile::tempdir().unwrap(), patience).await
    }

    async fn open(spec: Arc<ChainSpec>, folder: TempDir, patience: Duration) -> Self {
        let executor = Executor::new(spec.clone());
        let config = ChainConfig { durability: Durability::Acknowledged, ..ChainConfig::default() };
        let chain = Chain::open(executor.clone(), folder.path(), config).unwrap();
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).unwrap();
        let builder =
            PayloadBuilder::new(executor.clone(), chain.clone(), pool.clone(), PayloadConfig::default());
        let client = ClientVersion {
            code: "TB".to_owned(),
            name: "Tributary".to_owned(),
            version: "test".to_owned(),
            commit: "00000000".to_owned(),
        };
        let engine = Engine::new(builder, client).unwrap();
        let mut modules = Modules::new(RpcContext::new(RpcParts {
            spec: spec.clone(),
            chain: chain.clone(),
            pool: pool.clone(),
            executor,
            tributary: Arc::new(NoWorker),
            sequencer: None,
            pending: None,
            peers: Arc::new(tributary_rpc::NoPeers),
            config: EthConfig::default(),
            client_version: "Tributary/test".to_owned(),
        }))
        .unwrap();
        modules.extend(Namespace::Miner, MinerApiServer::into_rpc(engine.clone())).unwrap();
        let witness = PayloadWitness::new(modules.context().clone());
        modules.extend(Namespace::Debug, witness.into_rpc()).unwrap();
        let secret = JwtSecret::random();
        let config = AuthConfig {
            body_timeout: patience,
            stall_timeout: patience,
            ..AuthConfig::new(([127, 0, 0, 1], 0).into(), secret.clone())
        };
        let server = AuthServer::launch(config, engine.clone(), &modules).await.unwrap();
        Self { spec, chain, pool, engine, server, secret, http: reqwest::Client::new(), folder }
    }

    /// Stops and starts again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { spec, chain, pool, engine, server, folder, .. } = self;
        server.stop().await;
        chain.shutdown().unwrap();
        drop((engine, pool, chain));
        Self::open(spec, folder, PATIENCE).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// A call over HTTP with a token.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Refusal> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(self.url()).bearer_auth(self.secret.token()).json(&body);
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer.get("error") {
            Some(error) => {
                Err((error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned()))
            }
            None => Ok(answer["result"].take()),
        }
    }

    /// A call that must not fail.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|(code, message)| panic!("{method}: {code} {message}"))
    }

    /// forkchoiceUpdatedV3 without attributes; labels stay.
    pub(crate) async fn choose(&self, head: B256) -> Value {
        let state = state(head, B256::ZERO, B256::ZERO);
        self.ask("engine_forkchoiceUpdatedV3", json!([state])).await["payloadStatus"].take()
    }

    /// Begins a payload on the head.
    pub(crate) async fn begin(&self, attributes: Value) -> Result<Value, Refusal> {
        let state = state(self.chain.head().hash(), B256::ZERO, B256::ZERO);
        self.call("engine_forkchoiceUpdatedV3", json!([state, attributes])).await
    }

    pub(crate) async fn new_payload(&self, envelope: &Value) -> Value {
        self.ask("engine_newPayloadV4", payload_params(envelope)).await
    }

    /// Builds a block on any known one and takes what comes out; moves the head to the parent.
    pub(crate) async fn build_on(&self, parent: B256, attributes: Value) -> Value {
        let state = state(parent, B256::ZERO, B256::ZERO);
        let begun = self.ask("engine_forkchoiceUpdatedV3", json!([state, attributes])).await;
        assert_eq!(begun["payloadStatus"]["status"], "VALID", "{begun}");
        self.ask("engine_getPayloadV5", json!([begun["payloadId"]])).await
    }

    /// One step of a sequencing rollup node: build, import, choose.
    pub(crate) async fn advance(&self) -> Value {
        let head = self.chain.head();
        let envelope = self.build_on(head.hash(), self.attributes(&head)).await;
        assert_eq!(self.new_payload(&envelope).await["status"], "VALID");
        assert_eq!(self.choose(hash_of(&envelope)).await["status"], "VALID");
        envelope
    }

    /// Attributes of the child of `parent`, two seconds after it, with the pool.
    pub(crate) fn attributes(&self, parent: &SealedHeader) -> Value {
        let timestamp = parent.timestamp + 2;
        let l1 = DevL1::new(&self.spec).attributes(self.spec.genesis_header(), None, timestamp);
        json!({
            "timestamp": format!("{timestamp:#x}"),
            "prevRandao": B256::repeat_byte(3),
            "suggestedFeeRecipient": SEQUENCER_FEE_VAULT,
            "withdrawals": [],
            "parentBeaconBlockRoot": B256::ZERO,
            "transactions": [raw(&Tx::Deposit(l1.deposit().seal_slow()))],
            "noTxPool": false,
            "gasLimit": format!("{:#x}", parent.gas_limit),
            "eip1559Params": B64::ZERO,
            "minBaseFee": 0,
        })
    }

    pub(crate) fn send(&self, tx: &Tx) {
        self.pool.add_raw(&tx.encoded_2718(), Origin::Local).unwrap();
    }

    pub(crate) fn transfer(&self, nonce: u64) -> Tx {
        let tx = TxEip1559 {
            chain_id: self.spec.chain_id(),
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(Address::repeat_byte(0xee)),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        sign(tx)
    }
}

pub(crate) fn sign(tx: TxEip1559) -> Tx {
    let wallet: PrivateKeySigner = KEY.parse().unwrap();
    let signature = alloy_signer::SignerSync::sign_hash_sync(&wallet, &tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

/// The same transaction with the other signature of the two that a curve has for it, which Homestead forbids.
pub(crate) fn with_high_s(tx: &Tx) -> Tx {
    let Tx::Eip1559(signed) = tx else { panic!("{tx:?}") };
    let (tx, signature, _) = signed.clone().into_parts();
    let s = SECP256K1N - signature.s();
    tx.into_signed(Signature::new(signature.r(), s, !signature.v())).into()
}

/// A deposit that mints to nobody.
pub(crate) fn deposit(seed: u8) -> Tx {
    let tx = TxDeposit {
        source_hash: B256::repeat_byte(seed),
        from: Address::repeat_byte(seed),
        to: TxKind::Call(Address::repeat_byte(0xdd)),
        gas_limit: 50_000,
        ..TxDeposit::default()
    };
    Tx::Deposit(tx.seal_slow())
}

pub(crate) fn raw(tx: &Tx) -> Bytes {
    tx.encoded_2718().into()
}

pub(crate) fn state(head: B256, safe: B256, finalized: B256) -> Value {
    json!({ "headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": finalized })
}

pub(crate) fn hash_of(envelope: &Value) -> B256 {
    serde_json::from_value(envelope["executionPayload"]["blockHash"].clone()).unwrap()
}

/// newPayloadV4's parameters out of what getPayload answered.
pub(crate) fn payload_params(envelope: &Value) -> Value {
    json!([
        envelope["executionPayload"],
        [],
        envelope["parentBeaconBlockRoot"],
        envelope["executionRequests"]
    ])
}

/// The payload with a field changed and the hash made right again.
pub(crate) fn forged(envelope: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut forged = envelope.clone();
    change(&mut forged["executionPayload"]);
    forged["executionPayload"]["blockHash"] = json!(header_hash(&forged));
    forged
}

/// The hash as op-alloy computes it.
fn header_hash(envelope: &Value) -> B256 {
    let payload: op_alloy_rpc_types_engine::OpExecutionPayloadV4 =
        serde_json::from_value(envelope["executionPayload"].clone()).unwrap();
    let mut block = payload.into_block_raw().unwrap();
    block.header.parent_beacon_block_root =
        Some(serde_json::from_value(envelope["parentBeaconBlockRoot"].clone()).unwrap());
    block.header.requests_hash = Some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH);
    block.header.hash_slow()
}

pub(crate) fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../testdata/opstack").join(name)
}

pub(crate) fn recorded_spec() -> Arc<ChainSpec> {
    let file = fs::File::open(testdata("genesis-isthmus-jovian.json.gz")).unwrap();
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut json).unwrap();
    Arc::new(ChainSpec::from_json(&json).unwrap())
}
