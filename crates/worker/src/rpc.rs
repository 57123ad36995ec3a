//! Answers of `tributary_*`: the chain's registry, and what this worker keeps.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256, hex};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement, address};
use tributary_batch::RecordTree;
use tributary_record::{BatchBytes, Record, Totals};
use tributary_rpc::{ModelKey, TributaryApi, TributaryError, TributaryEvents, TributaryQuery};

use crate::{
    chain::{ChainError, Registry, call_view},
    status::Status,
    store::{BatchEntry, BatchState, Store, StoreError},
};

type Answer = Result<Value, TributaryError>;

/// Serves the reads of one worker.
#[derive(Debug)]
pub struct WorkerApi {
    registry: Registry,
    store: Store,
    status: Arc<Status>,
    batches: broadcast::Sender<Value>,
}

impl From<ChainError> for TributaryError {
    fn from(error: ChainError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<StoreError> for TributaryError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

fn not_found(what: impl std::fmt::Display) -> TributaryError {
    TributaryError::NotFound(what.to_string())
}

fn id(value: U256, what: &str) -> Result<u64, TributaryError> {
    u64::try_from(value).map_err(|_| not_found(format!("{what} {value}")))
}

impl WorkerApi {
    /// Reads of this chain and this store; `batches` carries the news.
    pub fn new(
        registry: Registry,
        store: Store,
        status: Arc<Status>,
        batches: broadcast::Sender<Value>,
    ) -> Self {
        Self { registry, store, status, batches }
    }

    fn datanet(&self, id: u64) -> Answer {
        let found = self.registry.datanet(id)?.ok_or_else(|| not_found(format!("datanet {id}")))?;
        Ok(json!({
            "id": U64::from(id),
            "owner": found.owner,
            "name": found.name,
            "uri": found.uri,
            "tokenizerHash": found.tokenizerHash,
            "minMatch": U64::from(found.minMatch),
            "contributions": U64::from(found.contributions),
            "epochs": U64::from(found.epochs),
            "liveTokens": U64::from(found.liveTokens),
            "changed": found.changed,
        }))
    }

    fn contribution(&self, id: u64) -> Answer {
        let found = self.registry.contribution(id)?.ok_or_else(|| not_found(format!("contribution {id}")))?;
        Ok(contribution_json(&found))
    }

    fn find_model(&self, key: &ModelKey) -> Result<IModels::Model, TributaryError> {
        let found = match key {
            ModelKey::Id(value) => self.registry.model(id(*value, "model")?)?,
            ModelKey::Name(name) => self.registry.model_named(name)?,
        };
        found.ok_or_else(|| match key {
            ModelKey::Id(value) => not_found(format!("model {value}")),
            ModelKey::Name(name) => not_found(format!("model {name}")),
        })
    }

    fn model(&self, key: &ModelKey) -> Answer {
        let model = self.find_model(key)?;
        let sources: Vec<Value> = model
            .sources
            .iter()
            .map(|s| json!({"datanetId": U64::from(s.datanetId), "epoch": U64::from(s.epoch)}))
            .collect();
        Ok(json!({
            "id": U64::from(model.id),
            "baseId": (model.baseId != 0).then(|| U64::from(model.baseId)),
            "owner": model.owner,
            "name": model.name,
            "uri": model.uri,
            "hash": model.hash,
            "tokenizerHash": model.tokenizerHash,
            "profileHash": model.profileHash,
            "rank": U64::from(model.rank),
            "inRate": U128::from(model.inRate),
            "outRate": U128::from(model.outRate),
            "registeredBlock": U64::from(model.registeredBlock),
            "retiredFrom": (model.retiredFrom != 0).then(|| U64::from(model.retiredFrom)),
            "sources": sources,
        }))
    }

    fn agent(&self, id: u64) -> Answer {
        let agent = self.registry.agent(id)?.ok_or_else(|| not_found(format!("agent {id}")))?;
        Ok(agent_json(&agent))
    }

    fn channel(&self, id: B256) -> Answer {
        let found = self.registry.channel(id)?.filter(|channel| channel.status != 0);
        let channel = found.ok_or_else(|| not_found(format!("channel {id}")))?;
        let spent = self.store.spent(id)?.saturating_sub(channel.settled);
        let status = ["unknown", "open", "closing", "closed"][usize::from(channel.status.min(3))];
        Ok(json!({
            "channel": id,
            "agentId": U64::from(channel.agentId),
            "payer": channel.payer,
            "signer": channel.signer,
            "status": status,
            "closeAt": (channel.closeAt != 0).then(|| U64::from(channel.closeAt)),
            "deposited": U128::from(channel.deposited),
            "settled": U128::from(channel.settled),
            "unsettled": U128::from(spent),
        }))
    }

    fn batch(&self, batch_id: B256) -> Answer {
        let batch = self.registry.batch(batch_id)?.ok_or_else(|| not_found(format!("batch {batch_id}")))?;
        let entry =
            self.store.batch(batch.header.agentId, batch.header.seq)?.filter(|entry| entry.id == batch_id);
        Ok(batch_json(batch_id, &batch, entry.as_ref()))
    }

    /// A record, its place, and the batch it is in.
    fn locate(&self, channel: B256, request: B256) -> Result<Located, TributaryError> {
        let unknown = || not_found(format!("request {request} of channel {channel}"));
        let place = self.store.place(channel, request)?.ok_or_else(unknown)?;
        let entry = self.store.batch(place.agent, place.seq)?.ok_or_else(unknown)?;
        let Some(bytes) = self.store.blob(entry.header.batch_hash)? else {
            return Err(TributaryError::NotInArchive {
                batch_id: entry.id,
                da_commitment: entry.da_commitment,
            });
        };
        let malformed = |error: tributary_record::DecodeError| TributaryError::Internal(error.to_string());
        let batch = BatchBytes::decode(&bytes).map_err(malformed)?;
        let record = batch.records.into_iter().nth(place.index as usize).ok_or_else(unknown)?;
        let tree = RecordTree::new(&bytes).map_err(malformed)?;
        let proof = tree.proof(place.index).map_err(|error| TributaryError::Internal(error.to_string()))?;
        let bytes = tree.records().get(place.index as usize).cloned().unwrap_or_default();
        Ok(Located { index: place.index, record, bytes: bytes.into(), proof, entry })
    }

    fn record(&self, channel: B256, request: B256) -> Answer {
        if let Some(answer) = self.store.pending_answer(channel, request)? {
            return Ok(json!({"status": "pending", "record": record_json(&answer.record)}));
        }
        let found = self.locate(channel, request)?;
        Ok(json!({
            "status": state_name(found.entry.state),
            "batchId": found.entry.id,
            "index": U64::from(found.index),
            "raw": found.bytes,
            "proof": found.proof,
            "record": record_json(&found.record),
        }))
    }

    /// Everything a person needs to see why someone was paid.
    fn explain(&self, channel: B256, request: B256) -> Answer {
        if let Some(answer) = self.store.pending_answer(channel, request)? {
            return Ok(json!({
                "status": "pending",
                "model": answer.model,
                "record": record_json(&answer.record),
                "sources": self.sources(&answer.record)?,
            }));
        }
        let found = self.locate(channel, request)?;
        let model = found.entry.models.get(found.index as usize).cloned();
        Ok(json!({
            "status": state_name(found.entry.state),
            "model": model,
            "batchId": found.entry.id,
            "da": found.entry.da,
            "daCommitment": found.entry.da_commitment,
            "index": U64::from(found.index),
            "proof": found.proof,
            "record": record_json(&found.record),
            "sources": self.sources(&found.record)?,
            "payouts": found.record.payees.iter().map(|payee| json!({
                "index": U64::from(payee.index), "account": payee.account, "amount": U128::from(payee.amount),
            })).collect::<Vec<_>>(),
        }))
    }

    /// The contributions that a record names.
    fn sources(&self, record: &Record) -> Result<Vec<Value>, TributaryError> {
        let mut ids: Vec<u64> = record.spans.iter().map(|span| span.contribution).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| self.contribution(id)).collect()
    }

    /// Claims against the last final batch of each agent that posted from here.
    fn claims(&self, account: Address) -> Answer {
        let agents = self.store.agents()?;
        let mut claims = Vec::new();
        for agent in agents {
            let seq = self.registry.batches_of(agent)?.finalSeq;
            let Some(state) = self.store.state(agent, seq)? else { continue };
            if let Some(claim) = state.claim(account) {
                claims.push(json!({
                    "agentId": U64::from(claim.agent_id),
                    "seq": U64::from(claim.seq),
                    "index": U64::from(claim.index),
                    "account": claim.account,
                    "cumulative": U128::from(claim.cumulative),
                    "proof": claim.proof,
                }));
            }
        }
        Ok(Value::Array(claims))
    }

    fn params(&self) -> Answer {
        let all = call_view(self.registry.chain(), address::PARAMS, &IParams::allCall {})?;
        let named = all.into_iter().map(|param| {
            let name: Vec<u8> = param.key.iter().copied().take_while(|byte| *byte != 0).collect();
            (String::from_utf8_lossy(&name).into_owned(), json!(param.value))
        });
        Ok(Value::Object(named.collect()))
    }

    fn quote(&self, key: &ModelKey, in_tokens: u64, out_tokens: u64) -> Answer {
        let narrow = |tokens: u64| {
            u32::try_from(tokens).map_err(|_| {
                TributaryError::InvalidParams(format!("{tokens} tokens are more than any request has"))
            })
        };
        let call = ISettlement::quoteCall {
            modelId: self.find_model(key)?.id,
            inTokens: narrow(in_tokens)?,
            outTokens: narrow(out_tokens)?,
        };
        let quote = call_view(self.registry.chain(), address::SETTLEMENT, &call)?;
        Ok(json!({
            "fee": U128::from(quote.fee),
            "platform": U128::from(quote.platform),
            "model": U128::from(quote.model),
            "stakers": U128::from(quote.stakers),
            "contributors": U128::from(quote.contributors),
        }))
    }
}

/// A posted record.
struct Located {
    index: u32,
    record: Record,
    bytes: Bytes,
    proof: Vec<B256>,
    entry: BatchEntry,
}

impl TributaryApi for WorkerApi {
    fn read(&self, query: TributaryQuery) -> Answer {
        match query {
            TributaryQuery::Datanet(value) => self.datanet(id(value, "datanet")?),
            TributaryQuery::Contribution(value) => self.contribution(id(value, "contribution")?),
            TributaryQuery::Model(key) => self.model(&key),
            TributaryQuery::Agent(value) => self.agent(id(value, "agent")?),
            TributaryQuery::Channel(channel) => self.channel(channel),
            TributaryQuery::Batch(batch) => self.batch(batch),
            TributaryQuery::Record { channel, request } => self.record(channel, request),
            TributaryQuery::Explain { channel, request } => self.explain(channel, request),
            TributaryQuery::Claim(account) => self.claims(account),
            TributaryQuery::Params => self.params(),
            TributaryQuery::Quote { model, in_tokens, out_tokens } => {
                self.quote(&model, in_tokens, out_tokens)
            }
            TributaryQuery::WorkerStatus => Ok(self.status.to_json()?),
        }
    }

