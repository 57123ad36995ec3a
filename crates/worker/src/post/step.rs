//! One step of one batch: disperse, commit, wait, finalize. The chain decides where it stands.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{B256, Bytes, keccak256};
use tracing::{error, info, warn};
use tributary_abi::{
    IAttribution, ISettlement,
    address::{ATTRIBUTION, SETTLEMENT},
};
use tributary_batch::RecordTree;
use tributary_da::{DaError, get_checked, refuse_memstore};
use tributary_record::BatchBytes;

use super::{
    poster::{PostError, Poster},
    sender::SendError,
};
use crate::{
    chain::ChainError,
    metrics,
    store::{Answer, BatchEntry, BatchState, StoreError},
};

/// A transaction that is not mined after this long is sent again, for more.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of records and proofs in one `publish`: with its frame it stays under the 128 KiB that pools take.
const PIECE: usize = 88 * 1024;

/// `Batch.status` on chain.
const STATUS_FINAL: u8 = 2;
const STATUS_VOID: u8 = 3;

impl Poster {
    /// Takes a batch as far as it can go now.
    pub(super) async fn advance(self: &Arc<Self>, mut entry: BatchEntry) -> Result<(), PostError> {
        loop {
            let before = entry.state;
            entry = match before {
                BatchState::Packed => self.disperse(entry).await?,
                BatchState::Dispersed | BatchState::Sent => match self.commit(entry)? {
                    Some(entry) => entry,
                    None => return Ok(()),
                },
                BatchState::Committed => self.finalize(entry)?,
                BatchState::Final | BatchState::Void => return Ok(()),
            };
            if entry.state == before {
                return Ok(());
            }
        }
    }

    async fn disperse(&self, entry: BatchEntry) -> Result<BatchEntry, PostError> {
        let bytes = self.bytes(&entry)?;
        let start = Instant::now();
        let outcome = self.put_and_read_back(&entry, &bytes).await;
        metrics::dispersal(start.elapsed(), outcome.is_ok());
        match outcome {
            Ok(commitment) => {
                self.memory.lock().da_failing = None;
                self.dispersed(entry, commitment, self.config.da_name.clone())
            }
            Err(failure) => self.da_failed(entry, failure),
        }
    }

    /// What DA gives back must be what it was given.
    async fn put_and_read_back(&self, entry: &BatchEntry, bytes: &Bytes) -> Result<Bytes, DaError> {
        let commitment = self.da.put(bytes.clone()).await?;
        refuse_memstore(&commitment, self.registry.chain().is_dev())?;
        get_checked(self.da.as_ref(), &commitment, entry.header.batch_hash).await?;
        Ok(commitment)
    }

    /// Told to fail over, or out of patience: the node itself serves the bytes, and says so.
    fn da_failed(&self, entry: BatchEntry, failure: DaError) -> Result<BatchEntry, PostError> {
        let since = *self.memory.lock().da_failing.get_or_insert_with(Instant::now);
        let down = matches!(failure, DaError::FailOver(_)) || since.elapsed() >= self.config.da_patience;
        if !down || !failure.is_transient() {
            return Err(failure.into());
        }
        warn!(
            target: "tributary::poster", seq = entry.header.seq, %failure, da = "none",
            "Data availability is down: this node serves the batch itself"
        );
        self.memory.lock().da_failing = None;
        self.dispersed(entry, Bytes::new(), "none".to_owned())
    }

    fn dispersed(
        &self,
        mut entry: BatchEntry,
        commitment: Bytes,
        da: String,
    ) -> Result<BatchEntry, PostError> {
        entry.da_commitment = commitment;
        entry.da = da;
        entry.state = BatchState::Dispersed;
        self.store.update(&entry)?;
        Ok(entry)
    }

