//! Blocks made here: forced transactions first, then what the source offers, then the header.

use alloy_consensus::{
    BlockBody, EMPTY_OMMER_ROOT_HASH, constants::EMPTY_WITHDRAWALS, proofs::calculate_transaction_root,
    transaction::Recovered,
};
use alloy_eips::{Encodable2718, Typed2718, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bytes, Sealable, U256};
use op_alloy_consensus::OpTxType;
use tributary_spec::{ChainSpec, ExtraData, Header, OpHardfork, RecoveredBlock, SealedHeader, Tx};
use tributary_state::StateRef;

use crate::{
    AttributesError, BuildError, ExecutedBlock, Executor, NextBlock, TxFault, estimated_da_size,
    header::MAX_GAS_LIMIT,
    run::{BlockRun, RunError, tip},
    seal::Outcome,
};

/// Largest encoded block: what gossip carries.
pub const MAX_BLOCK_BYTES: usize = 10 * 1024 * 1024;

/// Room for header, list prefixes and the empty lists of a body.
const BLOCK_OVERHEAD: usize = 2048;

/// Gas of the cheapest transaction: below it there is no point in asking for more.
const MIN_TX_GAS: u64 = 21_000;

/// What a block is to be made of; payload attributes, decoded.
#[derive(Debug, Clone, Default)]
pub struct BuildAttributes {
    /// Unix time, in seconds.
    pub timestamp: u64,
    /// `PREVRANDAO`.
    pub prev_randao: B256,
    /// Coinbase.
    pub fee_recipient: Address,
    /// EIP-4788; from Ecotone on.
    pub parent_beacon_block_root: Option<B256>,
    /// Gas limit; not bound to the parent's.
    pub gas_limit: u64,
    /// EIP-1559 parameters as on the wire; from Holocene on. Zero: the chain's constants.
    pub eip1559_params: Option<B64>,
    /// Floor of the next base fee, wei; from Jovian on.
    pub min_base_fee: Option<u64>,
    /// Transactions that must be in the block, in this order, first.
    pub transactions: Vec<Recovered<Tx>>,
    /// Nothing but forced transactions.
    pub no_tx_pool: bool,
    /// Limits the batcher has set on pool transactions.
    pub da_caps: DaCaps,
    /// Encoded size of the block, bytes, beyond which no offered transaction is taken; never more than
    /// [`MAX_BLOCK_BYTES`], which `None` means.
    pub max_bytes: Option<u64>,
}

/// Limits in bytes of estimated compressed size ([`estimated_da_size`]); `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DaCaps {
    /// Of one pool transaction.
    pub max_tx: Option<u64>,
    /// Of all pool transactions of a block.
    pub max_block: Option<u64>,
}

/// Where transactions beyond the forced ones come from, best first.
pub trait TransactionSource {
    /// The next candidate; `None` ends the block.
    fn next(&mut self) -> Option<Recovered<Tx>>;

    /// The candidate did not make it. Its descendants cannot either and must not be offered any more.
    fn reject(&mut self, hash: B256, why: &Rejection);
}

/// Nothing but forced transactions.
impl TransactionSource for () {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        None
    }

    fn reject(&mut self, _: B256, _: &Rejection) {}
}

/// Why a candidate is not in the block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It does not fit what is left of this block; a later block may take it.
    #[error("{0}")]
    DoesNotFit(TxFault),
    /// The block would be larger than it may be.
    #[error("the block would be larger than {limit} bytes")]
    BlockBytes {
        /// The limit.
        limit: usize,
    },
    /// The transaction is beyond the batcher's limit of a transaction.
    #[error("estimated size {size} is beyond the DA limit of {limit} a transaction")]
    DaTx {
        /// Estimated compressed size, bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The block would be beyond the batcher's limit of a block.
    #[error("the block would be beyond the DA limit of {limit}")]
    DaBlock {
        /// The limit, bytes.
        limit: u64,
    },
    /// It cannot be executed on this state; the source should drop it.
    #[error("{0}")]
    Invalid(TxFault),
}

impl Rejection {
    /// Whether the transaction may still be good for a later block.
    pub const fn is_temporary(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }
}

/// A block built here. It need not be executed again.
#[derive(Debug, Clone)]
pub struct Built {
    /// The block and all it did.
    pub executed: ExecutedBlock,
    /// What its builder earns, wei.
    pub fees: U256,
}

