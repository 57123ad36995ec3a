//! The operator's own memory: answers that wait for a batch, batches on their way, the archive of what was posted.
//!
//! ```text
//! answer ──put──▶ pending ──pack──▶ batch (Packed → Dispersed → Sent → Committed → Final | Void)
//!                    ▲                │
//!                    └────unpack──────┘   when the chain will not have it
//! ```
//!
//! Every arrow is one synced atomic write: after a crash an answer is in exactly one place.

use std::{path::Path, sync::Arc};

use alloy_primitives::{B256, Bytes};
use parking_lot::Mutex;
use rocksdb::{ColumnFamilyDescriptor, DB, IteratorMode, Options, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::broadcast;
use tributary_batch::AgentState;
use tributary_record::{Debit, Header, Record, Totals};

/// Layout of what is kept here; another number is refused.
const SCHEMA: u32 = 1;

/// Changes that a slow listener may miss.
const CHANGES: usize = 256;

const META: &str = "meta";
const PENDING: &str = "pending";
const BATCHES: &str = "batches";
const PLACES: &str = "places";
const SPENT: &str = "spent";
const BLOBS: &str = "blobs";
const STATES: &str = "states";
const REFUSED: &str = "refused";
const FAMILIES: [&str; 8] = [META, PENDING, BATCHES, PLACES, SPENT, BLOBS, STATES, REFUSED];

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk or the database.
    #[error("worker store: {0}")]
    Database(#[from] rocksdb::Error),
    /// A value that was not written by this version, or a corrupt disk.
    #[error("worker store holds a malformed {what}: {source}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Why it cannot be.
        source: serde_json::Error,
    },
    /// The folder belongs to another chain or another version.
    #[error("worker store is of {found}, this is {expected}")]
    Foreign {
        /// What the folder says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A family is missing: the database is damaged.
    #[error("worker store lacks its {0} family")]
    Damaged(&'static str),
    /// An answer under this channel and request id is already there.
    #[error("request {request} of channel {channel} was answered already")]
    Duplicate {
        /// The channel.
        channel: B256,
        /// The request.
        request: B256,
    },
}

/// An answered request that waits for its batch: the record without its place, and what the chain need not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The record; fields that depend on its place in a batch are zero.
    pub record: Record,
    /// The name the payer asked for.
    pub model: String,
    /// Unix time in milliseconds.
    pub answered_at: u64,
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BatchState {
    /// Its bytes are fixed.
    Packed,
    /// DA holds it.
    Dispersed,
    /// `commitBatch` is in the pool.
    Sent,
    /// `commitBatch` is in a block.
    Committed,
    /// It can be claimed from.
    Final,
    /// It lost a dispute, or an earlier one of the agent did.
    Void,
}

/// A batch and everything needed to post it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchEntry {
    /// Its id on chain.
    pub id: B256,
    /// What is committed.
    pub header: Header,
    /// What it draws, by channel.
    pub debits: Vec<Debit>,
    /// The vouchers' signatures, in the order of the debits.
    pub signatures: Vec<Bytes>,
    /// Its sums.
    pub totals: Totals,
    /// Channel and request id of its records, in order.
    pub records: Vec<(B256, B256)>,
    /// Names of the models asked for, in the order of the records.
    pub models: Vec<String>,
    /// DA's commitment; empty when DA was down and the node itself serves the bytes.
    pub da_commitment: Bytes,
    /// Which DA holds it.
    pub da: String,
    /// The `commitBatch` transaction.
    pub transaction: Option<B256>,
    /// When it may be finalized, in seconds; known once committed.
    pub deadline: u64,
    /// How far it has come.
    pub state: BatchState,
}

impl BatchEntry {
    /// Whether something is still to come.
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, BatchState::Final | BatchState::Void)
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The agent.
    pub agent: u64,
    /// The batch.
    pub seq: u64,
    /// The record's index.
    pub index: u32,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    db: Arc<DB>,
    /// Held while an answer is checked and written: what a channel has spent is read, added to and written back.
    answering: Arc<Mutex<()>>,
    changes: broadcast::Sender<BatchEntry>,
}

