//! Reading the economy from state, without an EVM: the same functions over a storage reader.

use crate::entry::{Invocation, execute};
use crate::host::{Halt, Host};
use crate::machine::Machine;
use crate::params::{self, Param};
use crate::storage::low_u128;
use crate::{EconomyConfig, datanets, models, settlement};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use tributary_abi::{IDatanets, ISettlement};
use tributary_record::fees::{Rates, SplitParams};
use tributary_record::{
    AdapterAt, ChainView, ChannelAt, ContributionAt, EpochAt, ModelAt, ParamsAt, Source, Standing,
    TraceBounds, ViewError,
};

/// A storage reader of one block's state.
pub trait StorageRead {
    /// A slot's value, zero when it was never written.
    ///
    /// # Errors
    /// A description of why the state could not be read.
    fn read(&self, contract: Address, slot: U256) -> Result<U256, String>;
}

impl<T: StorageRead + ?Sized> StorageRead for &T {
    fn read(&self, contract: Address, slot: U256) -> Result<U256, String> {
        (**self).read(contract, slot)
    }
}

/// Why a view has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The function reverted, with this ABI custom error.
    #[error("reverted with {0}")]
    Reverted(Bytes),
    /// The state could not be read; worth another try.
    #[error("reading the state failed: {0}")]
    State(String),
}

impl From<Halt> for ReadError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Revert(bytes) => Self::Reverted(bytes),
            Halt::OutOfGas => Self::State("out of gas".to_owned()),
            Halt::Fatal(reason) => Self::State(reason),
        }
    }
}

/// A host that only reads; gas does not count.
struct ReadHost<'a> {
    storage: &'a dyn StorageRead,
    block: u64,
    timestamp: u64,
}

fn read_only() -> Halt {
    Halt::Fatal("a read changed the state".to_owned())
}

impl Host for ReadHost<'_> {
    fn sload(&mut self, contract: Address, slot: U256) -> Result<U256, Halt> {
        self.storage.read(contract, slot).map_err(Halt::Fatal)
    }

    fn sstore(&mut self, _: Address, _: U256, _: U256) -> Result<(), Halt> {
        Err(read_only())
    }

    fn transfer(&mut self, _: Address, _: Address, _: U256) -> Result<bool, Halt> {
        Err(read_only())
    }

    fn log(&mut self, _: Log) -> Result<(), Halt> {
        Err(read_only())
    }

    fn charge(&mut self, _: u64) -> Result<(), Halt> {
        Ok(())
    }

    fn block_number(&self) -> u64 {
        self.block
    }

    fn timestamp(&self) -> u64 {
        self.timestamp
    }
}

/// Calls a view of one of the six interfaces on a block's state.
///
/// # Errors
/// When the view reverts (a function that is no view does), or the state cannot be read.
pub fn view(
    config: &EconomyConfig,
    storage: &dyn StorageRead,
    (block, timestamp): (u64, u64),
    contract: Address,
    data: &[u8],
) -> Result<Bytes, ReadError> {
    let mut host = ReadHost { storage, block, timestamp };
    let call = Invocation {
        code: contract,
        target: contract,
        caller: Address::ZERO,
        value: U256::ZERO,
        is_static: true,
        data,
    };
    execute(config, &mut host, &call).map_err(ReadError::from)
}

/// The state of one block as the check of records wants to see it.
#[derive(Debug, Clone, Copy)]
pub struct ChainReader<'a, S> {
    config: &'a EconomyConfig,
    storage: S,
    block: u64,
    timestamp: u64,
    recorded: fn(B256, B256) -> bool,
}

impl<'a, S: StorageRead> ChainReader<'a, S> {
    /// A view of the state after `block`. It knows single records only: see [`Self::with_recorded`].
    pub const fn new(config: &'a EconomyConfig, storage: S, (block, timestamp): (u64, u64)) -> Self {
        Self { config, storage, block, timestamp, recorded: |_, _| false }
    }

    /// With an answer to whether an earlier batch holds a request, which state alone does not tell.
    #[must_use]
    pub const fn with_recorded(mut self, recorded: fn(B256, B256) -> bool) -> Self {
        self.recorded = recorded;
        self
    }

