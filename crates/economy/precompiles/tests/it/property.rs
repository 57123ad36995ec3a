//! Random operations, and what must hold after each of them.

use crate::fixture::{payouts, records};
use crate::world::{CONFIG, GOVERNOR, OPEN, TREASURY, Wallet};
use alloy_primitives::{Address, B256, Bytes, U256, aliases::U96, keccak256};
use alloy_sol_types::{SolCall, SolError};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tributary_abi::address::{AGENTS, ATTRIBUTION, DATANETS, MODELS, PARAMS, SETTLEMENT};
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement};
use tributary_precompiles::{Halt, MemoryHost, genesis, key_of};
use tributary_record::voucher::Voucher;
use tributary_record::{ALGO_ID, BatchBytes};

const OPERATIONS: u32 = 132_000;
const ACCOUNTS: usize = 24;
const MOST_AGENTS: usize = 40;
const MOST_CHANNELS: usize = 600;

#[derive(Debug, Clone)]
struct Batch {
    id: B256,
    debits: Vec<(B256, u128)>,
    fees: u128,
    bond: u128,
    payouts: Vec<(Address, u128)>,
}

#[derive(Debug, Default)]
struct Agent {
    id: u64,
    owner: usize,
    operator: usize,
    channels: Vec<usize>,
    batches: Vec<Batch>,
    payouts: Vec<(Address, u128)>,
}

#[derive(Debug)]
struct Channel {
    id: B256,
    agent: usize,
    payer: usize,
}

/// A random world, and what it should look like.
struct Sim {
    rng: ChaCha8Rng,
    host: MemoryHost,
    wallets: Vec<Wallet>,
    agents: Vec<Agent>,
    channels: Vec<Channel>,
    datanets: Vec<u64>,
    commitments: Vec<(usize, IDatanets::revealCall)>,
    contributions: Vec<(usize, u64)>,
    models: Vec<(usize, u64)>,
    /// Batches whose availability was challenged: agent and place.
    challenged: Vec<(usize, usize)>,
    block: u64,
    now: u64,
    supply: U256,
    done: BTreeMap<&'static str, (u32, u32)>,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let accounts = genesis::accounts(&genesis::GenesisParams::dev(GOVERNOR, TREASURY)).unwrap();
        let mut host = MemoryHost::from_genesis(&accounts);
        let wallets: Vec<_> = (0..ACCOUNTS).map(|n| Wallet::new(&format!("account {n}"))).collect();
        for wallet in &wallets {
            host.set_balance(wallet.address, U256::from(1_000_000 * OPEN));
        }
        let supply = host.supply();
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            host,
            wallets,
            agents: Vec::new(),
            channels: Vec::new(),
            datanets: Vec::new(),
            commitments: Vec::new(),
            contributions: Vec::new(),
            models: Vec::new(),
            challenged: Vec::new(),
            block: 0,
            now: 1_000,
            supply,
            done: BTreeMap::new(),
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn account(&mut self) -> usize {
        self.pick(ACCOUNTS)
    }

    /// An amount of any size: often sensible, sometimes nothing, sometimes absurd.
    fn amount(&mut self) -> u128 {
        match self.pick(20) {
            0 => 0,
            1 => 1,
            2 => self.rng.random::<u128>() >> 32,
            3 => u128::MAX,
            4..8 => u128::from(self.rng.random::<u32>()),
            _ => self.rng.random_range(0..20 * OPEN),
        }
    }

    fn raw(&mut self, name: &'static str, from: Address, to: Address, value: u128, data: &[u8]) -> Option<Bytes> {
        let before = self.host.state_hash();
        let result = self.host.call(&CONFIG, from, to, U256::from(value), data);
        let entry = self.done.entry(name).or_default();
        match result {
            Ok(output) => {
                entry.0 += 1;
                Some(output)
            }
            Err(halt) => {
                entry.1 += 1;
                assert_eq!(self.host.state_hash(), before, "{name} failed and left a trace");
                if let Halt::Revert(error) = &halt {
                    let short = error.get(..4) == Some(&IAgents::Overflow::SELECTOR[..]) && name != "garbage";
                    assert!(!short || value > 1 << 100 || name == "commit", "{name}: a sum failed or an escrow is short");
                }
                None
            }
        }
    }