    fn subscribe(&self, events: TributaryEvents) -> Option<broadcast::Receiver<Value>> {
        match events {
            TributaryEvents::Batches => Some(self.batches.subscribe()),
            // There are none before disputesTime.
            TributaryEvents::Disputes => None,
        }
    }
}

/// What a batch's state is called.
pub(crate) const fn state_name(state: BatchState) -> &'static str {
    match state {
        BatchState::Packed => "packed",
        BatchState::Dispersed => "dispersed",
        BatchState::Sent => "sent",
        BatchState::Committed => "committed",
        BatchState::Final => "final",
        BatchState::Void => "void",
    }
}

fn contribution_json(found: &IDatanets::Contribution) -> Value {
    json!({
        "id": U64::from(found.id),
        "contributor": found.contributor,
        "contentHash": found.contentHash,
        "tokensRoot": found.tokensRoot,
        "tokens": U64::from(found.tokens),
        "commitBlock": U64::from(found.commitBlock),
        "firstEpoch": U64::from(found.firstEpoch),
        "removedEpoch": (found.removedEpoch != 0).then(|| U64::from(found.removedEpoch)),
        "rejected": found.rejected,
        "uri": found.uri,
    })
}

fn agent_json(agent: &IAgents::Agent) -> Value {
    json!({
        "id": U64::from(agent.id),
        "kind": U64::from(agent.kind),
        "owner": agent.owner,
        "operator": agent.operator,
        "uri": agent.uri,
        "peerId": agent.peerId,
        "registeredBlock": U64::from(agent.registeredBlock),
        "retiredFrom": (agent.retiredFrom != 0).then(|| U64::from(agent.retiredFrom)),
        "slashed": agent.slashed,
        "assets": U128::from(agent.assets),
        "shares": U128::from(agent.shares),
        "earningShares": U128::from(agent.earningShares),
        "ownerStake": U128::from(agent.ownerStake),
    })
}

