//! EigenDA certificates, as far as they concern this node: their outline, and who made them.
//!
//! In standard mode a commitment is a version byte and the RLP of a certificate:
//! ```text
//! [ [batchRoot b32, referenceBlockNumber],
//!   [ [ [version, quorumNumbers, [ [X,Y], [[X0,X1],[Y0,Y1]], [[X0,X1],[Y0,Y1]], lengthSymbols ],
//!        paymentHeaderHash b32], signature, [relayKey…] ], blobIndex, inclusionProof ],
//!   [ [bitmapIndex…], [[X,Y]…], [[X,Y]…], [[X0,X1],[Y0,Y1]], [X,Y], [apkIndex…], [stakeIndex…], [[index…]…] ],
//!   signedQuorumNumbers, offchainDerivationVersion ]                     the last not before V4
//! ```

use crate::rlp::Item;

/// Version byte of V3 certificates.
pub const VERSION_V3: u8 = 2;
/// Version byte of V4 certificates, what dispersal returns today.
pub const VERSION_V4: u8 = 3;

/// A memstore's reference block numbers begin here, so that no recency check ever fails. Real ones are L1
/// block numbers, centuries below.
pub(crate) const MEMSTORE_BLOCK: u64 = 4_294_967_200;

/// What a certificate says that concerns this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// The L1 block its operators' state is of.
    pub reference_block: u64,
    /// Length of the blob in 32-byte symbols.
    pub symbols: u64,
}

/// Reads the outline of a V3 or V4 certificate; `None` when the RLP is no such certificate.
#[must_use]
pub fn outline(version: u8, rlp: &[u8]) -> Option<Outline> {
    let item = Item::decode(rlp)?;
    let parts = item.list()?;
    let fields = match version {
        VERSION_V3 => 4,
        VERSION_V4 => 5,
        _ => return None,
    };
    if parts.len() != fields || !fits(&item, &shape(version)) {
        return None;
    }
    let reference_block = parts.first()?.list()?.get(1)?.as_u64()?;
    let header = parts.get(1)?.list()?.first()?.list()?.first()?.list()?;
    let symbols = header.get(2)?.list()?.get(3)?.as_u64()?;
    Some(Outline { reference_block, symbols })
}

/// True when a commitment in standard mode is a memstore's.
#[must_use]
pub fn is_memstore(commitment: &[u8]) -> bool {
    let outline = commitment.split_first().and_then(|(version, rlp)| outline(*version, rlp));
    outline.is_some_and(|outline| outline.reference_block >= MEMSTORE_BLOCK)
}

/// What an item must look like.
enum Shape {
    /// A string of exactly so many bytes.
    Fixed(usize),
    /// Any string.
    Bytes,
    /// An integer of at most so many bytes.
    Uint(usize),
    /// A list of exactly these.
    List(Vec<Shape>),
    /// Any number of one kind.
    Many(Box<Shape>),
}

fn fits(item: &Item, shape: &Shape) -> bool {
    match (item, shape) {
        (Item::Bytes(bytes), Shape::Fixed(len)) => bytes.len() == *len,
        (Item::Bytes(_), Shape::Bytes) => true,
        (Item::Bytes(bytes), Shape::Uint(max)) => bytes.len() <= *max && bytes.first() != Some(&0),
        (Item::List(items), Shape::List(shapes)) => {
            items.len() == shapes.len() && items.iter().zip(shapes).all(|(item, shape)| fits(item, shape))
        }
        (Item::List(items), Shape::Many(shape)) => items.iter().all(|item| fits(item, shape)),
        _ => false,
    }
}

fn shape(version: u8) -> Shape {
    use Shape::{Bytes, Fixed, List, Many, Uint};
    let g1 = || List(vec![Uint(32), Uint(32)]);
    let g2 = || List(vec![List(vec![Uint(32), Uint(32)]), List(vec![Uint(32), Uint(32)])]);
    let indices = || Many(Box::new(Uint(4)));
    let commitments = List(vec![g1(), g2(), g2(), Uint(4)]);
    let blob_header = List(vec![Uint(2), Bytes, commitments, Fixed(32)]);
    let blob = List(vec![blob_header, Bytes, indices()]);
    let signatures = List(vec![
        indices(),
        Many(Box::new(g1())),
        Many(Box::new(g1())),
        g2(),
        g1(),
        indices(),
        indices(),
        Many(Box::new(indices())),
    ]);
    let batch_header = List(vec![Fixed(32), Uint(4)]);
    let mut parts = vec![batch_header, List(vec![blob, Uint(4), Bytes]), signatures, Bytes];
    if version == VERSION_V4 {
        parts.push(Uint(2));
    }
    List(parts)
}
