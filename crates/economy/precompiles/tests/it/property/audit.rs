//! What must hold at any time.

use super::sim::{ACCOUNTS, Batch, Sim};
use tributary_abi::address::{AGENTS, ATTRIBUTION, DATANETS, MODELS, PARAMS, SETTLEMENT};
use tributary_abi::{IAgents, IAttribution, ISettlement};

impl Sim {
    /// What each address owes is what it has, to the wei.
    pub(super) fn audit(&mut self) {
        assert_eq!(self.host.supply(), self.supply, "no wei is made or lost");
        let balance = |sim: &Self, at| sim.host.balance(at).saturating_to::<u128>();
        for at in [DATANETS, MODELS, PARAMS] {
            assert_eq!(balance(self, at), 0);
        }
        let (mut escrow, mut bonds, mut staked) = (0u128, 0u128, 0u128);
        let (mut earned, mut collectable) = (0u128, 0u128);
        for index in 0..self.channels.len() {
            let info =
                self.view(SETTLEMENT, &ISettlement::getChannelCall { channel: self.channels[index].id });
            assert!(info.settled <= info.deposited);
            if info.status != 3 {
                escrow += info.deposited - info.settled;
            }
            assert_eq!(info.agentId, self.agents[self.channels[index].agent].id);
        }
        for index in 0..self.agents.len() {
            let id = self.agents[index].id;
            for batch in 0..self.agents[index].batches.len() {
                let Batch { id, fees, bond, .. } = self.agents[index].batches[batch];
                let state = self.view(ATTRIBUTION, &IAttribution::getBatchCall { batchId: id });
                if state.status == 1 || (state.status == 3 && !state.refunded) {
                    escrow += fees;
                }
                if state.respondBy != 0 {
                    bonds += bond;
                }
            }
            let ledger = self.view(SETTLEMENT, &ISettlement::creditedOfCall { agentId: id });
            assert!(ledger.claimed <= ledger.credited, "claims are bounded by final batches");
            escrow += ledger.credited - ledger.claimed;
            let mut claimed = 0;
            let state = self.view(AGENTS, &IAgents::getCall { id });
            let reward = self.view(AGENTS, &IAgents::rewardOfCall { id }).amount;
            staked += state.assets + reward;
            let (mut shares, mut earning) = (0u128, 0u128);
            for account in 0..ACCOUNTS {
                let account = self.wallets[account].address;
                claimed += self.view(SETTLEMENT, &ISettlement::claimedOfCall { agentId: id, account });
                let held = self.view(AGENTS, &IAgents::positionCall { id, account });
                shares += held.shares;
                earning += held.earningShares;
                collectable += held.earned;
            }
            assert_eq!(claimed, ledger.claimed);
            assert_eq!(shares, state.shares, "shares are held by somebody");
            assert_eq!(earning, state.earningShares);
            earned += 1 + ACCOUNTS as u128;
        }
        assert_eq!(balance(self, SETTLEMENT), escrow, "escrow");
        assert_eq!(balance(self, ATTRIBUTION), bonds, "bonds");
        let kept = balance(self, AGENTS).checked_sub(staked).expect("stake is never short");
        assert!(collectable <= kept, "earnings are there to be collected");
        assert!(kept - collectable <= earned, "and but for fractions of a wei nothing else is");
    }
}
