//! Embeddings: one text at a time, beside the engine.

use crate::{
    error::{ApiError, Result},
    keys::Tally,
    types::Prompt,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tributary_embed::{EmbedError, Embedder};

/// Texts of a request.
const MAX_TEXTS: usize = 2048;
/// Tokens of all of them.
const MAX_TOKENS: usize = 1 << 16;
/// Requests that wait.
const MAX_WAITING: usize = 64;

/// The embedding model and who waits for it.
#[derive(Debug)]
pub(crate) struct EmbeddingDesk {
    model: Option<(String, Arc<Embedder>)>,
    turn: Semaphore,
    waiting: AtomicUsize,
}

impl EmbeddingDesk {
    pub(crate) fn new(model: Option<(String, Arc<Embedder>)>) -> Self {
        Self { model, turn: Semaphore::new(1), waiting: AtomicUsize::new(0) }
    }

    /// The model's name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.as_ref().map(|(name, _)| name.as_str())
    }

    pub(crate) fn embedder(&self, name: &str) -> Result<&Arc<Embedder>> {
        match &self.model {
            None => Err(ApiError::NoEmbeddings),
            Some((known, embedder)) if known == name => Ok(embedder),
            Some(_) => Err(ApiError::ModelNotFound(name.chars().take(256).collect())),
        }
    }

    /// The texts' tokens.
    pub(crate) async fn tokens(
        &self,
        embedder: &Arc<Embedder>,
        input: Prompt,
        cut: Option<usize>,
    ) -> Result<Vec<Vec<u32>>> {
        let (embedder, limit) = (Arc::clone(embedder), embedder.limit());
        let tokens = blocking(move || match input {
            Prompt::Text(text) => Ok(vec![embedder.tokens(&text, cut)?]),
            Prompt::Texts(texts) => {
                bounded(texts.len())?;
                texts.iter().map(|text| Ok(embedder.tokens(text, cut)?)).collect()
            }
            Prompt::Tokens(tokens) => Ok(vec![tokens]),
            Prompt::TokenLists(lists) => {
                bounded(lists.len())?;
                Ok(lists)
            }
        })
        .await?;
        let longest = cut.map_or(limit, |cut| cut.min(limit));
        let tokens: Vec<Vec<u32>> = tokens
            .into_iter()
            .map(|mut text| {
                if cut.is_some() {
                    text.truncate(longest);
                }
                text
            })
            .collect();
        if tokens.iter().map(Vec::len).sum::<usize>() > MAX_TOKENS {
            return Err(ApiError::TooLong(format!("a request has {MAX_TOKENS} tokens at most")));
        }
        Ok(tokens)
    }

    /// Embeds text after text, each on a thread of its own: a request that nobody waits for ends with the text at hand.
    pub(crate) async fn embed(
        &self,
        embedder: &Arc<Embedder>,
        texts: Vec<Vec<u32>>,
        mut tally: Tally,
    ) -> Result<Vec<Vec<f32>>> {
        let _waiting = Waiting::enter(&self.waiting)?;
        let _turn = self.turn.acquire().await.map_err(|error| ApiError::Internal(error.to_string()))?;
        let mut all = Vec::with_capacity(texts.len());
        for tokens in texts {
            let embedder = Arc::clone(embedder);
            tally.count(tokens.len() as u64);
            all.push(blocking(move || Ok(embedder.embed(&tokens)?)).await?);
        }
        Ok(all)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self> {
        let place = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            let message = format!("{MAX_WAITING} requests for embeddings are waiting already");
            return Err(ApiError::Busy { message, retry_after: Duration::from_secs(1) });
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bounded(texts: usize) -> Result<()> {
    if (1..=MAX_TEXTS).contains(&texts) {
        Ok(())
    } else {
        Err(ApiError::invalid("input", format!("a request has between 1 and {MAX_TEXTS} texts")))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::Internal(error.to_string()))?
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> Self {
        let message = error.to_string();
        match error {
            EmbedError::TooLong { .. } => Self::TooLong(message),
            EmbedError::Empty | EmbedError::BadToken(_) => Self::invalid("input", message),
            _ => Self::Internal(message),
        }
    }
}