fn batch_json(id: B256, batch: &IAttribution::Batch, entry: Option<&BatchEntry>) -> Value {
    let header = &batch.header;
    let status = ["unknown", "pending", "final", "void"][usize::from(batch.status.min(3))];
    json!({
        "id": id,
        "status": status,
        "commitBlock": U64::from(batch.commitBlock),
        "committedAt": U64::from(batch.committedAt),
        "deadline": U64::from(batch.deadline),
        "daHash": batch.daHash,
        "da": entry.map(|entry| entry.da.clone()),
        "daCommitment": entry.map(|entry| entry.da_commitment.clone()),
        "transaction": entry.and_then(|entry| entry.transaction),
        "records": entry.map(|entry| entry.records.iter().map(|(channel, request)| json!({
            "channel": channel, "requestId": request,
        })).collect::<Vec<_>>()),
        "header": {
            "agentId": U64::from(header.agentId),
            "seq": U64::from(header.seq),
            "prevBatch": header.prevBatch,
            "batchHash": header.batchHash,
            "nBytes": U64::from(header.nBytes),
            "nRecords": U64::from(header.nRecords),
            "recordsRoot": header.recordsRoot,
            "payoutRoot": header.payoutRoot,
            "nAccounts": U64::from(header.nAccounts),
            "algoId": header.algoId,
        },
        "totals": {
            "fees": U128::from(batch.totals.fees),
            "platform": U128::from(batch.totals.platform),
            "model": U128::from(batch.totals.model),
            "stakers": U128::from(batch.totals.stakers),
            "contributors": U128::from(batch.totals.contributors),
            "treasury": U128::from(batch.totals.treasury),
        },
    })
}

