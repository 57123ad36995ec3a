//! Certificates of blobs that nobody signed: the right outline, random content.

use crate::certificate::MEMSTORE_BLOCK;
use crate::rlp::Item;
use rand::{Rng, RngCore};

/// The RLP of a V4 certificate for a blob of this many symbols.
pub(super) fn certificate(symbols: u64) -> Vec<u8> {
    let block = MEMSTORE_BLOCK + rand::rng().random_range(0..32);
    let commitments = Item::List(vec![point(), g2(), g2(), Item::uint(symbols)]);
    let header = Item::List(vec![Item::uint(0), Item::Bytes(vec![0, 1]), commitments, random(32)]);
    let blob = Item::List(vec![header, random(48), indices()]);
    let signers = Item::List(vec![
        indices(),
        Item::List(vec![g1(), g1()]),
        Item::List(vec![g1(), g1()]),
        g2(),
        g1(),
        indices(),
        indices(),
        Item::List(vec![indices(), indices()]),
    ]);
    Item::List(vec![
        Item::List(vec![random(32), Item::uint(block)]),
        Item::List(vec![blob, number(), random(128)]),
        signers,
        Item::Bytes(Vec::new()),
        Item::uint(0),
    ])
    .encode()
}

fn random(len: usize) -> Item {
    let mut bytes = vec![0u8; len];
    rand::rng().fill_bytes(&mut bytes);
    Item::Bytes(bytes)
}

fn number() -> Item {
    Item::uint(rand::rng().random_range(0..1_000))
}

fn indices() -> Item {
    Item::List(vec![number(), number()])
}

fn g1() -> Item {
    Item::List(vec![number(), number()])
}

fn g2() -> Item {
    Item::List(vec![g1(), g1()])
}

/// Two coordinates of 31 bytes, so below the field's order, without leading zeros.
fn point() -> Item {
    let coordinate = || {
        let mut bytes = [0u8; 31];
        rand::rng().fill_bytes(&mut bytes);
        bytes[0] |= 1;
        Item::Bytes(bytes.to_vec())
    };
    Item::List(vec![coordinate(), coordinate()])
}
