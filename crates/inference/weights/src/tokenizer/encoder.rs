//! Encoding and decoding whole texts.

use super::{Detokenizer, Kind, PreTokenizer, Vocabulary, bytes};
use crate::WeightsError;
use alloy_primitives::B256;
use regex::Regex;
use std::{collections::HashMap, fmt};
use tokenizers::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer as _, PreTokenizerWrapper, SplitDelimiterBehavior,
    models::bpe::{BPE, Vocab},
    normalizers::NFC,
    pre_tokenizers::{
        byte_level::ByteLevel,
        digits::Digits,
        split::{Split, SplitPattern},
    },
};

/// A model's tokenizer. Cheap to share; all methods take `&self`.
pub struct Tokenizer {
    pre: PreTokenizer,
    steps: Vec<PreTokenizerWrapper>,
    bpe: BPE,
    tokens: Vec<Token>,
    ids: HashMap<String, u32>,
    /// Matches tokens of kind user-defined, and those plus control tokens.
    user: Option<Regex>,
    special: Option<Regex>,
    bos: Option<u32>,
    eos: Vec<u32>,
    adds_bos: bool,
    hash: B256,
}

#[derive(Debug)]
struct Token {
    bytes: Vec<u8>,
    control: bool,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({}, {} tokens, {})", self.pre.name(), self.tokens.len(), self.hash)
    }
}

impl Tokenizer {
    pub(crate) fn new(vocabulary: Vocabulary) -> Result<Self, WeightsError> {
        let hash = vocabulary.hash();
        let Vocabulary { pre, tokens: names, merges, bos, eos, adds_bos } = vocabulary;
        let ids: HashMap<_, _> =
            names.iter().enumerate().map(|(id, (name, _))| (name.clone(), id as u32)).collect();
        if ids.len() != names.len() {
            return Err(WeightsError::Tokenizer("two tokens have the same string".into()));
        }
        let tokens = names
            .iter()
            .map(|(name, kind)| {
                let bytes = match kind {
                    Kind::Normal => bytes::decode(name),
                    Kind::Control | Kind::UserDefined => Some(name.clone().into_bytes()),
                };
                let bytes = bytes.ok_or_else(|| {
                    WeightsError::Tokenizer(format!("token {name:?} is not of a byte-level vocabulary"))
                })?;
                Ok(Token { bytes, control: *kind == Kind::Control })
            })
            .collect::<Result<Vec<_>, WeightsError>>()?;
        let bpe = BPE::builder()
            .vocab_and_merges(ids.iter().map(|(name, id)| (name.clone(), *id)).collect::<Vocab>(), merges)
            .ignore_merges(pre == PreTokenizer::Llama3)
            .build()
            .map_err(tokenizer_error)?;
        let user = matcher(names.iter().filter(|(_, kind)| *kind == Kind::UserDefined))?;
        let special = matcher(names.iter().filter(|(_, kind)| *kind != Kind::Normal))?;
        let ids = ids.into_iter().filter(|(_, id)| names[*id as usize].1 != Kind::Normal).collect();
        Ok(Self { pre, steps: steps(pre)?, bpe, tokens, ids, user, special, bos, eos, adds_bos, hash })
    }

    /// Encodes plain text: what looks like a control token in it stays text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, WeightsError> {
        self.encode_around(text, self.user.as_ref())
    }

    /// Encodes a rendered prompt: control tokens are recognised.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, WeightsError> {
        self.encode_around(text, self.special.as_ref())
    }

    fn encode_around(&self, text: &str, known: Option<&Regex>) -> Result<Vec<u32>, WeightsError> {
        let mut out = Vec::with_capacity(text.len() / 3);
        let mut from = 0;
        for found in known.iter().flat_map(|regex| regex.find_iter(text)) {
            self.encode_words(&text[from..found.start()], &mut out)?;
            out.extend(self.ids.get(found.as_str()));
            from = found.end();
        }
        self.encode_words(&text[from..], &mut out)?;
        Ok(out)
    }

    fn encode_words(&self, text: &str, out: &mut Vec<u32>) -> Result<(), WeightsError> {
        if text.is_empty() {
            return Ok(());
        }
        let mut normalized = NormalizedString::from(text);
        if self.pre == PreTokenizer::Qwen2 {
            NFC.normalize(&mut normalized).map_err(tokenizer_error)?;
        }
        let mut words = PreTokenizedString::from(normalized);
        for step in &self.steps {
            step.pre_tokenize(&mut words).map_err(tokenizer_error)?;
        }
        for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::None) {
            out.extend(self.bpe.tokenize(word).map_err(tokenizer_error)?.into_iter().map(|token| token.id));
        }
        Ok(())
    }

    /// Decodes tokens to text, control tokens left out; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens
            .iter()
            .filter(|id| !self.is_control(**id))
            .flat_map(|id| self.token_bytes(*id).unwrap_or_default().iter().copied())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts decoding a stream of tokens.
    pub fn detokenizer(&self) -> Detokenizer<'_> {
        Detokenizer::new(self)
    }

    /// The bytes a token stands for.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(|token| token.bytes.as_slice())
    }

    /// Whether a token is structure rather than text.
    pub fn is_control(&self, id: u32) -> bool {
        self.tokens.get(id as usize).is_some_and(|token| token.control)
    }

    /// The id of a control or user-defined token.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Number of tokens.
    pub const fn vocab(&self) -> usize {
        self.tokens.len()
    }

    /// The token that opens a text, if there is one.
    pub const fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether the model expects [`bos`](Self::bos) before a text that no template made.
    pub const fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Tokens that end an answer.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// How text is cut into words.
    pub const fn pre_tokenizer(&self) -> PreTokenizer {
        self.pre
    }

    /// `tokenizerHash`.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    pub(crate) fn bos_text(&self) -> String {
        self.text_of(self.bos)
    }

    pub(crate) fn eos_text(&self) -> String {
        self.text_of(self.eos.first().copied())
    }

    fn text_of(&self, id: Option<u32>) -> String {
        let bytes = id.and_then(|id| self.token_bytes(id)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Matches any of the tokens, the longest first.
fn matcher<'a>(names: impl Iterator<Item = &'a (String, Kind)>) -> Result<Option<Regex>, WeightsError> {
    let mut names: Vec<&str> = names.map(|(name, _)| name.as_str()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let pattern = names.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
    Regex::new(&pattern).map(Some).map_err(|error| WeightsError::Tokenizer(error.to_string()))
}

fn steps(pre: PreTokenizer) -> Result<Vec<PreTokenizerWrapper>, WeightsError> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    if pre == PreTokenizer::SmolLm {
        steps.push(Digits::new(true).into());
    }
    if let Some(pattern) = pre.pattern() {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        steps.push(
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(tokenizer_error)?.into(),
        );
    }
    steps.push(ByteLevel::new(false, true, pre.pattern().is_none()).into());
    Ok(steps)
}

fn tokenizer_error(error: tokenizers::Error) -> WeightsError {
    WeightsError::Tokenizer(error.to_string())
}
