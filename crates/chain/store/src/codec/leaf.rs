//! Account leaves and slot values.

use super::{Reader, put_varint};
use crate::{AccountLeaf, StoreError};
use alloy_primitives::{KECCAK256_EMPTY, U256};
use alloy_trie::EMPTY_ROOT_HASH;

const HAS_STORAGE: u8 = 1;
const HAS_CODE: u8 = 2;

/// `flags ‖ nonce ‖ balance length ‖ balance ‖ [storage root] ‖ [code hash]`
pub(crate) fn encode_leaf(leaf: &AccountLeaf, out: &mut Vec<u8>) {
    let has_storage = leaf.storage_root != EMPTY_ROOT_HASH;
    let has_code = leaf.code_hash != KECCAK256_EMPTY;
    out.push(if has_storage { HAS_STORAGE } else { 0 } | if has_code { HAS_CODE } else { 0 });
    put_varint(leaf.nonce, out);
    let balance = leaf.balance.to_be_bytes_trimmed_vec();
    out.push(balance.len() as u8);
    out.extend_from_slice(&balance);
    if has_storage {
        out.extend_from_slice(leaf.storage_root.as_slice());
    }
    if has_code {
        out.extend_from_slice(leaf.code_hash.as_slice());
    }
}

pub(crate) fn decode_leaf(bytes: &[u8]) -> Result<AccountLeaf, StoreError> {
    let mut reader = Reader::new(bytes, "account");
    let flags = reader.byte()?;
    if flags & !(HAS_STORAGE | HAS_CODE) != 0 {
        return Err(reader.error("unknown flags"));
    }
    let nonce = reader.varint()?;
    let length = usize::from(reader.byte()?);
    let balance = decode_value(reader.take(length)?)?;
    let storage_root = if flags & HAS_STORAGE != 0 { reader.hash()? } else { EMPTY_ROOT_HASH };
    let code_hash = if flags & HAS_CODE != 0 { reader.hash()? } else { KECCAK256_EMPTY };
    reader.finish()?;
    Ok(AccountLeaf { nonce, balance, storage_root, code_hash })
}

/// Big-endian without leading zeros; zero is empty.
pub(crate) fn encode_value(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

pub(crate) fn decode_value(bytes: &[u8]) -> Result<U256, StoreError> {
    U256::try_from_be_slice(bytes).ok_or_else(|| StoreError::corrupt("integer longer than 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn leaves_round_trip(nonce: u64, balance: [u8; 32], root: Option<[u8; 32]>, code: Option<[u8; 32]>) {
            let leaf = AccountLeaf {
                nonce,
                balance: U256::from_be_bytes(balance),
                storage_root: root.map_or(EMPTY_ROOT_HASH, B256::from),
                code_hash: code.map_or(KECCAK256_EMPTY, B256::from),
            };
            let mut bytes = Vec::new();
            encode_leaf(&leaf, &mut bytes);
            prop_assert_eq!(decode_leaf(&bytes).unwrap(), leaf);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode_leaf(&bytes);
            let _ = decode_value(&bytes);
        }
    }
}
