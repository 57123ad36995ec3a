//! Headers, bodies and receipts.

use super::{FORMAT, Reader, put_varint};
use crate::StoreError;
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable};
use tributary_spec::{BlockBody, Header, Receipt, RecoveredBlock, SealedHeader};

/// `hash ‖ RLP header`
pub(crate) fn encode_header(header: &SealedHeader) -> Vec<u8> {
    let mut out = header.hash().to_vec();
    header.inner().encode(&mut out);
    out
}

pub(crate) fn header_hash(bytes: &[u8]) -> Result<B256, StoreError> {
    Reader::new(bytes, "header").hash()
}

pub(crate) fn decode_header(bytes: &[u8]) -> Result<SealedHeader, StoreError> {
    let mut reader = Reader::new(bytes, "header");
    let hash = reader.hash()?;
    let header: Header = rlp(reader.rest(), "header")?;
    Ok(SealedHeader::new_unchecked(header, hash))
}

/// `format ‖ number of senders ‖ senders ‖ RLP body`
pub(crate) fn encode_body(block: &RecoveredBlock) -> Vec<u8> {
    let senders = block.senders();
    let mut out = Vec::with_capacity(block.rlp_length() + senders.len() * 20);
    out.push(FORMAT);
    put_varint(senders.len() as u64, &mut out);
    for sender in senders {
        out.extend_from_slice(sender.as_slice());
    }
    block.body().encode(&mut out);
    out
}

pub(crate) fn decode_body(bytes: &[u8]) -> Result<(BlockBody, Vec<Address>), StoreError> {
    let mut reader = Reader::new(bytes, "body");
    reader.format()?;
    let count = reader.count(20)?;
    let senders = reader.take(count * 20)?.chunks_exact(20).map(Address::from_slice).collect::<Vec<_>>();
    let body: BlockBody = rlp(reader.rest(), "body")?;
    if body.transactions.len() != senders.len() {
        return Err(StoreError::corrupt("body: as many senders as transactions are needed"));
    }
    Ok((body, senders))
}

/// `length of the header ‖ header ‖ body`, both as above
pub(crate) fn encode_whole(block: &RecoveredBlock) -> Vec<u8> {
    let (header, body) = (encode_header(block.header()), encode_body(block));
    let mut out = Vec::with_capacity(header.len() + body.len() + 8);
    put_varint(header.len() as u64, &mut out);
    out.extend_from_slice(&header);
    out.extend_from_slice(&body);
    out
}

pub(crate) fn decode_whole(bytes: &[u8]) -> Result<RecoveredBlock, StoreError> {
    let mut reader = Reader::new(bytes, "block");
    let length = reader.count(1)?;
    let header = decode_header(reader.take(length)?)?;
    let (body, senders) = decode_body(reader.rest())?;
    Ok(RecoveredBlock::new_unchecked(header, body, senders))
}

/// `format ‖ RLP list of receipts`
pub(crate) fn encode_receipts(receipts: &[Receipt]) -> Vec<u8> {
    let mut out = vec![FORMAT];
    alloy_rlp::encode_list(receipts, &mut out);
    out
}

pub(crate) fn decode_receipts(bytes: &[u8]) -> Result<Vec<Receipt>, StoreError> {
    let mut reader = Reader::new(bytes, "receipts");
    reader.format()?;
    rlp(reader.rest(), "receipts")
}

fn rlp<T: Decodable>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    alloy_rlp::decode_exact(bytes).map_err(|error| StoreError::corrupt(format!("{what}: {error}")))
}
