//! The quality bar of an adapter: does an answer carry a span of the right document?
//!
//! A listed headword is asked for in words that no training question used. The answer counts when at least
//! [`MIN_SPAN`] tokens in a row stand in that document in the same order, which is what attribution pays for. The headword
//! that opens a document is left out: to repeat the question's word is no knowledge.

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
    /// Longest run of answer tokens that stands in the document after its headword.
    pub span: usize,
    /// Tokens of the document after its headword.
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

impl Answer {
    /// An answer of which only the text is known, as an API gives it.
    ///
    /// # Errors
    /// What the tokenizer returns.
    pub fn from_text(text: String, codec: &dyn Codec) -> Result<Self, TrainError> {
        Ok(Self { tokens: codec.text(&text)?, text })
    }
}

/// One held-out question for every document, in order.
///
/// # Errors
/// [`TrainError::Input`] for a recipe that holds out no question.
pub fn questions(documents: &[Document], recipe: &Recipe) -> Result<Vec<String>, TrainError> {
    let missing = || TrainError::Input("the recipe holds out no question".into());
    let questions = documents.iter().enumerate();
    questions.map(|(index, document)| recipe.held_out_question(document, index).ok_or_else(missing)).collect()
}

impl Report {
    /// Judges the answers to [`questions`], one for every document.
    ///
    /// # Errors
    /// [`TrainError::Input`] when there are not as many answers as documents; what the tokenizer returns.
    pub fn judge(
        model: &str,
        documents: &[Document],
        recipe: &Recipe,
        codec: &dyn Codec,
        answers: Vec<Answer>,
    ) -> Result<Self, TrainError> {
        if answers.len() != documents.len() {
            return Err(TrainError::Input(format!(
                "{} answers about {} documents",
                answers.len(),
                documents.len()
            )));
        }
        let asked = documents.iter().zip(questions(documents, recipe)?).zip(answers);
        let rows = asked.map(|((document, question), answer)| judge(document, question, answer, codec));
        Ok(Self { model: model.to_owned(), rows: rows.collect::<Result<_, _>>()? })
    }

    /// How many answers count.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.passes()).count()
    }

    /// How many answers hold the whole document.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.rows.iter().filter(|row| row.span == row.document_tokens).count()
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
            "\n{}: {passed} of {all} answers carry a span of {MIN_SPAN} tokens; {} hold the whole text",
            self.model,
            self.whole()
        )
    }
}

fn judge(
    document: &Document,
    question: String,
    answer: Answer,
    codec: &dyn Codec,
) -> Result<Judged, TrainError> {
    let head = if document.head().is_empty() { 0 } else { codec.text(document.head())?.len() };
    let mut wanted = codec.text(&document.text)?;
    let wanted = wanted.split_off(head.min(wanted.len()));
    Ok(Judged {
        headword: document.headword.clone(),
        span: longest_common_run(&answer.tokens, &wanted),
        tokens: answer.tokens.len(),
        document_tokens: wanted.len(),
        answer: answer.text,
        question,
    })
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

    struct Words;

    impl Codec for Words {
        fn prompt(&self, question: &str) -> Result<Vec<u32>, TrainError> {
            self.text(question)
        }

        fn text(&self, text: &str) -> Result<Vec<u32>, TrainError> {
            Ok(text
                .split(' ')
                .map(|word| word.bytes().fold(7, |hash, byte| hash * 31 + u32::from(byte)))
                .collect())
        }

        fn end(&self) -> u32 {
            0
        }
    }

    #[test]
    fn a_repeated_headword_is_no_span_and_the_table_says_who_passed() {
        let text = "One two three four five six seven eight nine.";
        let documents =
            [Document::new("ox", format!("Ox: {text}")), Document::new("elk", format!("Elk: {text}"))];
        let answer = |text: &str| Answer::from_text(text.to_owned(), &Words).unwrap();
        let answers =
            vec![answer("Ox: One two three four five six seven or\nso"), answer(&documents[1].text)];
        let report = Report::judge("m", &documents, &Recipe::default(), &Words, answers).unwrap();
        assert_eq!(report.rows.iter().map(|row| row.span).collect::<Vec<_>>(), [7, 9]);
        assert_eq!((report.passed(), report.whole()), (1, 1));
        assert!(report.to_string().contains("m: 1 of 2 answers"), "{report}");
        assert!(
            Report::judge("m", &documents, &Recipe::default(), &Words, Vec::new()).unwrap_err().is_input()
        );
    }

    #[test]
    fn runs_are_contiguous_in_both() {
        assert_eq!(longest_common_run(&[1, 2, 3, 4], &[9, 2, 3, 9, 4]), 2);
        assert_eq!(longest_common_run(&[1, 1, 1], &[1, 1]), 2);
        assert_eq!(longest_common_run(&[], &[1]), 0);
        assert_eq!(longest_common_run(&[5, 6, 7], &[5, 6, 7]), 3);
    }
}
