//! What a full page is known by: everything its bits depend on, and whose it is.
//!
//! `root = keccak(tenant u64 ‖ salt b32 ‖ n u16 ‖ (artifact b32 ‖ weight f32)*)`,
//! `keyᵢ = keccak(keyᵢ₋₁ ‖ token u32*)` over the page's tokens, `key₋₁ = root`. The model and the profile are the same for
//! every page of a backend. An adapter counts by its artifact and never by a name, so what was computed with another one under the
//! same name is not found.

use crate::request::GenerateRequest;
use alloy_primitives::{B256, Keccak256};

/// Names a page by all that went into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PrefixKey(pub(crate) B256);

/// The keys of one sequence's pages, computed as they are asked for.
#[derive(Clone, Debug)]
pub(crate) struct PrefixChain {
    page_tokens: usize,
    root: B256,
    keys: Vec<PrefixKey>,
}

impl PrefixChain {
    pub(crate) fn new(request: &GenerateRequest, page_tokens: usize) -> Self {
        let mut hash = Keccak256::new();
        hash.update(request.tenant.to_be_bytes());
        hash.update(request.cache_salt);
        let parts = request.adapters.parts();
        hash.update((parts.len() as u16).to_be_bytes());
        for part in parts {
            hash.update(part.hash);
            hash.update(part.weight.to_bits().to_be_bytes());
        }
        Self { page_tokens, root: hash.finalize(), keys: Vec::new() }
    }

    /// The key of a page that `tokens` fill to its end. `tokens` only ever grow at their end.
    pub(crate) fn key(&mut self, tokens: &[u32], page: usize) -> Option<PrefixKey> {
        if (page + 1) * self.page_tokens > tokens.len() {
            return None;
        }
        while self.keys.len() <= page {
            let start = self.keys.len() * self.page_tokens;
            let mut hash = Keccak256::new();
            hash.update(self.keys.last().map_or(self.root, |key| key.0));
            for token in &tokens[start..start + self.page_tokens] {
                hash.update(token.to_be_bytes());
            }
            self.keys.push(PrefixKey(hash.finalize()));
        }
        self.keys.get(page).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_depend_on_all_before_them_and_on_whose_they_are() {
        let tokens: Vec<u32> = (0..48).collect();
        let keys = |request: &GenerateRequest, tokens: &[u32]| {
            let mut chain = PrefixChain::new(request, 16);
            (0..4).map_while(|page| chain.key(tokens, page)).collect::<Vec<_>>()
        };
        let base = GenerateRequest::default();
        let first = keys(&base, &tokens);
        assert_eq!(first.len(), 3);
        assert_eq!(keys(&base, &tokens[..47]), first[..2]);
        let mut changed = tokens.clone();
        changed[20] = 99;
        let second = keys(&base, &changed);
        assert_eq!(first[0], second[0]);
        assert!(first[1..].iter().all(|key| !second.contains(key)));
        let tenant = keys(&GenerateRequest { tenant: 1, ..GenerateRequest::default() }, &tokens);
        let salt = keys(
            &GenerateRequest { cache_salt: B256::repeat_byte(1), ..GenerateRequest::default() },
            &tokens,
        );
        let all: HashSet<_> = [&first[..], &second[1..], &tenant, &salt].into_iter().flatten().collect();
        assert_eq!(all.len(), 3 + 2 + 3 + 3);
    }

    #[test]
    fn a_chain_grows_with_its_tokens() {
        let tokens: Vec<u32> = (7..80).collect();
        let mut grown = PrefixChain::new(&GenerateRequest::default(), 16);
        for len in 0..tokens.len() {
            grown.key(&tokens[..len], len / 16);
        }
        let mut fresh = PrefixChain::new(&GenerateRequest::default(), 16);
        assert_eq!(grown.key(&tokens, 3), fresh.key(&tokens, 3));
        assert_eq!(fresh.key(&tokens, 4), None);
    }
}
