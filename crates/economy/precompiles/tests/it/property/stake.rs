//! Random operations on agents, stake and channels.

use super::sim::{Agent, Channel, MOST_AGENTS, MOST_CHANNELS, Sim};
use rand::Rng;
use tributary_abi::address::{AGENTS, SETTLEMENT};
use tributary_abi::{IAgents, ISettlement};

impl Sim {
    pub(super) fn register(&mut self) {
        if self.agents.len() >= MOST_AGENTS && !self.chance(10) {
            return;
        }
        let (owner, operator, value) = (self.account(), self.account(), self.amount());
        let kind = self.rng.random_range(0..8u8) / 3;
        let call = IAgents::registerCall {
            kind,
            uri: "u".repeat(self.pick(60)),
            peerId: "p".repeat(self.pick(70)),
            operator: self.wallets[operator].address,
        };
        if let Some(id) = self.call("register", owner, AGENTS, value, &call) {
            self.agents.push(Agent { id, owner, operator, ..Agent::default() });
        }
    }

    pub(super) fn agent(&mut self) -> Option<usize> {
        // The latest are the ones in service.
        let count = self.agents.len();
        (count > 0).then(|| count - 1 - self.pick(count.min(10)))
    }

    pub(super) fn stake(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (from, value) = (self.account(), self.amount());
        self.call("stake", from, AGENTS, value, &IAgents::stakeCall { id: self.agents[agent].id });
    }

    pub(super) fn unstake(&mut self) {
        let Some(agent) = self.agent() else { return };
        let from = self.account();
        let id = self.agents[agent].id;
        let account = self.wallets[from].address;
        let held: IAgents::Position = self.view(AGENTS, &IAgents::positionCall { id, account });
        let shares = match self.pick(4) {
            0 => held.shares,
            1 => self.amount(),
            _ => held.shares / 3,
        };
        self.call("requestUnstake", from, AGENTS, 0, &IAgents::requestUnstakeCall { id, shares });
    }

    pub(super) fn withdraw_or_collect(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (from, id) = (self.account(), self.agents[agent].id);
        if self.chance(50) {
            self.call("withdraw", from, AGENTS, 0, &IAgents::withdrawCall { id });
        } else {
            self.call("collect", from, AGENTS, 0, &IAgents::collectCall { id });
        }
    }

    pub(super) fn change_agent(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (id, owner) = (self.agents[agent].id, self.agents[agent].owner);
        if self.chance(70) {
            let operator = self.account();
            let call = IAgents::setOperatorCall { id, operator: self.wallets[operator].address };
            if self.call("setOperator", owner, AGENTS, 0, &call).is_some() {
                self.agents[agent].operator = operator;
                self.block += 1;
                self.host.set_block(self.block, self.now);
            }
        } else if self.chance(20) {
            self.call("retire", owner, AGENTS, 0, &IAgents::retireCall { id });
        }
    }

    pub(super) fn open(&mut self) {
        if self.channels.len() >= MOST_CHANNELS && !self.chance(5) {
            return;
        }
        let Some(agent) = self.agent() else { return };
        let (payer, value) = (self.account(), self.amount());
        let call =
            ISettlement::openCall { agentId: self.agents[agent].id, signer: self.wallets[payer].address };
        if let Some(id) = self.call("open", payer, SETTLEMENT, value, &call) {
            self.agents[agent].channels.push(self.channels.len());
            self.channels.push(Channel { id, agent, payer });
        }
    }

    pub(super) fn channel(&mut self) -> Option<usize> {
        let count = self.channels.len();
        (count > 0).then(|| count - 1 - self.pick(count.min(60)))
    }

    pub(super) fn top_up(&mut self) {
        let Some(channel) = self.channel() else { return };
        let (from, value) = (self.account(), self.amount());
        let channel = self.channels[channel].id;
        self.call("topUp", from, SETTLEMENT, value, &ISettlement::topUpCall { channel });
    }

    pub(super) fn close(&mut self) {
        let Some(index) = self.channel() else { return };
        let Channel { id: channel, payer, .. } = self.channels[index];
        if self.chance(25) {
            self.call("requestClose", payer, SETTLEMENT, 0, &ISettlement::requestCloseCall { channel });
        } else {
            let from = self.account();
            self.call("close", from, SETTLEMENT, 0, &ISettlement::closeCall { channel });
        }
    }
}
