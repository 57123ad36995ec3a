//! Random operations on parameters, datanets and models, and noise.

use super::sim::{Agent, Sim};
use crate::world::{CONFIG, GOVERNOR, OPEN};
use alloy_primitives::{B256, U256, aliases::U96};
use alloy_sol_types::SolCall;
use rand::Rng;
use rand::seq::IndexedRandom;
use tributary_abi::address::{AGENTS, DATANETS, MODELS, PARAMS};
use tributary_abi::{IAgents, IDatanets, IModels, IParams};
use tributary_precompiles::key_of;

impl Sim {
    pub(super) fn govern(&mut self) {
        let (names, values): (Vec<&str>, Vec<u128>) = match self.pick(6) {
            0 => {
                let beta = self.rng.random_range(0..=5_000u128);
                (vec!["betaBps", "gammaBps", "deltaBps"], vec![beta, 2_000, 8_000 - beta])
            }
            1 => (vec!["challengeWindow"], vec![self.rng.random_range(1..=6)]),
            2 => (vec!["minStake"], vec![self.rng.random_range(1..=2 * OPEN)]),
            3 => (vec!["platformFee"], vec![self.amount()]),
            4 => (vec!["availabilityBondBase"], vec![self.rng.random_range(0..=OPEN)]),
            _ => (vec!["tokenFee"], vec![self.amount()]),
        };
        let call = IParams::setManyCall {
            keys: names.iter().map(|name| key_of(name)).collect(),
            values: values.into_iter().map(U256::from).collect(),
        };
        let from = if self.chance(90) { GOVERNOR } else { self.wallets[0].address };
        self.raw("set", from, PARAMS, 0, &call.abi_encode());
    }

    pub(super) fn contribute(&mut self) {
        let from = self.account();
        match self.pick(8) {
            0 => {
                let value = if self.chance(80) { OPEN / 1_000 } else { self.amount() };
                let call = IDatanets::createCall {
                    name: "n".repeat(1 + self.pick(40)),
                    uri: "u".repeat(self.pick(80)),
                    tokenizerHash: B256::repeat_byte(1),
                    minMatch: 8,
                };
                if let Some(id) = self.call("create", from, DATANETS, value, &call) {
                    self.datanets.push(id);
                }
            }
            1..3 => {
                let Some(id) = self.datanets.choose(&mut self.rng).copied() else { return };
                let call = crate::fixture::reveal_call(id, self.rng.random(), 5);
                let commitment = tributary_record::Contribution {
                    datanet: id,
                    contributor: self.wallets[from].address,
                    content_hash: call.contentHash,
                    tokens_root: call.tokensRoot,
                    tokens: 5,
                    salt: call.salt,
                }
                .commitment(CONFIG.chain_id);
                self.call("commitText", from, DATANETS, 0, &IDatanets::commitCall { id, commitment });
                self.commitments.push((from, call));
            }
            3..5 => {
                let Some((from, call)) = self.commitments.choose(&mut self.rng).cloned() else { return };
                let fee = self.view(PARAMS, &IParams::getCall { key: key_of("tokenFee") });
                let value = fee.saturating_mul(U256::from(5)).saturating_to();
                if let Some(id) = self.call("reveal", from, DATANETS, value, &call) {
                    self.contributions.push((from, id));
                }
            }
            5 => {
                let Some((contributor, id)) = self.contributions.choose(&mut self.rng).copied() else {
                    return;
                };
                if self.chance(40) {
                    self.call(
                        "remove",
                        contributor,
                        DATANETS,
                        0,
                        &IDatanets::removeCall { contributionId: id },
                    );
                } else {
                    let of = tributary_record::datanet_of(id);
                    let owner = self.view(DATANETS, &IDatanets::getCall { id: of }).owner;
                    let owner =
                        self.wallets.iter().position(|wallet| wallet.address == owner).unwrap_or(from);
                    self.call("reject", owner, DATANETS, 0, &IDatanets::rejectCall { contributionId: id });
                }
            }
            _ => {
                let Some(id) = self.datanets.choose(&mut self.rng).copied() else { return };
                let owner = self.view(DATANETS, &IDatanets::getCall { id }).owner;
                self.raw("seal", owner, DATANETS, 0, &IDatanets::sealCall { id }.abi_encode());
            }
        }
    }

    pub(super) fn model(&mut self) {
        let from = self.account();
        let name = format!("m{}", self.rng.random_range(0..2_000u32));
        if self.chance(30) {
            if let Some(id) = self.call("registerBase", from, MODELS, 0, &crate::fixture::base_call(&name)) {
                self.models.push((from, id));
            }
            return;
        }
        let Some((owner, id)) = self.models.choose(&mut self.rng).copied() else { return };
        match self.pick(4) {
            0 => {
                let call = crate::fixture::adapter_call(id, &name, &[]);
                if let Some(id) = self.call("registerAdapter", from, MODELS, 0, &call) {
                    self.models.push((from, id));
                }
            }
            1 => {
                let rate = U96::from(self.rng.random::<u64>());
                self.call(
                    "setRates",
                    owner,
                    MODELS,
                    0,
                    &IModels::setRatesCall { id, inRate: rate, outRate: rate },
                );
            }
            2 => {
                let to = self.wallets[from].address;
                self.call("transfer", owner, MODELS, 0, &IModels::transferCall { id, to });
                self.call("acceptTransfer", from, MODELS, 0, &IModels::acceptTransferCall { id });
            }
            _ => {
                self.call(
                    "setUri",
                    owner,
                    MODELS,
                    0,
                    &IModels::setUriCall { id, uri: "u".repeat(self.models.len() % 90) },
                );
            }
        }
    }

    /// Bytes that nobody would send: noise, and good calls with bytes changed.
    pub(super) fn garbage(&mut self) {
        let to = *tributary_abi::address::ALL.choose(&mut self.rng).unwrap();
        let mut data = match self.pick(3) {
            0 => {
                let length = self.pick(200);
                (0..length).map(|_| self.rng.random()).collect()
            }
            1 => IAgents::registerCall { kind: 0, uri: "u".into(), peerId: "p".into(), operator: to }
                .abi_encode(),
            _ => IAgents::positionCall { id: 1, account: to }.abi_encode(),
        };
        for _ in 0..self.pick(4) {
            if !data.is_empty() {
                let at = self.rng.random_range(0..data.len());
                data[at] = self.rng.random();
            }
        }
        let (owner, value) = (self.account(), self.amount());
        let from = self.wallets[owner].address;
        let output = self.raw("garbage", from, to, value, &data);
        // Some of it is good enough to register an agent, whose operator is then nobody.
        let selector = data.get(..4) == Some(&IAgents::registerCall::SELECTOR[..]);
        if let Some(output) = output.filter(|_| selector && to == AGENTS) {
            let id = IAgents::registerCall::abi_decode_returns(&output).unwrap();
            self.agents.push(Agent { id, owner, operator: owner, ..Agent::default() });
        }
    }
}
