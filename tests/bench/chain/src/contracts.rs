//! Two contracts, assembled by hand.

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};

/// An ERC-20 token as far as `transfer` and `balanceOf` go; balances lie where Solidity would put a mapping at slot 0.
pub(crate) const TOKEN: Address = address!("00000000000000000000000000000000000070c3");

/// `run(seed, n)`, without a selector: n times, hashes the seed again and adds one to the slot that the hash names.
pub(crate) const SLOTS: Address = address!("0000000000000000000000000000000000510751");

/// `Transfer(address,address,uint256)`.
pub(crate) const TRANSFER: B256 =
    B256::new(hex!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"));

/// Where the token keeps an account's balance.
pub(crate) fn balance_slot(holder: Address) -> B256 {
    let mut preimage = [0; 64];
    preimage[12..32].copy_from_slice(holder.as_slice());
    keccak256(preimage)
}

/// Calldata of `transfer(to, amount)`.
pub(crate) fn transfer(to: Address, amount: u64) -> Bytes {
    [hex!("a9059cbb").as_slice(), to.into_word().as_slice(), &U256::from(amount).to_be_bytes::<32>()]
        .concat()
        .into()
}

/// Calldata of `balanceOf(holder)`.
pub(crate) fn balance_of(holder: Address) -> Bytes {
    [hex!("70a08231").as_slice(), holder.into_word().as_slice()].concat().into()
}

/// Calldata of `run(seed, n)`.
pub(crate) fn run(seed: B256, n: u64) -> Bytes {
    [seed.as_slice(), &U256::from(n).to_be_bytes::<32>()].concat().into()
}

/// Code of [`TOKEN`].
pub(crate) fn token() -> Vec<u8> {
    let mut code = Vec::new();
    // The selector: `transfer` at 0x34, `balanceOf` at 0x1e.
    code.extend(hex!("5f3560e01c 80 63a9059cbb 14 6032 57 6370a08231 14 601d 57 5f5ffd"));
    code.resize(0x1d, 0x00);
    // balanceOf: mem[0] = holder; return sload(keccak(mem[0..64])).
    code.extend(hex!("5b 600435 5f52 60405f20 54 5f52 60205ff3"));
    code.resize(0x32, 0x00);
    // transfer: the sender's balance less the amount …
    code.extend(hex!("5b 602435 335f52 60405f20 80 54 8281 10"));
    let fail = code.len() + 1;
    code.extend(hex!("6000 57 8290 03 90 55"));
    // … the receiver's plus the amount …
    code.extend(hex!("600435 5f52 60405f20 80 54 82 01 90 55"));
    // … a log, and true.
    code.extend(hex!("5f52 600435 33 7f"));
    code.extend(TRANSFER);
    code.extend(hex!("60205f a3 60015f52 60205ff3"));
    code[fail] = code.len() as u8;
    code.extend(hex!("5b 5f5ffd"));
    code
}

/// Code of [`SLOTS`] over that many slots.
pub(crate) fn slots(count: u32) -> Vec<u8> {
    let mut code = hex!("5f35 602035 5b 80 15 6000 57 90 5f52 60205f20 80 63").to_vec();
    code.extend(count.to_be_bytes());
    code.extend(hex!("90 06 80 54 6001 01 90 55 90 6001 90 03 6005 56"));
    code[9] = code.len() as u8;
    code.extend(hex!("5b 00"));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place that is jumped to is one that may be.
    #[test]
    fn jumps_land() {
        for code in [token(), slots(1_000)] {
            let mut at = 0;
            let mut pushed = 0;
            while at < code.len() {
                match code[at] {
                    op @ 0x60..=0x7f => {
                        let width = usize::from(op - 0x5f);
                        pushed = if width == 1 { usize::from(code[at + 1]) } else { 0 };
                        at += width;
                    }
                    0x56 | 0x57 => assert_eq!(code[pushed], 0x5b, "jump at {at} to {pushed}"),
                    _ => {}
                }
                at += 1;
            }
        }
    }
}