impl Store {
    /// Opens or makes the store of a chain.
    pub fn open(path: &Path, chain_id: u64, genesis: B256) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = Arc::new(DB::open_cf_descriptors(&options, path, families)?);
        let store = Self { db, answering: Arc::default(), changes: broadcast::channel(CHANGES).0 };
        store.check_identity(&format!("schema {SCHEMA} of chain {chain_id} with genesis {genesis}"))?;
        Ok(store)
    }

    fn check_identity(&self, expected: &str) -> Result<(), StoreError> {
        match self.get::<String>(META, b"identity")? {
            None => {
                let mut batch = WriteBatch::default();
                self.put(&mut batch, META, b"identity", &expected)?;
                self.write(batch)
            }
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(StoreError::Foreign { found, expected: expected.to_owned() }),
        }
    }

    /// Keeps an answer until it is packed; acknowledged when this returns.
    pub fn put_answer(&self, answer: &Answer) -> Result<(), StoreError> {
        let record = &answer.record;
        let key = record_key(record.channel, record.request_id);
        let _one_at_a_time = self.answering.lock();
        if self.is_answered(record.channel, record.request_id)? {
            return Err(StoreError::Duplicate { channel: record.channel, request: record.request_id });
        }
        let spent = self.spent(record.channel)?.saturating_add(record.fee);
        let mut batch = WriteBatch::default();
        self.put(&mut batch, PENDING, &key, answer)?;
        self.put(&mut batch, SPENT, record.channel.as_slice(), &spent)?;
        self.write(batch)
    }

    /// Whether a request was answered, pending or posted.
    pub fn is_answered(&self, channel: B256, request: B256) -> Result<bool, StoreError> {
        let key = record_key(channel, request);
        for family in [PENDING, PLACES, REFUSED] {
            if self.db.get_pinned_cf(self.family(family)?, key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All fees of a channel that this worker has ever earned, pending ones included.
    pub fn spent(&self, channel: B256) -> Result<u128, StoreError> {
        Ok(self.get(SPENT, channel.as_slice())?.unwrap_or_default())
    }

    /// Answers that wait, in the order in which they were given.
    pub fn pending(&self) -> Result<Vec<Answer>, StoreError> {
        let mut answers: Vec<Answer> = self.all(PENDING)?;
        answers.sort_by_key(|answer| answer.answered_at);
        Ok(answers)
    }

    /// A pending answer.
    pub fn pending_answer(&self, channel: B256, request: B256) -> Result<Option<Answer>, StoreError> {
        self.get(PENDING, &record_key(channel, request))
    }

    /// Moves answers into a new batch.
    pub fn pack(&self, entry: &BatchEntry, bytes: &[u8], state: &AgentState) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (index, (channel, request)) in (0u32..).zip(&entry.records) {
            let key = record_key(*channel, *request);
            batch.delete_cf(self.family(PENDING)?, key);
            let place = Place { agent: entry.header.agent_id, seq: entry.header.seq, index };
            self.put(&mut batch, PLACES, &key, &place)?;
        }
        batch.put_cf(self.family(BLOBS)?, entry.header.batch_hash, bytes);
        let key = batch_key(entry.header.agent_id, entry.header.seq);
        self.put(&mut batch, STATES, &key, state)?;
        self.put(&mut batch, BATCHES, &key, entry)?;
        self.write(batch)?;
        self.tell(entry);
        Ok(())
    }

    /// An agent's books after a batch; kept from the last final batch on.
    pub fn state(&self, agent: u64, seq: u64) -> Result<Option<AgentState>, StoreError> {
        self.get(STATES, &batch_key(agent, seq))
    }

    /// Notes that a batch is final. Claims go against the last final one, so older books are forgotten.
    pub fn finalized(&self, entry: &BatchEntry) -> Result<(), StoreError> {
        let (agent, seq) = (entry.header.agent_id, entry.header.seq);
        let mut batch = WriteBatch::default();
        self.put(&mut batch, BATCHES, &batch_key(agent, seq), entry)?;
        batch.delete_range_cf(self.family(STATES)?, batch_key(agent, 0), batch_key(agent, seq));
        self.write(batch)?;
        self.tell(entry);
        Ok(())
    }

    /// Notes how far a batch has come.
    pub fn update(&self, entry: &BatchEntry) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.put(&mut batch, BATCHES, &batch_key(entry.header.agent_id, entry.header.seq), entry)?;
        self.write(batch)?;
        self.tell(entry);
        Ok(())
    }

    /// Takes a batch apart that never reached the chain: `kept` wait again, the rest is given up.
    pub fn unpack(&self, entry: &BatchEntry, kept: &[Answer]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (channel, request) in &entry.records {
            batch.delete_cf(self.family(PLACES)?, record_key(*channel, *request));
        }
        for answer in kept {
            let key = record_key(answer.record.channel, answer.record.request_id);
            self.put(&mut batch, PENDING, &key, answer)?;
        }
        let key = batch_key(entry.header.agent_id, entry.header.seq);
        batch.delete_cf(self.family(BATCHES)?, key);
        batch.delete_cf(self.family(STATES)?, key);
        batch.delete_cf(self.family(BLOBS)?, entry.header.batch_hash);
        self.write(batch)
    }

    /// Puts aside pending answers that can stand in no batch, each with the reason.
    pub fn refuse(&self, refused: &[(Answer, String)]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (answer, reason) in refused {
            let key = record_key(answer.record.channel, answer.record.request_id);
            batch.delete_cf(self.family(PENDING)?, key);
            self.put(&mut batch, REFUSED, &key, &(answer, reason))?;
        }
        self.write(batch)
    }

    /// Answers that could stand in no batch, with the reasons.
    pub fn refused(&self) -> Result<Vec<(Answer, String)>, StoreError> {
        self.all(REFUSED)
    }

    /// A batch by its number.
    pub fn batch(&self, agent: u64, seq: u64) -> Result<Option<BatchEntry>, StoreError> {
        self.get(BATCHES, &batch_key(agent, seq))
    }

    /// Agents that posted from here.
    pub fn agents(&self) -> Result<Vec<u64>, StoreError> {
        let mut agents = Vec::new();
        let mut from = batch_key(0, 0);
        loop {
            let mode = IteratorMode::From(&from, rocksdb::Direction::Forward);
            let Some(item) = self.db.iterator_cf(self.family(BATCHES)?, mode).next().transpose()? else {
                return Ok(agents);
            };
            let entry: BatchEntry = decode(BATCHES, &item.1)?;
            agents.push(entry.header.agent_id);
            let Some(next) = entry.header.agent_id.checked_add(1) else { return Ok(agents) };
            from = batch_key(next, 0);
        }
    }

    /// Batches for which something is still to come, in order. An agent's batches end in order, so that only its last few
    /// are read.
    pub fn open_batches(&self) -> Result<Vec<BatchEntry>, StoreError> {
        let mut open = Vec::new();
        for agent in self.agents()? {
            let from = batch_key(agent, u64::MAX);
            let mode = IteratorMode::From(&from, rocksdb::Direction::Reverse);
            let first = open.len();
            for item in self.db.iterator_cf(self.family(BATCHES)?, mode) {
                let (key, value) = item?;
                let entry: BatchEntry = decode(BATCHES, &value)?;
                if !key.starts_with(&agent.to_be_bytes()) || entry.state == BatchState::Final {
                    break;
                }
                if entry.is_open() {
                    open.push(entry);
                }
            }
            open[first..].reverse();
        }
        Ok(open)
    }

    /// An agent's last batch.
    pub fn last_batch(&self, agent: u64) -> Result<Option<BatchEntry>, StoreError> {
        let from = batch_key(agent, u64::MAX);
        let mode = IteratorMode::From(&from, rocksdb::Direction::Reverse);
        match self.db.iterator_cf(self.family(BATCHES)?, mode).next().transpose()? {
            Some((key, value)) if key.starts_with(&agent.to_be_bytes()) => decode(BATCHES, &value).map(Some),
            _ => Ok(None),
        }
    }

    /// Where a posted record is.
    pub fn place(&self, channel: B256, request: B256) -> Result<Option<Place>, StoreError> {
        self.get(PLACES, &record_key(channel, request))
    }

    /// Batch bytes by their hash.
    pub fn blob(&self, batch_hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get_cf(self.family(BLOBS)?, batch_hash)?)
    }

    /// Every batch that changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<BatchEntry> {
        self.changes.subscribe()
    }

    fn tell(&self, entry: &BatchEntry) {
        // Nobody may be listening.
        let _ = self.changes.send(entry.clone());
    }

    fn family(&self, name: &'static str) -> Result<&rocksdb::ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or(StoreError::Damaged(name))
    }

    fn get<T: DeserializeOwned>(&self, family: &'static str, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.db.get_pinned_cf(self.family(family)?, key)?.map(|value| decode(family, &value)).transpose()
    }

    fn all<T: DeserializeOwned>(&self, family: &'static str) -> Result<Vec<T>, StoreError> {
        self.db
            .iterator_cf(self.family(family)?, IteratorMode::Start)
            .map(|item| decode(family, &item?.1))
            .collect()
    }

    fn put<T: Serialize>(
        &self,
        batch: &mut WriteBatch,
        family: &'static str,
        key: &[u8],
        value: &T,
    ) -> Result<(), StoreError> {
        let value =
            serde_json::to_vec(value).map_err(|source| StoreError::Malformed { what: family, source })?;
        batch.put_cf(self.family(family)?, key, value);
        Ok(())
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
    }
}

fn decode<T: DeserializeOwned>(what: &'static str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|source| StoreError::Malformed { what, source })
}

fn record_key(channel: B256, request: B256) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(channel.as_slice());
    key[32..].copy_from_slice(request.as_slice());
    key
}

fn batch_key(agent: u64, seq: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&agent.to_be_bytes());
    key[8..].copy_from_slice(&seq.to_be_bytes());
    key
}
