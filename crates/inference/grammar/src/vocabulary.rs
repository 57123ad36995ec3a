//! A tokenizer as `llguidance` sees it.

use std::sync::Arc;
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use tributary_weights::Tokenizer;

/// Longest token that a grammar may use; the trie has a bound, and falls over longer ones.
const MAX_TOKEN: usize = 512;

struct Vocabulary {
    trie: TokTrie,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.greedy_tokenize(bytes)
    }

    /// Text that a grammar forces is still chosen token by token.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// None where the model has no token that ends an answer.
pub(crate) fn vocabulary(tokenizer: &Tokenizer) -> Option<TokEnv> {
    let (first, vocab) = (*tokenizer.eos().first()?, u32::try_from(tokenizer.vocab()).ok()?);
    let words: Vec<Vec<u8>> = (0..vocab).map(|token| word(tokenizer, token)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(vocab, first), &words);
    Some(Arc::new(Vocabulary { trie: trie.with_eos_tokens(tokenizer.eos()) }))
}

/// A token's bytes; a control token's name behind a byte that no text has.
fn word(tokenizer: &Tokenizer, token: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(token).unwrap_or_default();
    if bytes.len() > MAX_TOKEN {
        return Vec::new();
    }
    if tokenizer.is_control(token) {
        return [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat();
    }
    // Invalid in UTF-8, so no grammar needs it; in the trie it would pass for a control token.
    if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) { Vec::new() } else { bytes.to_vec() }
}
