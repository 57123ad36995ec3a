//! The chain under test: dev genesis, a pool, servers on ports of the system's choice, and blocks when a test wants one.

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B64, B256, Bytes, TxKind, U256, address, hex, keccak256};
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use jsonrpsee::{
    core::{ClientError, client::ClientT, traits::ToRpcParams},
    http_client::{HttpClient, HttpClientBuilder},
    types::ErrorObjectOwned,
    ws_client::{WsClient, WsClientBuilder},
};
use op_alloy_consensus::TxDeposit;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use tempfile::TempDir;
use tributary_builder::{PayloadBuilder, PayloadConfig, PendingBlocks};
use tributary_evm::{BuildAttributes, Executor};
use tributary_pool::{Pool, PoolConfig};
use tributary_rpc::{
    EndpointConfig, EthConfig, Forwarder, Modules, Namespaces, NoWorker, RpcConfig, RpcContext, RpcHandle,
    RpcParts, ServerLimits,
};
use tributary_spec::{ChainSpec, RecoveredBlock, Tx};
use tributary_tree::{Chain, ChainConfig, ExecutedBlock, ForkchoiceStatus};

/// Who tells of L1.
const DEPOSITOR: Address = address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");

/// Code that stores its first word in slot 0 and logs it as a topic.
pub(crate) const STORE_AND_LOG: [u8; 15] = hex!("60003560005560003560006000a100");

pub(crate) struct Node {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
    pub(crate) executor: Executor,
    pub(crate) modules: Modules,
    pub(crate) handle: RpcHandle,
    pub(crate) http: HttpClient,
    _dir: TempDir,
}

