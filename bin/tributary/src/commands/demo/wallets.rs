//! Who takes part, each with a key of its own.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use eyre::Result;
use tributary_abi::{ISettlement, address::SETTLEMENT};

use super::{Narrator, setup::Stage};
use crate::{
    commands::WorkerStatus,
    economy::param,
    wallet::{Client, dev_signer},
};

/// Contributors; the documents are dealt to them in turn.
const CONTRIBUTORS: u32 = 6;
/// The first index of the dev mnemonic that the demo takes for itself; the ten funded accounts stay the user's.
const FIRST: u32 = 100;
/// What each wallet is given when it has less than half of it.
const ALLOWANCE: u128 = 20 * 1_000_000_000_000_000_000;

/// The wallets.
#[derive(Debug)]
pub(super) struct Wallets {
    pub(super) payer: Client,
    pub(super) builder: Client,
    pub(super) curator: Client,
    /// Owns and stakes the agent; the node itself holds the operator's key.
    pub(super) staker: Client,
    pub(super) contributors: Vec<Client>,
    pub(super) treasury: Address,
}

/// Balances and the channel's figure before the first question.
#[derive(Clone, Debug)]
pub(super) struct Before {
    /// The block at whose end they were so.
    pub(super) block: u64,
    pub(super) balances: BTreeMap<Address, U256>,
    pub(super) settled: u128,
}

impl Wallets {
    /// Derives the wallets, and gives each enough to act.
    pub(super) async fn fund(funder: &Client, status: &WorkerStatus, narrator: &Narrator) -> Result<Self> {
        let wallet = |index: u32| Ok::<_, eyre::Report>(funder.with_signer(dev_signer(FIRST + index)?));
        let treasury = Address::from_word(param(funder, "treasury").await?.into());
        let wallets = Self {
            payer: wallet(0)?,
            builder: wallet(1)?,
            curator: wallet(2)?,
            staker: wallet(3)?,
            contributors: (0..CONTRIBUTORS).map(|index| wallet(10 + index)).collect::<Result<_>>()?,
            treasury,
        };
        let mut receivers: Vec<Address> = wallets.all().iter().map(|client| client.address()).collect();
        receivers.push(status.operator);
        let bar = narrator.bar(receivers.len(), "fund wallets");
        for receiver in receivers {
            if funder.balance(receiver).await? < U256::from(ALLOWANCE / 2) {
                funder.transfer(receiver, U256::from(ALLOWANCE)).await?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(wallets)
    }

    /// Every wallet that acts here.
    pub(super) fn all(&self) -> Vec<&Client> {
        let mut all = vec![&self.payer, &self.builder, &self.curator, &self.staker];
        all.extend(&self.contributors);
        all
    }

    /// How everything stands now.
    pub(super) async fn balances(&self, stage: &Stage) -> Result<Before> {
        let block = self.payer.block_number().await?;
        let mut balances = BTreeMap::new();
        for account in self.all().iter().map(|client| client.address()).chain([self.treasury]) {
            balances.insert(account, self.payer.balance_at(account, block).await?);
        }
        Ok(Before { block, balances, settled: self.settled(stage, block).await? })
    }

    /// What the channel has paid at the end of a block.
    pub(super) async fn settled(&self, stage: &Stage, block: u64) -> Result<u128> {
        let call = ISettlement::getChannelCall { channel: stage.channel };
        Ok(self.payer.call_at(SETTLEMENT, &call, block.into()).await?.settled)
    }
}
