//! Record and batch bytes: fixed fields big-endian, lists behind their counts, nothing after the end.
//!
//! There is one encoding of a value: whatever decodes encodes back to the same bytes.

use crate::bytes::{DecodeError, Reader, Writer, bounded};
use crate::constants::{
    DEPTH_NARROW, MAX_BATCH_BYTES, MAX_EARNERS, MAX_PAYEES, MAX_RECORD_BYTES, MAX_SOURCES, MAX_SPANS,
};
use crate::header::Totals;
use crate::record::{Payee, RECORD_VERSION, Record, Share, Source, Span};
use crate::voucher::SIGNATURE_BYTES;
use alloy_primitives::B256;

/// How a batch begins.
pub const MAGIC: [u8; 4] = *b"TRIB";
const BATCH_VERSION: u8 = 1;

impl Record {
    /// The record's bytes.
    ///
    /// # Errors
    /// When a list or the whole is above its bound.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut to = Writer::default();
        self.write_request(&mut to)?;
        self.write_answer(&mut to)?;
        self.write_settlement(&mut to)?;
        bounded("record", to.0.len(), MAX_RECORD_BYTES)?;
        Ok(to.0)
    }

    /// Reads a record; the bytes must be exactly one.
    ///
    /// # Errors
    /// When they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        bounded("record", bytes.len(), MAX_RECORD_BYTES)?;
        let mut from = Reader::new(bytes);
        let version = from.u8("version")?;
        if version != RECORD_VERSION {
            return Err(DecodeError::Version(version));
        }
        let record = Self {
            chain_id: from.u64("chainId")?,
            agent_id: from.u64("agentId")?,
            batch_seq: from.u64("batchSeq")?,
            channel: from.b256("channel")?,
            request_id: from.b256("requestId")?,
            l2_block: from.u64("l2Block")?,
            model_id: from.u64("modelId")?,
            adapter_id: from.u64("adapterId")?,
            sources: from.list("sources", MAX_SOURCES, Source::read)?,
            tokenizer_hash: from.b256("tokenizerHash")?,
            algo_id: from.b256("algoId")?,
            profile_hash: from.b256("profileHash")?,
            privacy: from.u8("privacy")?,
            body_hash: from.b256("bodyHash")?,
            n_in: from.u32("nIn")?,
            max_fee: from.u128("maxFee")?,
            cumulative: from.u128("cumulative")?,
            signature: read_signature(&mut from)?,
            exec_hash: from.b256("execHash")?,
            sampling: read_sampling(&mut from)?,
            logits_root: from.b256("logitsRoot")?,
            output: read_output(&mut from)?,
            fee: from.u128("fee")?,
            spans: from.list("spans", MAX_SPANS, Span::read)?,
            shares: from.list("shares", MAX_EARNERS, Share::read)?,
            unattributed_ppb: from.u32("unattributedPpb")?,
            payees: from.list("payees", MAX_PAYEES, Payee::read)?,
            channel_spent: from.u128("channelSpent")?,
            totals: Totals::read(&mut from)?,
            payout_root: from.b256("payoutRoot")?,
            n_accounts: from.u32("nAccounts")?,
        };
        from.end()?;
        Ok(record)
    }

    fn write_request(&self, to: &mut Writer) -> Result<(), DecodeError> {
        to.u8(RECORD_VERSION);
        to.u64(self.chain_id);
        to.u64(self.agent_id);
        to.u64(self.batch_seq);
        to.b256(self.channel);
        to.b256(self.request_id);
        to.u64(self.l2_block);
        to.u64(self.model_id);
        to.u64(self.adapter_id);
        to.list("sources", MAX_SOURCES, &self.sources, |to, source| {
            to.u64(source.datanet);
            to.u64(source.epoch);
        })?;
        to.b256(self.tokenizer_hash);
        to.b256(self.algo_id);
        to.b256(self.profile_hash);
        to.u8(self.privacy);
        to.b256(self.body_hash);
        to.u32(self.n_in);
        to.u128(self.max_fee);
        to.u128(self.cumulative);
        let len = self.signature.len();
        if len != 0 && len != SIGNATURE_BYTES {
            return Err(DecodeError::SignatureLength(len));
        }
        to.u8(len as u8);
        to.bytes(&self.signature);
        Ok(())
    }

    fn write_answer(&self, to: &mut Writer) -> Result<(), DecodeError> {
        to.b256(self.exec_hash);
        to.list("sampling", usize::from(u16::MAX), &self.sampling, |to, byte| to.u8(*byte))?;
        to.b256(self.logits_root);
        let count = bounded("output", self.output.len(), MAX_RECORD_BYTES / 4)?;
        to.u32(count as u32);
        self.output.iter().for_each(|token| to.u32(*token));
        Ok(())
    }

    fn write_settlement(&self, to: &mut Writer) -> Result<(), DecodeError> {
        to.u128(self.fee);
        to.list("spans", MAX_SPANS, &self.spans, |to, span| {
            to.u32(span.start);
            to.u32(span.len);
            to.u64(span.contribution);
            to.u32(span.offset);
        })?;
        to.list("shares", MAX_EARNERS, &self.shares, |to, share| {
            to.u64(share.contribution);
            to.u32(share.ppb);
        })?;
        to.u32(self.unattributed_ppb);
        to.list("payees", MAX_PAYEES, &self.payees, |to, payee| {
            to.u32(payee.index);
            to.bytes(payee.account.as_slice());
            to.u128(payee.amount);
        })?;
        to.u128(self.channel_spent);
        self.totals.write(to);
        to.b256(self.payout_root);
        to.u32(self.n_accounts);
        Ok(())
    }
}