fn totals_json(totals: &Totals) -> Value {
    json!({
        "fees": U128::from(totals.fees),
        "platform": U128::from(totals.platform),
        "model": U128::from(totals.model),
        "stakers": U128::from(totals.stakers),
        "contributors": U128::from(totals.contributors),
        "treasury": U128::from(totals.treasury),
    })
}

fn record_json(record: &Record) -> Value {
    json!({
        "chainId": U64::from(record.chain_id),
        "agentId": U64::from(record.agent_id),
        "batchSeq": U64::from(record.batch_seq),
        "channel": record.channel,
        "requestId": record.request_id,
        "l2Block": U64::from(record.l2_block),
        "modelId": U64::from(record.model_id),
        "adapterId": U64::from(record.adapter_id),
        "sources": record.sources.iter().map(|s| json!({
            "datanetId": U64::from(s.datanet), "epoch": U64::from(s.epoch),
        })).collect::<Vec<_>>(),
        "tokenizerHash": record.tokenizer_hash,
        "algoId": record.algo_id,
        "profileHash": record.profile_hash,
        "privacy": U64::from(record.privacy),
        "bodyHash": record.body_hash,
        "nIn": U64::from(record.n_in),
        "maxFee": U128::from(record.max_fee),
        "cumulative": U128::from(record.cumulative),
        "signature": hex::encode_prefixed(&record.signature),
        "execHash": record.exec_hash,
        "sampling": record.sampling,
        "logitsRoot": record.logits_root,
        "output": record.output,
        "fee": U128::from(record.fee),
        "spans": record.spans.iter().map(|span| json!({
            "start": U64::from(span.start), "len": U64::from(span.len),
            "contributionId": U64::from(span.contribution), "offset": U64::from(span.offset),
        })).collect::<Vec<_>>(),
        "shares": record.shares.iter().map(|share| json!({
            "contributionId": U64::from(share.contribution), "ppb": U64::from(share.ppb),
        })).collect::<Vec<_>>(),
        "unattributedPpb": U64::from(record.unattributed_ppb),
        "payees": record.payees.iter().map(|payee| json!({
            "index": U64::from(payee.index), "account": payee.account, "amount": U128::from(payee.amount),
        })).collect::<Vec<_>>(),
        "channelSpent": U128::from(record.channel_spent),
        "totals": totals_json(&record.totals),
        "payoutRoot": record.payout_root,
        "nAccounts": U64::from(record.n_accounts),
    })
}
