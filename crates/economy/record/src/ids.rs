//! Identifiers and digests: everything that is named by a hash of its parts.

use crate::abi::Words;
use crate::constants::{CHUNK_TOKENS, DATANETS, DEPTH_NARROW, MAX_CONTRIBUTION_TOKENS, SETTLEMENT};
use crate::merkle::{Tree, chunk_leaf};
use alloy_primitives::{Address, B256, U256, keccak256};

/// A contribution's id: `datanet << 32 | leaf index`.
#[must_use]
pub const fn contribution_id(datanet: u64, index: u32) -> u64 {
    datanet << 32 | index as u64
}

/// The datanet of a contribution id.
#[must_use]
pub const fn datanet_of(contribution: u64) -> u64 {
    contribution >> 32
}

/// The leaf index of a contribution id.
#[must_use]
pub const fn index_of(contribution: u64) -> u32 {
    (contribution & 0xffff_ffff) as u32
}

/// A channel's id: hash(abi.encode(chainId, Settlement, agentId, payer, nonce)).
#[must_use]
pub fn channel_id(chain_id: u64, agent_id: u64, payer: Address, nonce: U256) -> B256 {
    Words::new().uint(chain_id).address(SETTLEMENT).uint(agent_id).address(payer).u256(nonce).hash()
}

/// What a payer's voucher says about the request it pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the payer, unique in the channel.
    pub request_id: B256,
    /// The base model.
    pub model_id: u64,
    /// The adapter, 0 for none.
    pub adapter_id: u64,
    /// The block whose rates, owners and parameters apply.
    pub l2_block: u64,
    /// Prompt tokens, as the agent quoted them.
    pub n_in: u32,
    /// The most this request may cost.
    pub max_fee: u128,
    /// 0: traced and public. 1 is reserved.
    pub privacy: u8,
    /// Hash of the HTTP body.
    pub body_hash: B256,
}

impl Request {
    /// requestHash: hash(abi.encode(requestId, modelId, adapterId, l2Block, nIn, maxFee, privacy, bodyHash)).
    #[must_use]
    pub fn hash(&self) -> B256 {
        Words::new()
            .word(self.request_id)
            .uint(self.model_id)
            .uint(self.adapter_id)
            .uint(self.l2_block)
            .uint(self.n_in)
            .uint(self.max_fee)
            .uint(self.privacy)
            .word(self.body_hash)
            .hash()
    }
}

/// Token ids as they are hashed and stored: u32, big-endian.
#[must_use]
pub fn token_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_be_bytes()).collect()
}

/// Token ids from a token file; `None` when it is not a whole number of ids.
#[must_use]
pub fn tokens_from_bytes(bytes: &[u8]) -> Option<Vec<u32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| words.iter().map(|word| u32::from_be_bytes(*word)).collect())
}

/// What an agent signs to hand a payer a receipt: hash(abi.encode(requestHash, hash(output), nOut, fee)).
#[must_use]
pub fn receipt_digest(request_hash: B256, output: &[u32], fee: u128) -> B256 {
    Words::new()
        .word(request_hash)
        .word(keccak256(token_bytes(output)))
        .uint(output.len() as u64)
        .uint(fee)
        .hash()
}

/// What a contributor commits to before revealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// The datanet it is meant for.
    pub datanet: u64,
    /// Who reveals it and earns from it.
    pub contributor: Address,
    /// Hash of the text; informative.
    pub content_hash: B256,
    /// Root of the tokens tree.
    pub tokens_root: B256,
    /// Number of tokens.
    pub tokens: u64,
    /// Keeps the commitment from being guessed.
    pub salt: B256,
}

impl Contribution {
    /// hash(abi.encode(chainId, Datanets, datanetId, contributor, contentHash, tokensRoot, tokens, salt)).
    #[must_use]
    pub fn commitment(&self, chain_id: u64) -> B256 {
        Words::new()
            .uint(chain_id)
            .address(DATANETS)
            .uint(self.datanet)
            .address(self.contributor)
            .word(self.content_hash)
            .word(self.tokens_root)
            .uint(self.tokens)
            .word(self.salt)
            .hash()
    }
}

/// The tree over a contribution's chunks of 256 token ids.
///
/// `None` unless there are 1 to 2²⁴ tokens.
#[must_use]
pub fn tokens_tree(tokens: &[u32]) -> Option<Tree> {
    if tokens.is_empty() || tokens.len() > MAX_CONTRIBUTION_TOKENS as usize {
        return None;
    }
    let leaves = tokens
        .chunks(CHUNK_TOKENS)
        .zip(0u32..)
        .map(|(chunk, index)| chunk_leaf(index, keccak256(token_bytes(chunk))))
        .collect();
    Tree::new(DEPTH_NARROW, leaves).ok()
}

/// The root of [`tokens_tree`].
#[must_use]
pub fn tokens_root(tokens: &[u32]) -> Option<B256> {
    tokens_tree(tokens).map(|tree| tree.root())
}