pub(crate) fn config() -> RpcConfig {
    let mut endpoint = EndpointConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    endpoint.namespaces = Namespaces::all();
    RpcConfig {
        http: Some(endpoint.clone()),
        ws: Some(endpoint),
        limits: ServerLimits::default(),
        eth: EthConfig::default(),
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: RpcConfig) -> Self {
        Self::replica(config, None).await
    }

    /// One that sends transactions on.
    pub(crate) async fn replica(config: RpcConfig, sequencer: Option<Forwarder>) -> Self {
        Self::launch(config, sequencer, false).await
    }

    /// One that makes a block of the pool for `pending`.
    pub(crate) async fn with_pending_blocks() -> Self {
        Self::launch(config(), None, true).await
    }

    async fn launch(config: RpcConfig, sequencer: Option<Forwarder>, pending: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let spec = ChainSpec::dev();
        let executor = Executor::new(spec.clone());
        let chain = open_chain(&executor, &dir);
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).unwrap();
        let context = RpcContext::new(RpcParts {
            spec: spec.clone(),
            chain: chain.clone(),
            pool: pool.clone(),
            executor: executor.clone(),
            tributary: Arc::new(NoWorker),
            sequencer,
            pending: pending.then(|| {
                let config = PayloadConfig::default();
                PendingBlocks::new(PayloadBuilder::new(executor.clone(), chain.clone(), pool.clone(), config))
            }),
            peers: Arc::new(tributary_rpc::NoPeers),
            config: config.eth,
            client_version: "Tributary/test".to_owned(),
        });
        let modules = Modules::new(context).unwrap();
        let handle = RpcHandle::launch(&config, &modules).await.unwrap();
        let http = HttpClientBuilder::default()
            .max_request_size(64 << 20)
            .build(format!("http://{}", handle.http_address().unwrap()))
            .unwrap();
        Self { spec, chain, pool, executor, modules, handle, http, _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.handle.http_address().unwrap())
    }

    pub(crate) async fn ws(&self) -> WsClient {
        WsClientBuilder::default().build(format!("ws://{}", self.handle.ws_address().unwrap())).await.unwrap()
    }

    /// A request over HTTP.
    pub(crate) async fn ask(&self, method: &str, params: impl ToRpcParams + Send) -> Value {
        self.try_ask(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// A request over HTTP that may fail.
    pub(crate) async fn try_ask(
        &self,
        method: &str,
        params: impl ToRpcParams + Send,
    ) -> Result<Value, ErrorObjectOwned> {
        match self.http.request::<Value, _>(method, params).await {
            Ok(value) => Ok(value),
            Err(ClientError::Call(error)) => Err(error),
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// Puts a block with the pool's transactions on the head and makes it the head.
    pub(crate) fn mine(&self) -> RecoveredBlock {
        let head = self.chain.head();
        self.mine_on(head.hash(), 2, true)
    }

    /// A block on any parent, `delay` seconds after it.
    pub(crate) fn mine_on(&self, parent: B256, delay: u64, from_pool: bool) -> RecoveredBlock {
        let parent = self.chain.header_by_hash(parent).unwrap().unwrap();
        let deposit = Tx::from(l1_info_deposit(parent.number + 1));
        let attributes = BuildAttributes {
            timestamp: parent.timestamp + delay,
            fee_recipient: address!("4200000000000000000000000000000000000011"),
            parent_beacon_block_root: Some(B256::ZERO),
            gas_limit: parent.gas_limit,
            eip1559_params: Some(B64::ZERO),
            min_base_fee: Some(0),
            transactions: vec![Recovered::new_unchecked(deposit, DEPOSITOR)],
            no_tx_pool: !from_pool,
            ..BuildAttributes::default()
        };
        let state = self.chain.state_at(parent.hash()).unwrap();
        let base_fee = self.spec.next_base_fee(&parent, attributes.timestamp).unwrap();
        let mut source = self.pool.best(parent.hash(), base_fee);
        let built = self.executor.build(&parent, attributes, state, &mut source).unwrap();
        let block = built.executed.block.clone();
        insert(&self.chain, built.executed);
        block
    }

    /// Sends a transaction of the dev account `from`.
    pub(crate) async fn send(&self, from: u32, tx: TxEip1559) -> B256 {
        let raw = self.sign(from, tx);
        let hash = self.ask("eth_sendRawTransaction", [raw]).await;
        hash.as_str().unwrap().parse().unwrap()
    }

    /// A signed transaction of a dev account; a missing nonce, gas limit or price is filled in.
    pub(crate) fn sign(&self, from: u32, mut tx: TxEip1559) -> Bytes {
        let signer = account(from);
        if tx.chain_id == 0 {
            tx.chain_id = self.spec.chain_id();
        }
        if tx.gas_limit == 0 {
            tx.gas_limit = 200_000;
        }
        if tx.max_fee_per_gas == 0 {
            tx.max_fee_per_gas = 10_000_000_000;
        }
        let signature = signer.sign_transaction_sync(&mut tx).unwrap();
        Tx::Eip1559(tx.into_signed(signature)).encoded_2718().into()
    }

    /// Deploys [`STORE_AND_LOG`] as the first transaction of a dev account.
    pub(crate) async fn deploy(&self, from: u32) -> Address {
        let input = init_code(&STORE_AND_LOG);
        self.send(from, TxEip1559 { to: TxKind::Create, input, ..TxEip1559::default() }).await;
        self.mine();
        account(from).address().create(0)
    }
}

/// Code that puts `runtime` in place.
pub(crate) fn init_code(runtime: &[u8]) -> Bytes {
    copy_and(0xf3, runtime)
}

/// Code that reverts with some data.
pub(crate) fn revert_code(data: &[u8]) -> Bytes {
    copy_and(0xfd, data)
}

fn copy_and(ending: u8, data: &[u8]) -> Bytes {
    let length = u8::try_from(data.len()).unwrap();
    let mut code = vec![0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, ending];
    code.extend(data);
    code.into()
}

/// One of the well-known dev accounts.
pub(crate) fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase("test test test test test test test test test test test junk")
        .index(index)
        .unwrap()
        .build()
        .unwrap()
}

pub(crate) fn transfer(to: Address, wei: u64, nonce: u64) -> TxEip1559 {
    TxEip1559 { to: TxKind::Call(to), value: U256::from(wei), nonce, ..TxEip1559::default() }
}

pub(crate) fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no quantity"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// What L1 tells, in the form of Jovian: base fee 1 gwei, blob base fee 1 wei.
fn l1_info_deposit(l2_number: u64) -> TxDeposit {
    let mut input = hex!("3db6be2b").to_vec();
    input.extend(1_368u32.to_be_bytes());
    input.extend(810_949u32.to_be_bytes());
    input.extend(0u64.to_be_bytes());
    input.extend(1_700_000_000u64.to_be_bytes());
    input.extend(l2_number.to_be_bytes());
    input.extend(U256::from(1_000_000_000).to_be_bytes::<32>());
    input.extend(U256::from(1).to_be_bytes::<32>());
    input.extend(B256::repeat_byte(1));
    input.extend(B256::ZERO);
    input.extend(0u32.to_be_bytes());
    input.extend(7u64.to_be_bytes());
    input.extend(400u16.to_be_bytes());
    TxDeposit {
        source_hash: B256::from(U256::from(l2_number)),
        from: DEPOSITOR,
        to: TxKind::Call(L1_BLOCK),
        gas_limit: 1_000_000,
        input: input.into(),
        ..TxDeposit::default()
    }
}

/// Checks a proof's account and slots against a state root.
pub(crate) fn verify(proof: &EIP1186AccountProofResponse, root: B256) {
    let account = TrieAccount {
        nonce: proof.nonce,
        balance: proof.balance,
        storage_root: proof.storage_hash,
        code_hash: proof.code_hash,
    };
    let leaf = (account != TrieAccount::default()).then(|| alloy_rlp::encode(account));
    let key = Nibbles::unpack(keccak256(proof.address));
    verify_proof(root, key, leaf, &proof.account_proof).unwrap();
    for slot in &proof.storage_proof {
        let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
        let leaf = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        verify_proof(proof.storage_hash, key, leaf, &slot.proof).unwrap();
    }
}

fn open_chain(executor: &Executor, dir: &TempDir) -> Chain {
    Chain::open(executor.clone(), &dir.path().join("db"), ChainConfig::default()).unwrap()
}

/// Makes a block that was built here the head.
fn insert(chain: &Chain, executed: ExecutedBlock) {
    let hash = executed.block.hash();
    chain.insert(Arc::new(executed)).unwrap();
    let status = chain.set_forkchoice(hash, None, None).unwrap();
    assert_eq!(status, ForkchoiceStatus::Valid);
}