impl Executor {
    /// Builds a child of `parent` on its state.
    ///
    /// A forced transaction that cannot be executed is an error, never skipped. A candidate of the source that cannot is
    /// rejected and the next one tried.
    pub fn build(
        &self,
        parent: &SealedHeader,
        attributes: BuildAttributes,
        state: StateRef,
        source: &mut dyn TransactionSource,
    ) -> Result<Built, BuildError> {
        let spec = self.spec();
        let mut header = open_header(spec, parent, &attributes)?;
        let env = self.evm_env(&header);
        let mut run = BlockRun::new(self, env, StateRef::clone(&state));
        run.begin(parent.hash(), attributes.parent_beacon_block_root)
            .map_err(|e| build_error(e, 0, B256::ZERO))?;
        let mut block = Filling::new(&header, &attributes);
        let deposits_only = spec.deposits_only(parent.timestamp, attributes.timestamp);
        block.take_forced(&mut run, attributes.transactions, deposits_only)?;
        if !attributes.no_tx_pool && !deposits_only {
            block.take_offered(&mut run, source)?;
        }
        let Filling { transactions, senders, fees, .. } = block;
        let outcome = Outcome::compute(spec, header.timestamp, &state, run.finish())?;
        close_header(spec, &mut header, &transactions, &outcome);
        let withdrawals = header.withdrawals_root.is_some().then(Default::default);
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        let block = RecoveredBlock::new_unchecked(header.seal_slow(), body, senders);
        Ok(Built { executed: outcome.into_executed(block), fees })
    }

    /// What the block to be built from these attributes looks like to the EVM, before there is a block.
    pub fn attributes_env(
        &self,
        parent: &SealedHeader,
        attributes: &BuildAttributes,
    ) -> Result<crate::Env, AttributesError> {
        let next = NextBlock {
            timestamp: attributes.timestamp,
            fee_recipient: attributes.fee_recipient,
            prev_randao: attributes.prev_randao,
            gas_limit: attributes.gas_limit,
        };
        self.next_env(parent, next).map_err(AttributesError::ParentExtraData)
    }

    /// Checks attributes against the parent and the forks, without building.
    pub fn check_attributes(
        &self,
        parent: &SealedHeader,
        attributes: &BuildAttributes,
    ) -> Result<(), AttributesError> {
        open_header(self.spec(), parent, attributes).map(|_| ())
    }
}

