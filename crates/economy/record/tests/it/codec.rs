use crate::world;
use alloy_primitives::{Address, B256, Bytes};
use proptest::prelude::*;
use tributary_record::*;

#[test]
fn a_record_survives_its_bytes() {
    let record = world::record(1, 1);
    let bytes = record.encode().unwrap();
    assert_eq!(bytes[0], 1);
    assert_eq!(Record::decode(&bytes).unwrap(), record);
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    let bytes = world::record(1, 1).encode().unwrap();
    for len in 0..bytes.len() {
        assert!(Record::decode(&bytes[..len]).is_err(), "{len}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Record::decode(&longer), Err(DecodeError::Trailing(1)));
    let mut other = bytes;
    other[0] = 2;
    assert_eq!(Record::decode(&other), Err(DecodeError::Version(2)));
    assert!(matches!(Record::decode(&vec![1; MAX_RECORD_BYTES + 1]), Err(DecodeError::TooLong { .. })));
}

#[test]
fn lists_above_their_bounds_are_neither_written_nor_read() {
    let mut record = world::record(1, 1);
    record.sources = vec![Source { datanet: 1, epoch: 1 }; MAX_SOURCES + 1];
    assert!(matches!(record.encode(), Err(DecodeError::TooLong { what: "sources", .. })));
    let mut record = world::record(1, 1);
    record.spans = vec![Span { start: 0, len: 0, contribution: 0, offset: 0 }; MAX_SPANS + 1];
    assert!(matches!(record.encode(), Err(DecodeError::TooLong { what: "spans", .. })));
    let mut record = world::record(1, 1);
    record.payees = vec![Payee { index: 0, account: Address::ZERO, amount: 0 }; MAX_PAYEES + 1];
    assert!(matches!(record.encode(), Err(DecodeError::TooLong { what: "payees", .. })));
    let mut record = world::record(1, 1);
    record.output = vec![0; MAX_RECORD_BYTES / 4];
    assert!(matches!(record.encode(), Err(DecodeError::TooLong { what: "record", .. })));
    let mut record = world::record(1, 1);
    record.signature = Bytes::from_static(&[0; 64]);
    assert_eq!(record.encode(), Err(DecodeError::SignatureLength(64)));
}

#[test]
fn a_hostile_count_allocates_nothing() {
    let record = world::record(1, 1);
    let bytes = record.encode().unwrap();
    let output = record.output.len();
    let needle = (output as u32).to_be_bytes();
    let at = bytes.windows(4).position(|window| window == needle).expect("the output's count");
    let mut hostile = bytes;
    hostile[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(Record::decode(&hostile), Err(DecodeError::TooLong { what: "output", .. })));
}

#[test]
fn a_batch_survives_its_bytes() {
    let batch = BatchBytes {
        chain_id: 1,
        agent_id: 2,
        seq: 3,
        prev_batch: B256::repeat_byte(4),
        records: vec![world::record(1, 1), world::record(2, 9)],
    };
    let bytes = batch.encode().unwrap();
    assert_eq!(bytes[..4], MAGIC);
    assert_eq!(BatchBytes::decode(&bytes).unwrap(), batch);
    for len in 0..bytes.len() {
        assert!(BatchBytes::decode(&bytes[..len]).is_err(), "{len}");
    }
    let empty = BatchBytes { records: Vec::new(), ..batch.clone() };
    assert_eq!(empty.encode().unwrap().len(), BatchBytes::PREFIX_BYTES);
    let too_many = BatchBytes { records: vec![world::record(1, 1); 400], ..batch };
    assert!(matches!(too_many.encode(), Err(DecodeError::TooLong { what: "batch", .. })));
}

proptest! {
    /// Whatever decodes has one encoding: the bytes it came from.
    #[test]
    fn what_decodes_encodes_back(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut bytes = world::record(1, 1).encode().unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn hostile_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Record::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = Record::decode(&bytes);
        let mut batch = b"TRIB\x01".to_vec();
        batch.extend(&bytes);
        if let Ok((_, slices)) = BatchBytes::split(&batch) {
            prop_assert!(slices.iter().map(|slice| slice.len()).sum::<usize>() < batch.len());
        }
    }
}
