//! Twelve questions at once, across both adapters and the base model.

use alloy_primitives::B256;
use eyre::{OptionExt, Result};
use futures::future::try_join_all;
use serde_json::json;
use tributary_api::types::Receipt;

use super::{
    Narrator,
    setup::{Book, Stage},
};
use crate::{commands::chat::text_of, payer::Payer};

/// Questions to each adapter, and to the base model alone.
const PER_ADAPTER: usize = 5;
const TO_BASE: usize = 2;
/// Tokens of an answer at most: the longest entry has fewer.
const MAX_TOKENS: u32 = 160;

/// An answer with its receipt.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// The adapter; `None`: the base model.
    pub(super) adapter: Option<&'static str>,
    pub(super) prompt: String,
    pub(super) text: String,
    pub(super) receipt: Receipt,
}

impl Answered {
    pub(super) const fn request(&self) -> B256 {
        self.receipt.request_id
    }
}

/// Asks everything concurrently.
pub(super) async fn ask_all(payer: &Payer, stage: &Stage, narrator: &Narrator) -> Result<Vec<Answered>> {
    let mut questions: Vec<(Option<&'static str>, String)> = Vec::new();
    for book in &stage.books {
        questions.extend(ask_book(book).map(|question| (Some(book.name), question)));
    }
    questions.extend(stage.books.iter().flat_map(ask_book).take(TO_BASE).map(|question| (None, question)));
    let bar = narrator.bar(questions.len(), "ask");
    let asked = questions.into_iter().map(|(adapter, prompt)| {
        let bar = bar.clone();
        async move {
            let model = adapter.unwrap_or(&stage.base_name);
            let body = json!({
                "model": model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": MAX_TOKENS,
                "temperature": 0,
            });
            let reply = payer.chat(&body).await?;
            bar.inc(1);
            let text = text_of(&reply);
            let receipt = *reply.tributary.ok_or_eyre("the reply carries no receipt")?;
            Ok::<_, eyre::Report>(Answered { adapter, prompt, text, receipt })
        }
    });
    let answered = try_join_all(asked).await?;
    bar.finish_and_clear();
    Ok(answered)
}

/// Questions about a book in words it was not trained with.
fn ask_book(book: &Book) -> impl Iterator<Item = String> + '_ {
    book.selection
        .evaluate
        .iter()
        .take(PER_ADAPTER)
        .enumerate()
        .filter_map(|(index, headword)| book.recipe.held_out_question(book.documents.get(headword)?, index))
}