/// Checks the attributes and fills in what is known before execution.
fn open_header(
    spec: &ChainSpec,
    parent: &SealedHeader,
    attributes: &BuildAttributes,
) -> Result<Header, AttributesError> {
    let (timestamp, gas_limit) = (attributes.timestamp, attributes.gas_limit);
    if timestamp <= parent.timestamp {
        return Err(AttributesError::Timestamp { timestamp, parent: parent.timestamp });
    }
    if gas_limit > MAX_GAS_LIMIT {
        return Err(AttributesError::GasLimit(gas_limit));
    }
    let ecotone = spec.forks().active(OpHardfork::Ecotone, timestamp);
    match attributes.parent_beacon_block_root {
        None if ecotone => return Err(AttributesError::MissingBeaconRoot),
        Some(_) if !ecotone => return Err(AttributesError::UnexpectedBeaconRoot),
        _ => {}
    }
    Ok(Header {
        parent_hash: parent.hash(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: attributes.fee_recipient,
        number: parent.number + 1,
        gas_limit,
        timestamp,
        extra_data: extra_data(spec, attributes)?,
        mix_hash: attributes.prev_randao,
        base_fee_per_gas: Some(
            spec.next_base_fee(parent, timestamp).map_err(AttributesError::ParentExtraData)?,
        ),
        parent_beacon_block_root: attributes.parent_beacon_block_root,
        ..Header::default()
    })
}

fn extra_data(spec: &ChainSpec, attributes: &BuildAttributes) -> Result<Bytes, AttributesError> {
    let active = |fork| spec.forks().active(fork, attributes.timestamp);
    let params = match attributes.eip1559_params {
        None if active(OpHardfork::Holocene) => return Err(AttributesError::MissingEip1559Params),
        Some(_) if !active(OpHardfork::Holocene) => return Err(AttributesError::UnexpectedEip1559Params),
        None => None,
        Some(wire) => Some(
            spec.resolve_eip1559_params(wire, attributes.timestamp)
                .map_err(AttributesError::Eip1559Params)?,
        ),
    };
    match (params, attributes.min_base_fee) {
        (_, None) if active(OpHardfork::Jovian) => Err(AttributesError::MissingMinBaseFee),
        (_, Some(_)) if !active(OpHardfork::Jovian) => Err(AttributesError::UnexpectedMinBaseFee),
        (None, _) => Ok(Bytes::new()),
        (Some(params), None) => Ok(ExtraData::Holocene(params).encode()),
        (Some(params), Some(min_base_fee)) => Ok(ExtraData::Jovian { params, min_base_fee }.encode()),
    }
}

/// Fills in what execution told.
pub(crate) fn close_header(spec: &ChainSpec, header: &mut Header, transactions: &[Tx], outcome: &Outcome) {
    let active = |fork| spec.forks().active(fork, header.timestamp);
    let (canyon, ecotone) = (active(OpHardfork::Canyon), active(OpHardfork::Ecotone));
    let requests_hash = active(OpHardfork::Isthmus).then_some(EMPTY_REQUESTS_HASH);
    let footprint = if active(OpHardfork::Jovian) { outcome.da_footprint } else { 0 };
    header.transactions_root = calculate_transaction_root(transactions);
    header.receipts_root = outcome.receipts_root;
    header.state_root = outcome.state_root;
    header.logs_bloom = outcome.logs_bloom;
    header.gas_used = outcome.gas_used;
    header.withdrawals_root = outcome.withdrawals_root.or_else(|| canyon.then_some(EMPTY_WITHDRAWALS));
    header.blob_gas_used = ecotone.then_some(footprint);
    header.excess_blob_gas = ecotone.then_some(0);
    header.requests_hash = requests_hash;
}

/// A block being filled.
struct Filling {
    transactions: Vec<Tx>,
    senders: Vec<Address>,
    fees: U256,
    base_fee: u64,
    bytes: usize,
    da_bytes: u64,
    caps: DaCaps,
    max_bytes: usize,
}

impl Filling {
    fn new(header: &Header, attributes: &BuildAttributes) -> Self {
        Self {
            transactions: Vec::with_capacity(attributes.transactions.len()),
            senders: Vec::with_capacity(attributes.transactions.len()),
            fees: U256::ZERO,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            bytes: BLOCK_OVERHEAD,
            da_bytes: 0,
            caps: attributes.da_caps,
            max_bytes: attributes
                .max_bytes
                .and_then(|limit| usize::try_from(limit).ok())
                .map_or(MAX_BLOCK_BYTES, |limit| limit.min(MAX_BLOCK_BYTES)),
        }
    }

    fn take_forced(
        &mut self,
        run: &mut BlockRun<'_>,
        forced: Vec<Recovered<Tx>>,
        deposits_only: bool,
    ) -> Result<(), BuildError> {
        for (index, tx) in forced.into_iter().enumerate() {
            if deposits_only && !tx.is_deposit() {
                return Err(AttributesError::UserTransactionAtActivation(index).into());
            }
            let gas = run
                .execute(tx.as_recovered_ref())
                .map_err(|error| build_error(error, index, tx.tx_hash()))?;
            let size = encoded_size(&tx);
            self.push(tx, gas, size);
        }
        Ok(())
    }

    fn take_offered(
        &mut self,
        run: &mut BlockRun<'_>,
        source: &mut dyn TransactionSource,
    ) -> Result<(), BuildError> {
        while run.gas_left() >= MIN_TX_GAS {
            let Some(tx) = source.next() else { break };
            let size = encoded_size(&tx);
            let da_size = estimated_da_size(&tx.encoded_2718());
            if let Err(why) = self.admit(&tx, size, da_size) {
                source.reject(tx.tx_hash(), &why);
                continue;
            }
            match run.execute(tx.as_recovered_ref()) {
                Ok(gas) => {
                    self.da_bytes += da_size;
                    self.push(tx, gas, size);
                }
                Err(RunError::Tx(fault)) => source.reject(tx.tx_hash(), &rejection(fault)),
                Err(error) => return Err(build_error(error, 0, tx.tx_hash())),
            }
        }
        Ok(())
    }

    fn admit(&self, tx: &Tx, size: usize, da_size: u64) -> Result<(), Rejection> {
        if matches!(tx.tx_type(), OpTxType::Deposit | OpTxType::PostExec) {
            return Err(Rejection::Invalid(TxFault::Type(tx.ty())));
        }
        if self.bytes + size > self.max_bytes {
            return Err(Rejection::BlockBytes { limit: self.max_bytes });
        }
        match self.caps {
            DaCaps { max_tx: Some(limit), .. } if da_size > limit => {
                Err(Rejection::DaTx { size: da_size, limit })
            }
            DaCaps { max_block: Some(limit), .. } if self.da_bytes.saturating_add(da_size) > limit => {
                Err(Rejection::DaBlock { limit })
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, tx: Recovered<Tx>, gas: u64, size: usize) {
        if !tx.is_deposit() {
            self.fees += tip(&tx, self.base_fee, gas);
        }
        self.bytes += size;
        let (tx, sender) = tx.into_parts();
        self.transactions.push(tx);
        self.senders.push(sender);
    }
}

fn rejection(fault: TxFault) -> Rejection {
    match fault {
        TxFault::Gas { .. } | TxFault::DaFootprint { .. } => Rejection::DoesNotFit(fault),
        fault => Rejection::Invalid(fault),
    }
}

/// Bytes a transaction takes in an encoded block.
fn encoded_size(tx: &Tx) -> usize {
    alloy_rlp::Encodable::length(tx)
}

fn build_error(error: RunError, index: usize, hash: B256) -> BuildError {
    match error {
        RunError::Tx(fault) => BuildError::Forced { index, hash, fault },
        RunError::State(error) => BuildError::State(error),
        RunError::Internal(error) => BuildError::Internal(error),
    }
}
