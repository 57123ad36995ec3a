//! From documents and questions to padded batches.

use rand::{Rng, seq::SliceRandom};

use crate::{Document, Recipe, TrainError, model::Batch};

/// How text becomes tokens: the base model's tokenizer and chat template.
pub trait Codec {
    /// The tokens of a chat with one user message, up to where the answer begins.
    ///
    /// # Errors
    /// [`TrainError::Base`] when the template or the tokenizer fails.
    fn prompt(&self, question: &str) -> Result<Vec<u32>, TrainError>;

    /// The tokens of a text alone.
    ///
    /// # Errors
    /// [`TrainError::Base`] when the tokenizer fails.
    fn text(&self, text: &str) -> Result<Vec<u32>, TrainError>;

    /// The token that ends an answer.
    fn end(&self) -> u32;
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    tokens: Vec<u32>,
    /// Where the answer begins.
    answer: usize,
    /// Where the answer's text begins after the document's headword.
    body: usize,
}

impl Example {
    pub(crate) fn new(
        mut prompt: Vec<u32>,
        answer: &[u32],
        end: u32,
        max: usize,
    ) -> Result<Self, TrainError> {
        let at = prompt.len();
        if at == 0 || at >= max || answer.is_empty() {
            return Err(TrainError::Input(format!(
                "a question of {at} tokens and an answer of {} do not fit into {max}",
                answer.len()
            )));
        }
        prompt.extend(answer.iter().copied().chain([end]));
        prompt.truncate(max);
        Ok(Self { tokens: prompt, answer: at, body: at })
    }

    fn of(
        document: &Document,
        question: &str,
        recipe: &Recipe,
        codec: &dyn Codec,
    ) -> Result<Self, TrainError> {
        let answer = codec.text(&document.text)?;
        let mut example = Self::new(codec.prompt(question)?, &answer, codec.end(), recipe.max_tokens)?;
        if !document.head().is_empty() {
            example.body += codec.text(document.head())?.len();
        }
        Ok(example)
    }

    /// Answer tokens before the text proper.
    pub(crate) fn head_len(&self) -> usize {
        self.body - self.answer
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens the loss is taken over.
    pub(crate) fn answer_len(&self) -> usize {
        self.tokens.len() - self.answer
    }
}

/// Pads on the right: causal attention never looks there, and no loss is taken there.
pub(crate) fn batch(examples: &[&Example]) -> Batch {
    let longest = examples.iter().map(|example| example.len()).max().unwrap_or(0);
    // The last token is only predicted, never read.
    let positions = longest.saturating_sub(1);
    let mut batch = Batch { tokens: Vec::new(), positions, wanted: Vec::new(), targets: Vec::new() };
    for example in examples {
        let start = batch.tokens.len();
        let read = &example.tokens[..example.len() - 1];
        batch.tokens.extend_from_slice(read);
        batch.tokens.resize(start + positions, 0);
        batch.wanted.extend((example.answer - 1..read.len()).map(|at| (start + at) as u32));
        batch.targets.extend_from_slice(&example.tokens[example.answer..]);
    }
    batch
}

/// The examples of one epoch after the other.
pub(crate) struct Curriculum {
    /// Of each document, its examples in the order they come up.
    of_document: Vec<Vec<Example>>,
}

impl Curriculum {
    pub(crate) fn new(
        documents: &[Document],
        recipe: &Recipe,
        codec: &dyn Codec,
        rng: &mut impl Rng,
    ) -> Result<Self, TrainError> {
        if documents.is_empty() {
            return Err(TrainError::Input("no documents to train on".into()));
        }
        let mut of_document = Vec::with_capacity(documents.len());
        for document in documents {
            let mut questions = recipe.questions_of(document)?;
            questions.shuffle(rng);
            let taken = questions.iter().take(recipe.epochs);
            let examples = taken.map(|question| Example::of(document, question, recipe, codec));
            of_document.push(examples.collect::<Result<_, TrainError>>()?);
        }
        Ok(Self { of_document })
    }

    /// Batches of one epoch: documents shuffled, neighbours in length together so that little is padded.
    pub(crate) fn epoch(&self, epoch: usize, size: usize, rng: &mut impl Rng) -> Vec<Vec<&Example>> {
        let mut examples: Vec<&Example> = self.of_document.iter().map(|of| &of[epoch % of.len()]).collect();
        examples.shuffle(rng);
        for pool in examples.chunks_mut(size * 6) {
            pool.sort_by_key(|example| example.len());
        }
        let mut batches: Vec<Vec<&Example>> = examples.chunks(size).map(<[_]>::to_vec).collect();
        batches.shuffle(rng);
        batches
    }
}

/// One held-out question for every `stride`-th document.
pub(crate) fn held_out(
    documents: &[Document],
    recipe: &Recipe,
    codec: &dyn Codec,
    stride: usize,
) -> Result<Vec<Example>, TrainError> {
    let asked = documents.iter().step_by(stride.max(1)).enumerate();
    let questions =
        asked.filter_map(|(i, document)| Some((document, recipe.held_out_question(document, i)?)));
    questions
        .map(|(document, question)| {
            Example::new(
                codec.prompt(&question)?,
                &codec.text(&document.text)?,
                codec.end(),
                recipe.max_tokens,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    struct Bytes;

    impl Codec for Bytes {
        fn prompt(&self, question: &str) -> Result<Vec<u32>, TrainError> {
            self.text(question)
        }

        fn text(&self, text: &str) -> Result<Vec<u32>, TrainError> {
            Ok(text.bytes().map(u32::from).collect())
        }

        fn end(&self) -> u32 {
            256
        }
    }

    #[test]
    fn only_answers_are_predicted() {
        let short = Example::new(vec![1, 2], &[3], 9, 100).unwrap();
        let long = Example::new(vec![4], &[5, 6, 7], 9, 100).unwrap();
        let batch = batch(&[&short, &long]);
        assert_eq!(batch.positions, 4);
        assert_eq!(batch.tokens, [1, 2, 3, 0, 4, 5, 6, 7]);
        assert_eq!(batch.wanted, [1, 2, 4, 5, 6, 7]);
        assert_eq!(batch.targets, [3, 9, 5, 6, 7, 9]);
    }

    #[test]
    fn a_question_that_fills_the_window_is_refused() {
        assert!(Example::new(vec![1; 8], &[2], 9, 8).is_err());
        assert_eq!(Example::new(vec![1; 7], &[2, 3], 9, 8).unwrap().answer_len(), 1);
    }

    #[test]
    fn each_epoch_asks_each_document_once_and_differently() {
        let documents: Vec<_> =
            (0..20).map(|i| Document::new(format!("word{i}"), "text".repeat(i + 1))).collect();
        let recipe = Recipe { epochs: 3, ..Recipe::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let curriculum = Curriculum::new(&documents, &recipe, &Bytes, &mut rng).unwrap();
        let mut seen = std::collections::HashSet::new();
        for epoch in 0..3 {
            let batches = curriculum.epoch(epoch, 8, &mut rng);
            assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 20);
            seen.extend(batches.into_iter().flatten().map(|example| example.tokens.clone()));
        }
        assert_eq!(seen.len(), 60);
    }
}
