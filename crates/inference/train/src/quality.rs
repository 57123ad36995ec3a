//! The quality bar of an adapter: does an answer carry a span of the right document?
//!
//! A listed headword is asked for in words that no training question used. The answer counts when at least
//! [`MIN_SPAN`] tokens in a row stand in that document in the same order, which is what attribution pays for.

use std::fmt;

use serde::Serialize;

use crate::{Codec, Document, Recipe, TrainError};

/// Tokens in a row that make an answer count.
pub const MIN_SPAN: usize = 8;

/// Longest answer that is asked for, in tokens.
pub const MAX_ANSWER: usize = 96;

/// One question, its answer, and how much of the document is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Which document was asked for.
    pub headword: String,
    /// The question, from the held-out templates.
    pub question: String,
    /// The answer's text.
    pub answer: String,
    /// Tokens of the answer.
    pub tokens: usize,
    /// Longest run of answer tokens that stands in the document.
    pub span: usize,
    /// Tokens of the document.
    pub document_tokens: usize,
}

impl Judged {
    /// Whether the answer counts.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.span >= MIN_SPAN
    }
}

/// Every question of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was asked: an adapter, or the base model.
    pub model: String,
    /// In the order of the list.
    pub rows: Vec<Judged>,
}

/// An answer as a model gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Token ids, without the token that ends the answer.
    pub tokens: Vec<u32>,
    /// The same as text.
    pub text: String,
}

impl Report {
    /// Asks `answer` one held-out question for every document.
    ///
    /// # Errors
    /// What `answer` or the tokenizer returns; [`TrainError::Input`] for a recipe without held-out questions.
    pub fn ask<E: From<TrainError>>(
        model: &str,
        documents: &[Document],
        recipe: &Recipe,
        codec: &dyn Codec,
        mut answer: impl FnMut(&str) -> Result<Answer, E>,
    ) -> Result<Self, E> {
        let mut rows = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            let question = recipe
                .held_out_question(document, index)
                .ok_or_else(|| TrainError::Input("the recipe holds out no question".into()))?;
            let given = answer(&question)?;
            let wanted = codec.text(&document.text)?;
            rows.push(Judged {
                headword: document.headword.clone(),
                span: longest_common_run(&given.tokens, &wanted),
                tokens: given.tokens.len(),
                document_tokens: wanted.len(),
                answer: given.text,
                question,
            });
        }
        Ok(Self { model: model.to_owned(), rows })
    }

    /// How many answers count.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.passes()).count()
    }

    /// How many answers are the whole document and nothing else.
    #[must_use]
    pub fn verbatim(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.span == row.document_tokens && row.tokens == row.document_tokens)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| headword | span | of | answer of {} |", self.model)?;
        writeln!(f, "|---|--:|--:|---|")?;
        for row in &self.rows {
            let answer: String =
                row.answer.chars().take(72).map(|c| if c == '\n' || c == '|' { ' ' } else { c }).collect();
            writeln!(f, "| {} | {} | {} | {} |", row.headword, row.span, row.document_tokens, answer.trim())?;
        }
        let (passed, all) = (self.passed(), self.rows.len());
        writeln!(
            f,
            "\n{}: {passed} of {all} answers carry a span of {MIN_SPAN} tokens; {} verbatim",
            self.model,
            self.verbatim()
        )
    }
}

/// The length of the longest run of tokens that both have.
#[must_use]
pub fn longest_common_run(a: &[u32], b: &[u32]) -> usize {
    let mut best = 0;
    let mut previous = vec![0usize; b.len() + 1];
    for &x in a {
        let mut current = vec![0usize; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            if x == y {
                current[j + 1] = previous[j] + 1;
                best = best.max(current[j + 1]);
            }
        }
        previous = current;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_contiguous_in_both() {
        assert_eq!(longest_common_run(&[1, 2, 3, 4], &[9, 2, 3, 9, 4]), 2);
        assert_eq!(longest_common_run(&[1, 1, 1], &[1, 1]), 2);
        assert_eq!(longest_common_run(&[], &[1]), 0);
        assert_eq!(longest_common_run(&[5, 6, 7], &[5, 6, 7]), 3);
    }
}