    /// Sends `commitBatch` unless the chain already has it; `None` when the batch was taken apart.
    fn commit(&self, mut entry: BatchEntry) -> Result<Option<BatchEntry>, PostError> {
        let on_chain = self.registry.batch_of(entry.header.agent_id, entry.header.seq)?;
        if on_chain == entry.id {
            return self.committed(entry).map(Some);
        }
        if !on_chain.is_zero() {
            return Err(PostError::Behind {
                agent: entry.header.agent_id,
                on_chain: entry.header.seq,
                here: entry.header.seq - 1,
            });
        }
        if entry.state == BatchState::Sent && !self.lost_sight_of(&entry)? {
            return Ok(Some(entry));
        }
        let call = commit_call(&entry);
        let sent = match entry.state {
            BatchState::Sent => self.sender.send_past(ATTRIBUTION, &call),
            _ => self.sender.send(ATTRIBUTION, &call),
        };
        match sent {
            Ok(transaction) => {
                info!(target: "tributary::poster", seq = entry.header.seq, %transaction, "Sent batch");
                entry.transaction = Some(transaction);
                entry.state = BatchState::Sent;
                self.memory.lock().committing = Some(Instant::now());
                self.store.update(&entry)?;
                Ok(Some(entry))
            }
            Err(SendError::Chain(ChainError::Reverted(data))) => {
                let reason = ChainError::Reverted(data).to_string();
                error!(target: "tributary::poster", seq = entry.header.seq, reason, "The chain refuses the batch");
                self.take_apart(&entry)?;
                Ok(None)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Whether the transaction failed, or has been waited for long enough.
    fn lost_sight_of(&self, entry: &BatchEntry) -> Result<bool, PostError> {
        if let Some(transaction) = entry.transaction
            && let Some(outcome) = self.registry.chain().outcome(transaction)?
        {
            return Ok(!outcome.success);
        }
        let memory = self.memory.lock();
        // After a restart it is not known when it was sent: the pool may have forgotten it.
        Ok(memory.committing.is_none_or(|sent| sent.elapsed() >= PATIENCE))
    }

    fn committed(&self, mut entry: BatchEntry) -> Result<BatchEntry, PostError> {
        if let Some(batch) = self.registry.batch(entry.id)? {
            entry.deadline = batch.deadline;
        }
        entry.state = BatchState::Committed;
        self.memory.lock().committing = None;
        self.store.update(&entry)?;
        metrics::reached(entry.state);
        info!(target: "tributary::poster", seq = entry.header.seq, id = %entry.id, "Batch committed");
        Ok(entry)
    }

    /// Puts the records back into the queue; packing looks at each anew.
    fn take_apart(&self, entry: &BatchEntry) -> Result<(), PostError> {
        let bytes = self.bytes(entry)?;
        let batch = BatchBytes::decode(&bytes).map_err(tributary_batch::PackError::Encode)?;
        let answers: Vec<Answer> = batch
            .records
            .into_iter()
            .zip(&entry.models)
            .map(|(record, model)| Answer { record, model: model.clone(), answered_at: 0 })
            .collect();
        self.store.unpack(entry, &answers)?;
        Ok(())
    }

    fn finalize(&self, mut entry: BatchEntry) -> Result<BatchEntry, PostError> {
        let Some(batch) = self.registry.batch(entry.id)? else {
            // The chain was reorganised and lost it: send it again.
            entry.state = BatchState::Dispersed;
            self.store.update(&entry)?;
            return Ok(entry);
        };
        entry.deadline = batch.deadline;
        match batch.status {
            STATUS_FINAL => {
                entry.state = BatchState::Final;
                self.store.finalized(&entry)?;
                metrics::reached(entry.state);
                info!(target: "tributary::poster", seq = entry.header.seq, id = %entry.id, "Batch final");
            }
            STATUS_VOID if !batch.refunded => self.refund(&entry)?,
            STATUS_VOID => {
                entry.state = BatchState::Void;
                self.store.update(&entry)?;
                metrics::reached(entry.state);
                error!(target: "tributary::poster", seq = entry.header.seq, id = %entry.id, "Batch void");
            }
            _ if batch.respondBy != 0 => self.answer_challenge(&entry, &batch)?,
            _ => self.send_finalize(&entry)?,
        }
        Ok(entry)
    }

    fn send_finalize(&self, entry: &BatchEntry) -> Result<(), PostError> {
        let next = self.registry.batches_of(entry.header.agent_id)?.finalSeq + 1;
        if entry.header.seq != next || self.registry.chain().head().timestamp <= entry.deadline {
            return Ok(());
        }
        let sent = self.memory.lock().finalizing.filter(|(seq, _)| *seq == entry.header.seq);
        let call = IAttribution::finalizeCall { batchId: entry.id };
        let outcome = match sent {
            Some((_, since)) if since.elapsed() < PATIENCE => return Ok(()),
            Some(_) => self.sender.send_past(ATTRIBUTION, &call),
            None => self.sender.send(ATTRIBUTION, &call),
        };
        match outcome {
            Ok(_) => {
                self.memory.lock().finalizing = Some((entry.header.seq, Instant::now()));
                Ok(())
            }
            // The pending block's time decides, not the head's: ask again at the next head.
            Err(SendError::Chain(ChainError::Reverted(_))) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// What a void batch took goes back to its channels.
    fn refund(&self, entry: &BatchEntry) -> Result<(), PostError> {
        let sent = self.memory.lock().refunding.filter(|(id, _)| *id == entry.id);
        if sent.is_some_and(|(_, since)| since.elapsed() < PATIENCE) {
            return Ok(());
        }
        let debits = entry
            .debits
            .iter()
            .map(|debit| ISettlement::ChannelAmount { channel: debit.channel, amount: debit.amount });
        let call = ISettlement::refundCall { batchId: entry.id, debits: debits.collect() };
        match sent {
            Some(_) => self.sender.send_past(SETTLEMENT, &call)?,
            None => self.sender.send(SETTLEMENT, &call)?,
        };
        self.memory.lock().refunding = Some((entry.id, Instant::now()));
        warn!(target: "tributary::poster", seq = entry.header.seq, id = %entry.id, "Batch void: refunding its channels");
        Ok(())
    }

    /// Someone asks for the batch's bytes: the next piece of its records goes on chain.
    fn answer_challenge(&self, entry: &BatchEntry, batch: &IAttribution::Batch) -> Result<(), PostError> {
        let (seq, first) = (entry.header.seq, batch.published);
        if self.registry.chain().head().timestamp >= batch.respondBy {
            error!(target: "tributary::poster", seq, "A challenge was not answered in time");
            return Ok(());
        }
        let sent = self.memory.lock().publishing.filter(|(id, from, _)| (*id, *from) == (entry.id, first));
        if sent.is_some_and(|(_, _, since)| since.elapsed() < PATIENCE) {
            return Ok(());
        }
        let call = publish_call(entry.id, first, &self.bytes(entry)?)?;
        let count = call.records.len();
        let transaction = match sent {
            Some(_) => self.sender.send_past(ATTRIBUTION, &call)?,
            None => self.sender.send(ATTRIBUTION, &call)?,
        };
        self.memory.lock().publishing = Some((entry.id, first, Instant::now()));
        warn!(
            target: "tributary::poster", seq, challenger = %batch.challenger, first, count, %transaction,
            "Availability challenged: records go on chain"
        );
        Ok(())
    }

    fn bytes(&self, entry: &BatchEntry) -> Result<Bytes, PostError> {
        let bytes = self.store.blob(entry.header.batch_hash)?;
        let sound = bytes.filter(|bytes| keccak256(bytes) == entry.header.batch_hash);
        Ok(sound.ok_or(StoreError::Damaged("blobs"))?.into())
    }
}

/// As many records from `first` on as fit into one transaction, at least one.
fn publish_call(id: B256, first: u32, bytes: &[u8]) -> Result<IAttribution::publishCall, PostError> {
    let damaged = |_| StoreError::Damaged("blobs");
    let tree = RecordTree::new(bytes).map_err(|_| StoreError::Damaged("blobs"))?;
    let (mut records, mut proofs, mut size) = (Vec::new(), Vec::new(), 0);
    for (index, record) in (0u32..).zip(tree.records()).skip(first as usize) {
        let proof = tree.proof(index).map_err(damaged)?;
        size += record.len() + 32 * (proof.len() + 3);
        if !records.is_empty() && size > PIECE {
            break;
        }
        records.push(record.clone().into());
        proofs.extend(proof);
    }
    Ok(IAttribution::publishCall { batchId: id, firstIndex: first, records, proofs })
}

fn commit_call(entry: &BatchEntry) -> IAttribution::commitBatchCall {
    let (header, totals) = (&entry.header, &entry.totals);
    IAttribution::commitBatchCall {
        header: IAttribution::Header {
            agentId: header.agent_id,
            seq: header.seq,
            prevBatch: header.prev_batch,
            batchHash: header.batch_hash,
            nBytes: header.n_bytes,
            nRecords: header.n_records,
            recordsRoot: header.records_root,
            payoutRoot: header.payout_root,
            nAccounts: header.n_accounts,
            algoId: header.algo_id,
        },
        daCommitment: entry.da_commitment.clone(),
        debits: entry
            .debits
            .iter()
            .map(|debit| IAttribution::Debit {
                channel: debit.channel,
                cumulative: debit.cumulative,
                requestHash: debit.request_hash,
                amount: debit.amount,
            })
            .collect(),
        signatures: entry.signatures.clone(),
        totals: IAttribution::Totals {
            fees: totals.fees,
            platform: totals.platform,
            model: totals.model,
            stakers: totals.stakers,
            contributors: totals.contributors,
            treasury: totals.treasury,
        },
    }
}