fn read_signature(from: &mut Reader<'_>) -> Result<alloy_primitives::Bytes, DecodeError> {
    let len = usize::from(from.u8("signature")?);
    if len != 0 && len != SIGNATURE_BYTES {
        return Err(DecodeError::SignatureLength(len));
    }
    Ok(from.take("signature", len)?.to_vec().into())
}

fn read_sampling(from: &mut Reader<'_>) -> Result<alloy_primitives::Bytes, DecodeError> {
    let len = usize::from(from.u16("sampling")?);
    Ok(from.take("sampling", len)?.to_vec().into())
}

fn read_output(from: &mut Reader<'_>) -> Result<Vec<u32>, DecodeError> {
    let count = bounded("output", from.u32("output")? as usize, MAX_RECORD_BYTES / 4)?;
    let (words, _) = from.take("output", count * 4)?.as_chunks::<4>();
    Ok(words.iter().map(|word| u32::from_be_bytes(*word)).collect())
}

impl Source {
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { datanet: from.u64("sources")?, epoch: from.u64("sources")? })
    }
}

impl Span {
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            start: from.u32("spans")?,
            len: from.u32("spans")?,
            contribution: from.u64("spans")?,
            offset: from.u32("spans")?,
        })
    }
}

impl Share {
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { contribution: from.u64("shares")?, ppb: from.u32("shares")? })
    }
}

impl Payee {
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: from.u32("payees")?,
            account: from.address("payees")?,
            amount: from.u128("payees")?,
        })
    }
}

impl Totals {
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            fees: from.u128("totals")?,
            platform: from.u128("totals")?,
            model: from.u128("totals")?,
            stakers: from.u128("totals")?,
            contributors: from.u128("totals")?,
            treasury: from.u128("totals")?,
        })
    }

    fn write(&self, to: &mut Writer) {
        for sum in [self.fees, self.platform, self.model, self.stakers, self.contributors, self.treasury] {
            to.u128(sum);
        }
    }
}

/// A whole batch as DA stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchBytes {
    /// The chain.
    pub chain_id: u64,
    /// The agent that served.
    pub agent_id: u64,
    /// Sequence number of the batch.
    pub seq: u64,
    /// Id of the batch before.
    pub prev_batch: B256,
    /// The records, in order.
    pub records: Vec<Record>,
}

impl BatchBytes {
    /// Bytes of a batch before its first record.
    pub const PREFIX_BYTES: usize = 4 + 1 + 8 + 8 + 8 + 32 + 4;

    /// The batch bytes.
    ///
    /// # Errors
    /// When a record or the whole is above its bound.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut to = Writer::default();
        to.bytes(&MAGIC);
        to.u8(BATCH_VERSION);
        to.u64(self.chain_id);
        to.u64(self.agent_id);
        to.u64(self.seq);
        to.b256(self.prev_batch);
        let count = bounded("records", self.records.len(), 1 << DEPTH_NARROW)?;
        to.u32(count as u32);
        for record in &self.records {
            let bytes = record.encode()?;
            to.u32(bytes.len() as u32);
            to.bytes(&bytes);
        }
        bounded("batch", to.0.len(), MAX_BATCH_BYTES)?;
        Ok(to.0)
    }

    /// Reads a batch; the bytes must be exactly one.
    ///
    /// # Errors
    /// When they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut batch, slices) = Self::split(bytes)?;
        batch.records = slices.into_iter().map(Record::decode).collect::<Result<_, _>>()?;
        Ok(batch)
    }

    /// Reads the frame of a batch: its head, without records, and the bytes of each record.
    ///
    /// # Errors
    /// When the frame is malformed; what the records hold is not looked at.
    pub fn split(bytes: &[u8]) -> Result<(Self, Vec<&[u8]>), DecodeError> {
        bounded("batch", bytes.len(), MAX_BATCH_BYTES)?;
        let mut from = Reader::new(bytes);
        if from.take("magic", 4)? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let version = from.u8("version")?;
        if version != BATCH_VERSION {
            return Err(DecodeError::Version(version));
        }
        let batch = Self {
            chain_id: from.u64("chainId")?,
            agent_id: from.u64("agentId")?,
            seq: from.u64("seq")?,
            prev_batch: from.b256("prevBatch")?,
            records: Vec::new(),
        };
        let count = bounded("records", from.u32("records")? as usize, 1 << DEPTH_NARROW)?;
        let mut slices = Vec::new();
        for _ in 0..count {
            let len = from.u32("record")? as usize;
            slices.push(from.take("record", len)?);
        }
        from.end()?;
        Ok((batch, slices))
    }
}
