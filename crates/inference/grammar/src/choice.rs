//! One of several texts. No parser: its work would grow with their number, where here it does with the tokens that fit.

use std::sync::Arc;
use toktrie::{Recognizer, TokEnv, TokTrie};
use tributary_engine::{TokenConstraint, TokenMask};

/// What there is to choose from.
pub(crate) struct Choices {
    /// In order, each once: those that begin alike are neighbours.
    texts: Vec<Box<[u8]>>,
    vocabulary: TokEnv,
}

/// The texts that begin with what was said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
    /// Bytes that were said.
    said: usize,
}

impl Choices {
    pub(crate) fn new(choices: &[String], vocabulary: TokEnv) -> Self {
        let mut texts: Vec<Box<[u8]>> = choices.iter().map(|choice| choice.as_bytes().into()).collect();
        texts.sort_unstable();
        texts.dedup();
        Self { texts, vocabulary }
    }

    const fn all(&self) -> Span {
        Span { from: 0, to: self.texts.len(), said: 0 }
    }

    /// Those that go on with a byte, if there are any.
    fn narrow(&self, span: Span, byte: u8) -> Option<Span> {
        let next = |text: &[u8]| text.get(span.said).copied();
        let texts = &self.texts[span.from..span.to];
        let from = texts.partition_point(|text| next(text) < Some(byte));
        let count = texts[from..].partition_point(|text| next(text) == Some(byte));
        let from = span.from + from;
        (count > 0).then_some(Span { from, to: from + count, said: span.said + 1 })
    }

    /// Whether one is complete: it comes before all that go on.
    fn is_complete(&self, span: Span) -> bool {
        self.texts[span.from].len() == span.said
    }
}

/// One answer's place among them.
pub(crate) struct Chosen {
    choices: Arc<Choices>,
    span: Span,
    /// By a token that says so: whose request ignores such tokens may be drawn one all the same.
    ended: bool,
}

impl Chosen {
    pub(crate) fn new(choices: &Arc<Choices>) -> Self {
        Self { choices: Arc::clone(choices), span: choices.all(), ended: false }
    }

    fn trie(&self) -> &TokTrie {
        self.choices.vocabulary.tok_trie()
    }
}

impl TokenConstraint for Chosen {
    fn mask(&mut self, allowed: &mut TokenMask) -> Result<(), String> {
        let mut walk = Walk { choices: &self.choices, spans: vec![self.span] };
        let mut mask = self.trie().alloc_token_set();
        self.trie().add_bias(&mut walk, &mut mask, &[]);
        allowed.allow_words(mask.as_slice());
        if self.choices.is_complete(self.span) {
            self.trie().eos_tokens().iter().for_each(|token| allowed.allow(*token));
        }
        Ok(())
    }

    fn commit(&mut self, token: u32) -> Result<(), String> {
        if self.choices.is_complete(self.span) && self.trie().eos_tokens().contains(&token) {
            self.ended = true;
            return Ok(());
        }
        let said = self.trie().decode_raw(&[token]);
        let span = said.iter().try_fold(self.span, |span, byte| self.choices.narrow(span, *byte));
        self.span = span.ok_or("no choice goes on with this token")?;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.ended || self.span.from + 1 == self.span.to && self.choices.is_complete(self.span)
    }
}

/// A way through the tree of tokens, along the texts that fit.
struct Walk<'a> {
    choices: &'a Choices,
    /// One for the beginning and one for each byte of the way.
    spans: Vec<Span>,
}