    fn call<C: SolCall>(&mut self, name: &'static str, from: usize, to: Address, value: u128, call: &C) -> Option<C::Return> {
        let from = self.wallets[from].address;
        let output = self.raw(name, from, to, value, &call.abi_encode())?;
        Some(C::abi_decode_returns_validate(&output).unwrap())
    }

    fn view<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        let output = self.host.call(&CONFIG, Address::ZERO, to, U256::ZERO, &call.abi_encode()).unwrap();
        C::abi_decode_returns_validate(&output).unwrap()
    }

    fn tick(&mut self) {
        if self.chance(35) {
            self.block += 1;
            self.now += match self.pick(300) {
                0 => 700,
                1..4 => 25,
                4..40 => 6,
                _ => self.rng.random_range(0..3),
            };
        }
        self.host.set_block(self.block, self.now);
    }

    fn step(&mut self) {
        self.tick();
        match self.pick(100) {
            0..3 => self.register(),
            3..9 => self.stake(),
            9..14 => self.unstake(),
            14..20 => self.withdraw_or_collect(),
            20 => self.change_agent(),
            21..28 => self.open(),
            28..32 => self.top_up(),
            32..36 => self.close(),
            36..50 => self.commit(),
            50..64 => self.finalize(),
            64 => self.challenge(),
            65..74 => self.answer(),
            74..86 => self.claim(),
            86..89 => self.refund(),
            89..91 => self.govern(),
            91..95 => self.contribute(),
            95..97 => self.model(),
            _ => self.garbage(),
        }
    }

    fn register(&mut self) {
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

    fn agent(&mut self) -> Option<usize> {
        // The latest are the ones in service.
        let count = self.agents.len();
        (count > 0).then(|| count - 1 - self.pick(count.min(10)))
    }

    fn stake(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (from, value) = (self.account(), self.amount());
        self.call("stake", from, AGENTS, value, &IAgents::stakeCall { id: self.agents[agent].id });
    }

    fn unstake(&mut self) {
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

    fn withdraw_or_collect(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (from, id) = (self.account(), self.agents[agent].id);
        if self.chance(50) {
            self.call("withdraw", from, AGENTS, 0, &IAgents::withdrawCall { id });
        } else {
            self.call("collect", from, AGENTS, 0, &IAgents::collectCall { id });
        }
    }

    fn change_agent(&mut self) {
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

    fn open(&mut self) {
        if self.channels.len() >= MOST_CHANNELS && !self.chance(5) {
            return;
        }
        let Some(agent) = self.agent() else { return };
        let (payer, value) = (self.account(), self.amount());
        let call = ISettlement::openCall { agentId: self.agents[agent].id, signer: self.wallets[payer].address };
        if let Some(id) = self.call("open", payer, SETTLEMENT, value, &call) {
            self.agents[agent].channels.push(self.channels.len());
            self.channels.push(Channel { id, agent, payer });
        }
    }

    fn channel(&mut self) -> Option<usize> {
        let count = self.channels.len();
        (count > 0).then(|| count - 1 - self.pick(count.min(60)))
    }

    fn top_up(&mut self) {
        let Some(channel) = self.channel() else { return };
        let (from, value) = (self.account(), self.amount());
        let channel = self.channels[channel].id;
        self.call("topUp", from, SETTLEMENT, value, &ISettlement::topUpCall { channel });
    }

    fn close(&mut self) {
        let Some(index) = self.channel() else { return };
        let Channel { id: channel, payer, .. } = self.channels[index];
        if self.chance(25) {
            self.call("requestClose", payer, SETTLEMENT, 0, &ISettlement::requestCloseCall { channel });
        } else {
            let from = self.account();
            self.call("close", from, SETTLEMENT, 0, &ISettlement::closeCall { channel });
        }
    }

    /// Random payments from some of the agent's channels, ascending.
    fn debits(&mut self, agent: usize) -> (Vec<IAttribution::Debit>, Vec<Bytes>) {
        let channels = self.agents[agent].channels.clone();
        let wanted = self.pick(4).min(channels.len());
        let mut chosen: Vec<usize> = channels.choose_multiple(&mut self.rng, wanted).copied().collect();
        chosen.sort_by_key(|index| self.channels[*index].id);
        let mut debits = Vec::new();
        let mut signatures = Vec::new();
        for index in chosen {
            let (channel, payer) = (self.channels[index].id, self.channels[index].payer);
            let info = self.view(SETTLEMENT, &ISettlement::getChannelCall { channel });
            let free = info.deposited - info.settled;
            let amount = match self.pick(30) {
                0 => self.amount(),
                1 => free,
                _ => self.rng.random_range(0..=free / 4),
            };
            let cap = if self.chance(96) { info.settled.saturating_add(amount) } else { self.amount() };
            let cumulative = U256::from(cap);
            let request_hash = keccak256(self.rng.random::<u64>().to_be_bytes());
            let digest = Voucher { channel, cumulative, request_hash }.digest(CONFIG.chain_id);
            let signer = if self.chance(98) { payer } else { self.account() };
            signatures.push(self.wallets[signer].sign(digest));
            debits.push(IAttribution::Debit { channel, cumulative, requestHash: request_hash, amount });
        }
        (debits, signatures)
    }

    /// A split of the fees in any proportion.
    fn totals(&mut self, fees: u128) -> IAttribution::Totals {
        let mut left = fees;
        let mut part = |rng: &mut ChaCha8Rng| {
            let part = rng.random_range(0..=left) / 2;
            left -= part;
            part
        };
        let (platform, model) = (part(&mut self.rng), part(&mut self.rng));
        let (stakers, treasury) = (part(&mut self.rng), part(&mut self.rng));
        IAttribution::Totals { fees, platform, model, stakers, contributors: left, treasury }
    }

    fn commit(&mut self) {
        let Some(agent) = self.agent() else { return };
        let (debits, signatures) = self.debits(agent);
        let fees = debits.iter().fold(0u128, |sum, debit| sum.saturating_add(debit.amount));
        let totals = self.totals(fees);
        let mut paid = self.agents[agent].payouts.clone();
        let mut left = totals.model.saturating_add(totals.contributors);
        // An honest tree credits what the totals say; a false one whatever it likes.
        let honest = self.chance(90);
        while left > 0 {
            let account = self.wallets[self.rng.random_range(0..6)].address;
            let part = if self.chance(50) { left } else { left / 2 + 1 };
            let more = if honest { part } else { part.saturating_mul(3) };
            match paid.iter_mut().find(|(known, _)| *known == account) {
                Some((_, sum)) => *sum = sum.saturating_add(more),
                None => paid.push((account, more)),
            }
            left -= part;
        }
        let id = self.agents[agent].id;
        let head = self.view(ATTRIBUTION, &IAttribution::chainOfCall { agentId: id });
        let (records, tree) = records(2);
        let bytes = records.iter().map(|r| r.len() + 4).sum::<usize>() + BatchBytes::PREFIX_BYTES;
        let call = IAttribution::commitBatchCall {
            header: IAttribution::Header {
                agentId: id,
                seq: if self.chance(97) { head.lastSeq + 1 } else { self.rng.random_range(0..9) },
                prevBatch: head.lastBatch,
                batchHash: keccak256(self.rng.random::<u64>().to_be_bytes()),
                nBytes: bytes as u32,
                nRecords: 2,
                recordsRoot: tree.root(),
                payoutRoot: payouts(&paid).root(),
                nAccounts: paid.len() as u32,
                algoId: ALGO_ID,
            },
            daCommitment: vec![7; self.pick(100)].into(),
            debits: debits.clone(),
            signatures,
            totals,
        };
        let operator = self.agents[agent].operator;
        if let Some(id) = self.call("commit", operator, ATTRIBUTION, 0, &call) {
            let bond = self.view(ATTRIBUTION, &IAttribution::getBatchCall { batchId: id }).bond;
            let debits = debits.iter().map(|debit| (debit.channel, debit.amount)).collect();
            self.agents[agent].payouts = paid.clone();
            self.agents[agent].batches.push(Batch { id, debits, fees, bond, payouts: paid });
            if self.chance(12) {
                self.challenge_batch(agent, self.agents[agent].batches.len() - 1);
            }
        }
    }

    fn batch(&mut self) -> Option<(usize, usize)> {
        let agent = self.agent()?;
        let count = self.agents[agent].batches.len();
        (count > 0).then(|| (agent, count - 1 - self.pick(count.min(4))))
    }

    fn finalize(&mut self) {
        let Some(agent) = self.agent() else { return };
        let id = self.agents[agent].id;
        let head = self.view(ATTRIBUTION, &IAttribution::chainOfCall { agentId: id });
        let seq = if self.chance(95) { head.finalSeq + 1 } else { self.rng.random_range(0..20) };
        let batch_id = self.view(ATTRIBUTION, &IAttribution::batchOfCall { agentId: id, seq });
        let from = self.account();
        self.call("finalize", from, ATTRIBUTION, 0, &IAttribution::finalizeCall { batchId: batch_id });
    }

    fn challenge(&mut self) {
        if let Some((agent, batch)) = self.batch() {
            self.challenge_batch(agent, batch);
        }
    }

    fn challenge_batch(&mut self, agent: usize, batch: usize) {
        let Batch { id, bond, .. } = self.agents[agent].batches[batch].clone();
        let value = if self.chance(90) { bond } else { self.amount() };
        let from = self.account();
        let call = IAttribution::challengeAvailabilityCall { batchId: id };
        if self.call("challenge", from, ATTRIBUTION, value, &call).is_some() {
            self.challenged.push((agent, batch));
            if self.chance(75) {
                self.publish(agent, id, 0, 2);
            }
        }
    }

    /// Answers a challenge, or ends it.
    fn answer(&mut self) {
        let count = self.challenged.len();
        if count == 0 {
            return;
        }
        let recent = if self.chance(90) { count.min(4) } else { count };
        let at = count - 1 - self.pick(recent);
        let (agent, batch) = self.challenged[at];
        let id = self.agents[agent].batches[batch].id;
        let state = self.view(ATTRIBUTION, &IAttribution::getBatchCall { batchId: id });
        if self.chance(12) {
            let from = self.account();
            self.call("timeout", from, ATTRIBUTION, 0, &IAttribution::timeoutCall { batchId: id });
            return;
        }
        let first = if self.chance(90) { state.published } else { 1 };
        let end = (first as usize + 1 + self.pick(2)).min(2);
        self.publish(agent, id, first, end);
    }

    fn publish(&mut self, agent: usize, id: B256, first: u32, end: usize) {
        let (records, tree) = records(2);
        let range = (first as usize).min(end)..end;
        let call = IAttribution::publishCall {
            batchId: id,
            firstIndex: first,
            proofs: range.clone().flat_map(|n| tree.proof(n as u64).unwrap()).collect(),
            records: records[range].to_vec(),
        };
        let operator = self.agents[agent].operator;
        self.call("publish", operator, ATTRIBUTION, 0, &call);
    }

    fn claim(&mut self) {
        let Some((agent, batch)) = self.batch() else { return };
        let accounts = self.agents[agent].batches[batch].payouts.clone();
        if accounts.is_empty() {
            return;
        }
        let index = self.pick(accounts.len());
        let (account, amount) = accounts[index];
        let mut proof = payouts(&accounts).proof(index as u64).unwrap();
        if self.chance(5) {
            proof[self.rng.random_range(0..32)] = B256::repeat_byte(1);
        }
        let call = ISettlement::claimCall {
            agentId: self.agents[agent].id,
            seq: batch as u64 + 1,
            index: index as u32,
            account,
            cumulative: U256::from(if self.chance(95) { amount } else { self.amount() }),
            proof,
        };
        let from = self.account();
        self.call("claim", from, SETTLEMENT, 0, &call);
    }

    fn refund(&mut self) {
        let count = self.agents.len();
        if count == 0 {
            return;
        }
        let agent = self.pick(count);
        let Some(batch) = self.agents[agent].batches.choose(&mut self.rng).cloned() else { return };
        let mut debits: Vec<_> = batch
            .debits
            .iter()
            .map(|(channel, amount)| ISettlement::ChannelAmount { channel: *channel, amount: *amount })
            .collect();
        if self.chance(5) {
            debits.pop();
        }
        let from = self.account();
        self.call("refund", from, SETTLEMENT, 0, &ISettlement::refundCall { batchId: batch.id, debits });
    }

    fn govern(&mut self) {
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

    fn contribute(&mut self) {
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
                let Some((contributor, id)) = self.contributions.choose(&mut self.rng).copied() else { return };
                if self.chance(40) {
                    self.call("remove", contributor, DATANETS, 0, &IDatanets::removeCall { contributionId: id });
                } else {
                    let of = tributary_record::datanet_of(id);
                    let owner = self.view(DATANETS, &IDatanets::getCall { id: of }).owner;
                    let owner = self.wallets.iter().position(|wallet| wallet.address == owner).unwrap_or(from);
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

    fn model(&mut self) {
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
                self.call("setRates", owner, MODELS, 0, &IModels::setRatesCall { id, inRate: rate, outRate: rate });
            }
            2 => {
                let to = self.wallets[from].address;
                self.call("transfer", owner, MODELS, 0, &IModels::transferCall { id, to });
                self.call("acceptTransfer", from, MODELS, 0, &IModels::acceptTransferCall { id });
            }
            _ => {
                self.call("setUri", owner, MODELS, 0, &IModels::setUriCall { id, uri: "u".repeat(self.models.len() % 90) });
            }
        }
    }

    /// Bytes that nobody would send: noise, and good calls with bytes changed.
    fn garbage(&mut self) {
        let to = *tributary_abi::address::ALL.choose(&mut self.rng).unwrap();
        let mut data = match self.pick(3) {
            0 => {
                let length = self.pick(200);
                (0..length).map(|_| self.rng.random()).collect()
            }
            1 => IAgents::registerCall { kind: 0, uri: "u".into(), peerId: "p".into(), operator: to }.abi_encode(),
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

    /// What each address owes is what it has, to the wei.
    fn audit(&mut self) {
        assert_eq!(self.host.supply(), self.supply, "no wei is made or lost");
        let balance = |sim: &Self, at| sim.host.balance(at).saturating_to::<u128>();
        for at in [DATANETS, MODELS, PARAMS] {
            assert_eq!(balance(self, at), 0);
        }
        let (mut escrow, mut bonds, mut staked) = (0u128, 0u128, 0u128);
        let (mut earned, mut collectable) = (0u128, 0u128);
        for index in 0..self.channels.len() {
            let info = self.view(SETTLEMENT, &ISettlement::getChannelCall { channel: self.channels[index].id });
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

fn run(seed: u64, operations: u32) -> BTreeMap<&'static str, (u32, u32)> {
    let mut sim = Sim::new(seed);
    for n in 0..operations {
        sim.step();
        if n % 250 == 0 {
            sim.audit();
            assert_eq!(sim.host.supply(), sim.supply);
        }
        if n % 5_000 == 0 {
            assert_eq!(sim.host.state_hash(), sim.host.recomputed_state_hash());
        }
    }
    sim.audit();
    sim.done
}

#[test]
fn random_operations_conserve_every_wei() {
    let mut done: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for seed in 0..6 {
        for (name, (ok, refused)) in run(seed, OPERATIONS / 6) {
            let sum = done.entry(name).or_default();
            *sum = (sum.0 + ok, sum.1 + refused);
        }
    }
    println!("{done:#?}");
    for (name, (ok, _)) in &done {
        assert!(*ok >= 20 || *name == "garbage", "{name} succeeded only {ok} times: {done:?}");
    }
    assert!(done.len() >= 28, "{done:?}");
    let calls: u32 = done.values().map(|(ok, refused)| ok + refused).sum();
    assert!(calls >= 100_000, "{calls}");
}