    /// Runs on a machine; a revert means that there is no such thing.
    fn ask<T>(&self, ask: impl FnOnce(&mut Machine<'_>) -> Result<T, Halt>) -> Result<Option<T>, ViewError> {
        let mut host = ReadHost { storage: &self.storage, block: self.block, timestamp: self.timestamp };
        let mut machine = Machine::new(&mut host, self.config, Address::ZERO, U256::ZERO);
        match ask(&mut machine) {
            Ok(found) => Ok(Some(found)),
            Err(Halt::Revert(_)) => Ok(None),
            Err(Halt::OutOfGas) => Err(ViewError("out of gas".to_owned())),
            Err(Halt::Fatal(reason)) => Err(ViewError(reason)),
        }
    }
}

fn params_at(m: &mut Machine<'_>, block: u64) -> Result<ParamsAt, Halt> {
    let mut amount = |param| params::at(m, param, block).map(low_u128);
    Ok(ParamsAt {
        split: SplitParams {
            platform_fee: amount(Param::PlatformFee)?,
            model_bps: amount(Param::Beta)? as u32,
            stakers_bps: amount(Param::Gamma)? as u32,
            base_share_bps: amount(Param::BaseShare)? as u32,
        },
        max_record_age: amount(Param::MaxRecordAge)? as u64,
        max_record_bytes: amount(Param::MaxRecordBytes)? as u32,
        bounds: TraceBounds::new(amount(Param::MaxSpans)? as u32, amount(Param::MaxPayees)? as u32),
    })
}

/// A model with what holds at a block; `None` before it was registered.
fn model_at(
    m: &mut Machine<'_>,
    id: u64,
    block: u64,
) -> Result<Option<(tributary_abi::IModels::Model, Rates, Address, bool)>, Halt> {
    use tributary_abi::IModels::{getCall, ownerAtCall, retiredAtCall};
    let model = models::get(m, getCall { id })?;
    if model.registeredBlock > block {
        return Ok(None);
    }
    let rates = models::rates(m, id, block)?;
    let owner = models::owner_at(m, ownerAtCall { id, blockNumber: block })?;
    let retired = models::retired_at(m, retiredAtCall { id, blockNumber: block })?;
    Ok(Some((model, rates, owner, retired)))
}

impl<S: StorageRead> ChainView for ChainReader<'_, S> {
    fn chain_id(&self) -> u64 {
        self.config.chain_id
    }

    fn params(&self, block: u64) -> Result<ParamsAt, ViewError> {
        let params = self.ask(|m| params_at(m, block))?;
        params.ok_or_else(|| ViewError("no parameters".to_owned()))
    }

    fn model(&self, id: u64, block: u64) -> Result<Option<ModelAt>, ViewError> {
        let found = self.ask(|m| model_at(m, id, block))?.flatten();
        Ok(found.filter(|(model, ..)| model.baseId == 0).map(|(model, rates, owner, retired)| ModelAt {
            owner,
            rates,
            retired,
            tokenizer_hash: model.tokenizerHash,
            profile_hash: model.profileHash,
        }))
    }

    fn adapter(&self, id: u64, block: u64) -> Result<Option<AdapterAt>, ViewError> {
        let found = self.ask(|m| model_at(m, id, block))?.flatten();
        Ok(found.filter(|(model, ..)| model.baseId != 0).map(|(model, rates, owner, retired)| AdapterAt {
            base: model.baseId,
            owner,
            rates,
            retired,
            sources: model
                .sources
                .iter()
                .map(|source| Source { datanet: source.datanetId, epoch: source.epoch })
                .collect(),
        }))
    }

    fn epoch(&self, source: Source) -> Result<Option<EpochAt>, ViewError> {
        self.ask(|m| {
            let (id, epoch) = (source.datanet, source.epoch);
            let sealed = datanets::get_epoch(m, IDatanets::getEpochCall { id, epoch })?;
            let datanet = datanets::get(m, IDatanets::getCall { id })?;
            Ok(EpochAt { count: sealed.count, min_match: datanet.minMatch })
        })
    }

    fn contribution(&self, id: u64) -> Result<Option<ContributionAt>, ViewError> {
        self.ask(|m| {
            let found = datanets::get_contribution(m, IDatanets::getContributionCall { contributionId: id })?;
            Ok(ContributionAt {
                contributor: found.contributor,
                tokens: found.tokens,
                commit_block: found.commitBlock,
                standing: match (found.rejected, found.removedEpoch) {
                    (true, _) => Standing::Rejected,
                    (false, 0) => Standing::Live,
                    (false, epoch) => Standing::RemovedFrom(epoch),
                },
            })
        })
    }

    fn channel(&self, id: B256) -> Result<Option<ChannelAt>, ViewError> {
        self.ask(|m| {
            let found = settlement::get_channel(m, ISettlement::getChannelCall { channel: id })?;
            Ok(ChannelAt {
                agent_id: found.agentId,
                signer: found.signer,
                deposited: found.deposited,
                settled: found.settled,
            })
        })
    }

    fn recorded(&self, channel: B256, request_id: B256) -> Result<bool, ViewError> {
        Ok((self.recorded)(channel, request_id))
    }
}
