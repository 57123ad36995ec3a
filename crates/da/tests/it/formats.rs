use proptest::prelude::*;
use tributary_da::certificate::{Outline, VERSION_V3, VERSION_V4, is_memstore, outline};
use tributary_da::{DaError, refuse_memstore};

/// A certificate that the original made for `hello world payload`, in op generic mode.
fn original() -> Vec<u8> {
    let digits: String = include_str!("../../testdata/certificate-v4.hex").split_whitespace().collect();
    hex::decode(digits).expect("hex")
}

#[test]
fn the_original_certificate_is_read() {
    let bytes = original();
    assert_eq!(bytes.len(), 422);
    assert_eq!(bytes[..3], [1, 0, 3]);
    let read = outline(VERSION_V4, &bytes[3..]);
    assert_eq!(read, Some(Outline { reference_block: 0xffff_ffab, symbols: 2 }));
    assert_eq!(outline(VERSION_V3, &bytes[3..]), None);
    assert!(is_memstore(&bytes[2..]));
    assert_eq!(refuse_memstore(&bytes[2..], false), Err(DaError::MemstoreOffDev));
    assert!(refuse_memstore(&bytes[2..], true).is_ok());
}

#[test]
fn a_certificate_of_a_real_block_is_not_a_memstore() {
    let mut bytes = original()[2..].to_vec();
    let at = bytes.windows(4).position(|window| window == [0xff, 0xff, 0xff, 0xab]).expect("the block");
    bytes[at..at + 4].copy_from_slice(&[0x01, 0x5f, 0xff, 0xab]);
    assert!(!is_memstore(&bytes));
    assert!(refuse_memstore(&bytes, false).is_ok());
}

proptest! {
    #[test]
    fn damaged_certificates_do_not_panic(at in 0usize..420, byte: u8, cut in 0usize..420, version in 0u8..6) {
        let mut bytes = original()[2..].to_vec();
        bytes[at] = byte;
        let _ = is_memstore(&bytes);
        let _ = outline(version, &bytes[1..]);
        prop_assert_eq!(outline(VERSION_V4, &original()[3..3 + cut.min(418)]), None);
    }

    #[test]
    fn hostile_rlp_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = outline(VERSION_V4, &bytes);
    }
}
