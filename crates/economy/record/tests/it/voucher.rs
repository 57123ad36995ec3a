use crate::world::{CHAIN, account, key, sign};
use alloy_primitives::{B256, Signature, U256};
use proptest::prelude::*;
use tributary_record::voucher::*;

fn voucher() -> Voucher {
    Voucher { channel: B256::repeat_byte(1), cumulative: U256::from(99), request_hash: B256::repeat_byte(2) }
}

#[test]
fn the_signer_is_recovered_on_its_chain_alone() {
    let signature = sign(&key(1), voucher().digest(CHAIN));
    assert_eq!(voucher().signer(CHAIN, &signature), Ok(account(1)));
    assert_ne!(voucher().signer(CHAIN + 1, &signature), Ok(account(1)));
    let other = Voucher { cumulative: U256::from(100), ..voucher() };
    assert_ne!(other.signer(CHAIN, &signature), Ok(account(1)));
}

#[test]
fn one_signature_has_one_form() {
    let signature = sign(&key(1), voucher().digest(CHAIN));
    let order =
        U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let s = U256::from_be_slice(&signature[32..64]);
    let mut high = signature.to_vec();
    high[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    high[64] = 55 - high[64];
    assert_eq!(voucher().signer(CHAIN, &high), Err(SignatureError::HighS));
    for v in [0, 1, 26, 29, 35, 255] {
        let mut other = signature.to_vec();
        other[64] = v;
        assert_eq!(voucher().signer(CHAIN, &other), Err(SignatureError::Form), "{v}");
    }
    assert_eq!(voucher().signer(CHAIN, &signature[..64]), Err(SignatureError::Form));
    let mut zero = vec![0u8; 65];
    zero[64] = 27;
    assert_eq!(voucher().signer(CHAIN, &zero), Err(SignatureError::Unrecoverable));
}

proptest! {
    #[test]
    fn two_libraries_recover_alike(seed: u64, digest: [u8; 32], flip in 0..130usize, bit in 0..8u32) {
        let mut signature = sign(&key(seed), digest.into()).to_vec();
        if let Some(byte) = signature.get_mut(flip) {
            *byte ^= 1 << bit;
        }
        let other = Signature::try_from(&signature[..])
            .ok()
            .filter(|other| [27, 28].contains(&signature[64]) && other.normalize_s().is_none())
            .and_then(|other| other.recover_address_from_prehash(&digest.into()).ok());
        prop_assert_eq!(recover(digest.into(), &signature).ok(), other);
    }

    #[test]
    fn hostile_signatures_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..70), odd: bool) {
        let _ = voucher().signer(CHAIN, &bytes);
        let mut full = bytes;
        full.resize(65, 0xff);
        full[64] = 27 + u8::from(odd);
        let _ = voucher().signer(CHAIN, &full);
    }
}
