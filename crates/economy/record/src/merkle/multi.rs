//! Several leaves under one root with the siblings they share.

use super::{MAX_DEPTH, node};
use alloy_primitives::B256;

/// Why a multiproof leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultiproofError {
    /// Indices must be strictly ascending and fit the depth.
    #[error("indices of a multiproof must ascend and fit the tree")]
    Indices,
    /// The siblings given are not as many as the places ask for.
    #[error("a multiproof with a wrong number of siblings")]
    Length,
}

/// The (height, place) of every sibling that a multiproof of `indices` holds: level by level from the leaves,
/// left to right, leaving out what follows from the leaves themselves.
///
/// # Errors
/// When the indices are not strictly ascending or do not fit.
pub fn multi_proof_indices(depth: usize, indices: &[u64]) -> Result<Vec<(usize, u64)>, MultiproofError> {
    check_indices(depth, indices)?;
    let mut places = indices.to_vec();
    let mut wanted = Vec::new();
    for height in 0..depth {
        let mut above = Vec::with_capacity(places.len());
        let mut at = 0;
        while at < places.len() {
            let place = places[at];
            let paired = place & 1 == 0 && places.get(at + 1) == Some(&(place + 1));
            if !paired {
                wanted.push((height, place ^ 1));
            }
            above.push(place >> 1);
            at += if paired { 2 } else { 1 };
        }
        places = above;
    }
    Ok(wanted)
}

/// The root that `leaves` (index, hash; ascending) and the shared siblings lead to. With no leaf at all the
/// proof must be the root alone.
///
/// # Errors
/// When indices or the number of siblings are wrong.
pub fn multi_root(depth: usize, leaves: &[(u64, B256)], proof: &[B256]) -> Result<B256, MultiproofError> {
    if leaves.is_empty() {
        return match proof {
            [root] => Ok(*root),
            _ => Err(MultiproofError::Length),
        };
    }
    let indices: Vec<u64> = leaves.iter().map(|leaf| leaf.0).collect();
    check_indices(depth, &indices)?;
    let mut siblings = proof.iter();
    let mut level = leaves.to_vec();
    for _ in 0..depth {
        let mut above = Vec::with_capacity(level.len());
        let mut at = 0;
        while at < level.len() {
            let (place, hash) = level[at];
            let partner = level.get(at + 1).filter(|next| place & 1 == 0 && next.0 == place + 1);
            let hash = match partner {
                Some((_, right)) => {
                    at += 1;
                    node(&hash, right)
                }
                None => {
                    let sibling = siblings.next().ok_or(MultiproofError::Length)?;
                    if place & 1 == 0 { node(&hash, sibling) } else { node(sibling, &hash) }
                }
            };
            above.push((place >> 1, hash));
            at += 1;
        }
        level = above;
    }
    if siblings.next().is_some() {
        return Err(MultiproofError::Length);
    }
    Ok(level[0].1)
}

fn check_indices(depth: usize, indices: &[u64]) -> Result<(), MultiproofError> {
    let ascending = indices.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = indices.last().is_none_or(|last| depth <= MAX_DEPTH && last >> depth == 0);
    if ascending && fits { Ok(()) } else { Err(MultiproofError::Indices) }
}
