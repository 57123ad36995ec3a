//! Embeddings: one text at a time, beside the engine.

use crate::{
    error::{ApiError, Result},
    keys::Tally,
    types::Prompt,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;
use tributary_embed::{EmbedError, Embedder};

/// Texts of a request.
const MAX_TEXTS: usize = 2048;
/// Tokens of all of them.
const MAX_TOKENS: usize = 1 << 16;
/// Requests under way.
const MAX_WAITING: usize = 64;
/// Of one tenant.
const MAX_OF_ONE: usize = 16;

/// The embedding model and who waits for it. Requests take turns by the text, so that a short one does not wait for a long one's end.
#[derive(Debug)]
pub(crate) struct EmbeddingDesk {
    model: Option<(String, Arc<Embedder>)>,
    turn: Arc<Semaphore>,
    /// By tenant.
    waiting: Mutex<HashMap<u64, usize>>,
}

impl EmbeddingDesk {
    pub(crate) fn new(model: Option<(String, Arc<Embedder>)>) -> Self {
        Self { model, turn: Arc::new(Semaphore::new(1)), waiting: Mutex::default() }
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
            return Err(ApiError::too_long("input", format!("a request has {MAX_TOKENS} tokens at most")));
        }
        Ok(tokens)
    }

    /// Embeds text after text, each on a thread of its own: a request that nobody waits for ends with the text at hand, whose turn lasts
    /// as long.
    pub(crate) async fn embed(
        &self,
        embedder: &Arc<Embedder>,
        texts: Vec<Vec<u32>>,
        tenant: u64,
        mut tally: Tally,
    ) -> Result<Vec<Vec<f32>>> {
        let _waiting = Waiting::enter(&self.waiting, tenant)?;
        let mut all = Vec::with_capacity(texts.len());
        for tokens in texts {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let turn = turn.map_err(|error| ApiError::Internal(error.to_string()))?;
            let embedder = Arc::clone(embedder);
            tally.count(tokens.len() as u64);
            let embed = move || {
                let _turn = turn;
                Ok(embedder.embed(&tokens)?)
            };
            all.push(blocking(embed).await?);
        }
        Ok(all)
    }
}

/// A request under way.
struct Waiting<'a> {
    all: &'a Mutex<HashMap<u64, usize>>,
    tenant: u64,
}

impl<'a> Waiting<'a> {
    fn enter(all: &'a Mutex<HashMap<u64, usize>>, tenant: u64) -> Result<Self> {
        let mut waiting = all.lock();
        let (of_one, of_all) = (waiting.get(&tenant).copied().unwrap_or(0), waiting.values().sum::<usize>());
        let message = match (of_one >= MAX_OF_ONE, of_all >= MAX_WAITING) {
            (true, _) => format!("{MAX_OF_ONE} of your requests for embeddings are under way already"),
            (_, true) => format!("{MAX_WAITING} requests for embeddings are under way already"),
            _ => {
                waiting.insert(tenant, of_one + 1);
                return Ok(Self { all, tenant });
            }
        };
        Err(ApiError::Busy { message, retry_after: Duration::from_secs(1) })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.all.lock().entry(self.tenant) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
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
            EmbedError::TooLong { .. } => Self::too_long("input", message),
            EmbedError::Empty | EmbedError::BadToken(_) => Self::invalid("input", message),
            _ => Self::Internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places() {
        let all = Mutex::default();
        let mut held: Vec<_> = (0..MAX_OF_ONE).map(|_| Waiting::enter(&all, 1).unwrap()).collect();
        assert!(matches!(Waiting::enter(&all, 1), Err(ApiError::Busy { .. })));
        held.extend((MAX_OF_ONE..MAX_WAITING).map(|i| Waiting::enter(&all, i as u64).unwrap()));
        assert!(matches!(Waiting::enter(&all, 0), Err(ApiError::Busy { .. })));
        held.clear();
        assert!(all.lock().is_empty() && Waiting::enter(&all, 1).is_ok());
    }
}