impl Recognizer for Walk<'_> {
    fn try_push_byte(&mut self, byte: u8) -> bool {
        let span = self.spans.last().and_then(|span| self.choices.narrow(*span, byte));
        self.spans.extend(span);
        span.is_some()
    }

    fn pop_bytes(&mut self, num: usize) {
        self.spans.truncate(self.spans.len() - num);
    }

    fn collapse(&mut self) {}

    fn trie_finished(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use llguidance::{Matcher, ParserFactory, earley::SlicedBiasComputer};
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use toktrie::{ApproximateTokEnv, InferenceCapabilities, TokRxInfo};

    /// Every byte, and what the texts are made of in pieces.
    fn vocabulary(choices: &[String]) -> TokEnv {
        let mut words: Vec<Vec<u8>> = (0..=0xfe).map(|byte| vec![byte]).collect();
        for choice in choices {
            words.extend((2..9).flat_map(|size| choice.as_bytes().windows(size).map(<[u8]>::to_vec)));
        }
        words.push([&[TokTrie::SPECIAL_TOKEN_MARKER][..], b"<end>"].concat());
        let info = TokRxInfo::new(words.len() as u32, words.len() as u32 - 1);
        Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)))
    }

    fn choices() -> Vec<Vec<String>> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        vec![
            texts(&["yes", "no", "y", "yes and no", "no"]),
            texts(&["", "a", "ab", "abc", "b"]),
            texts(&[""]),
            texts(&["one alone"]),
            texts(&["quote \" \\ \n", "€", "€𝄞", "é", "\t", "(a|b)*"]),
            (0..400).map(|n| format!("option {}", n * n)).collect(),
            (1..60).map(|n| "ab".repeat(n)).collect(),
        ]
    }

    /// The engine keeps its name: what computes the masks of choices makes no difference to them.
    #[test]
    fn masks_are_the_ones_of_a_grammar() {
        let mut noise = StdRng::seed_from_u64(3);
        for texts in choices() {
            let vocabulary = vocabulary(&texts);
            let slices = SlicedBiasComputer::general_slices();
            let factory = ParserFactory::new(&vocabulary, InferenceCapabilities::default(), &slices).unwrap();
            let grammar = Matcher::new(factory.create_parser(Shape::Choice(texts.clone()).grammar()));
            let choices = Arc::new(Choices::new(&texts, vocabulary));
            for _ in 0..20 {
                assert_same(Chosen::new(&choices), grammar.deep_clone(), &mut noise);
            }
        }
    }

    /// On one way to the end.
    fn assert_same(mut chosen: Chosen, mut grammar: Matcher, noise: &mut StdRng) {
        let (vocab, end) = (chosen.trie().vocab_size() as u32, chosen.trie().eos_token());
        let (mut mine, mut theirs) = (TokenMask::default(), TokenMask::default());
        loop {
            mine.reset(vocab);
            chosen.mask(&mut mine).unwrap();
            theirs.reset(vocab);
            theirs.allow_words(grammar.compute_mask_or_eos().unwrap().as_slice());
            assert_eq!(mine, theirs, "{:?}", chosen.span);
            let allowed: Vec<u32> = (0..vocab).filter(|token| mine.contains(*token)).collect();
            let token = allowed[noise.random_range(0..allowed.len())];
            if !grammar.is_stopped() {
                grammar.consume_token(token).unwrap();
            }
            chosen.commit(token).unwrap();
            assert_eq!(chosen.is_finished(), grammar.is_stopped(), "{:?}", chosen.span);
            if token == end {
                assert!(chosen.is_finished());
                return;
            }
        }
    }

    #[test]
    fn what_is_no_choice_is_not_taken() {
        let texts = vec!["ab".to_owned()];
        let vocabulary = vocabulary(&texts);
        let mut chosen = Chosen::new(&Arc::new(Choices::new(&texts, vocabulary)));
        assert!(chosen.commit(u32::from(b'b')).is_err() && chosen.commit(chosen.trie().eos_token()).is_err());
        assert!(chosen.commit(u32::from(b'a')).is_ok() && chosen.commit(u32::from(b'b')).is_ok());
        assert!(chosen.is_finished() && chosen.commit(u32::from(b'b')).is_err());
        assert!(chosen.commit(u32::MAX).is_err());
    }
}
