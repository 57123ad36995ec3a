//! Datanets as this worker holds them: token files fetched, checked against the chain, indexed.
//!
//! A contribution's uri names its token file, `NAME.tokens`; the text it was made from lies beside it as `NAME.txt`, and the bytes
//! of the text that each token covers as `NAME.positions`. Text and positions are for display: only tokens are on chain.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::keccak256;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tributary_abi::IDatanets;
use tributary_adapters::Fetcher;
use tributary_index::{Document, IndexError, PinSpec, Pinned, Store as Segments};
use tributary_record::{Source, Standing, tokens_from_bytes, tokens_root};
use tributary_trace::display::Positions;

use crate::chain::{ChainError, Registry, standing};

/// Token files fetched at the same time.
const FETCHES: usize = 8;
/// Epochs loaded at the same time.
const LOADS: usize = 4;
/// Largest text and positions that are fetched for display.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

/// Why a datanet cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain has no such sealed epoch.
    #[error("datanet {} has no epoch {}", .0.datanet, .0.epoch)]
    UnknownEpoch(Source),
    /// A token file could not be had.
    #[error("tokens of contribution {id}: {why}")]
    Fetch {
        /// The contribution.
        id: u64,
        /// What went wrong.
        why: String,
    },
    /// The tokens are not those on chain.
    #[error("the tokens of contribution {0} do not have its tokensRoot")]
    WrongTokens(u64),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The folder of token files.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Loading failed, for everyone who waited.
    #[error(transparent)]
    Load(Arc<CorpusError>),
    /// A task was cancelled: the process is stopping.
    #[error("stopping")]
    Stopping,
}

/// A contribution's text, for display.
#[derive(Debug)]
pub struct SourceText {
    /// The text.
    pub text: String,
    /// Its tokens' places in it.
    pub positions: Positions,
}

/// An epoch that is being loaded, or was.
type Loading = Shared<BoxFuture<'static, Result<Arc<Pinned>, Arc<CorpusError>>>>;

/// The datanets of the adapters that are served.
#[derive(Debug)]
pub struct Corpus {
    registry: Registry,
    fetcher: Fetcher,
    folder: PathBuf,
    segments: Arc<Segments>,
    pinned: Mutex<HashMap<Source, Loading>>,
    /// Epochs loaded at the same time.
    loads: Semaphore,
    texts: Mutex<HashMap<u64, Option<Arc<SourceText>>>>,
}

impl Corpus {
    /// Keeps token files and segments under `folder`.
    pub fn open(folder: &Path, registry: Registry, fetcher: Fetcher) -> Result<Self, CorpusError> {
        let tokens = folder.join("tokens");
        std::fs::create_dir_all(&tokens).map_err(|error| CorpusError::Io(tokens.clone(), error))?;
        Ok(Self {
            registry,
            fetcher,
            folder: tokens,
            segments: Arc::new(Segments::open(folder.join("segments"))?),
            pinned: Mutex::default(),
            loads: Semaphore::new(LOADS),
            texts: Mutex::default(),
        })
    }

    /// The epochs that an adapter pins, searchable. Every tokensRoot was recomputed from the token files.
    ///
    /// What is there answers at once; what is not is loaded once, however many ask and however many of them leave.
    pub async fn pin(self: &Arc<Self>, sources: &[Source]) -> Result<Vec<Arc<Pinned>>, CorpusError> {
        let mut all = Vec::with_capacity(sources.len());
        for source in sources {
            let loading = self.pinned.lock().entry(*source).or_insert_with(|| self.begin(*source)).clone();
            match loading.await {
                Ok(pinned) => all.push(pinned),
                Err(error) => {
                    // Whoever asks next tries again.
                    let mut pinned = self.pinned.lock();
                    if pinned.get(source).is_some_and(|known| matches!(known.peek(), Some(Err(_)))) {
                        pinned.remove(source);
                    }
                    return Err(CorpusError::Load(error));
                }
            }
        }
        Ok(all)
    }

    /// Loads an epoch in a task of its own, which goes on when nobody waits for it any more.
    fn begin(self: &Arc<Self>, source: Source) -> Loading {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let _turn = this.loads.acquire().await.map_err(|_| CorpusError::Stopping)?;
            this.load(source).await
        });
        async move {
            let outcome = task.await.map_err(|_| CorpusError::Stopping).flatten();
            outcome.map(Arc::new).map_err(Arc::new)
        }
        .boxed()
        .shared()
    }

    async fn load(&self, source: Source) -> Result<Pinned, CorpusError> {
        let (spec, contributions) = self.describe(source)?;
        let tokens: HashMap<u64, Vec<u32>> = stream::iter(contributions)
            .map(|contribution| async move {
                let tokens = self.tokens(&contribution).await?;
                Ok::<_, CorpusError>((contribution.id, tokens))
            })
            .buffer_unordered(FETCHES)
            .try_collect()
            .await?;
        let segments = Arc::clone(&self.segments);
        let indexed = tokio::task::spawn_blocking(move || {
            segments.pin(&spec, &mut |document| {
                tokens.get(&document.contribution).cloned().ok_or_else(|| "not fetched".into())
            })
        });
        Ok(indexed.await.map_err(|_| CorpusError::Stopping)??)
    }

    /// What the chain says an epoch holds.
    fn describe(&self, source: Source) -> Result<(PinSpec, Vec<IDatanets::Contribution>), CorpusError> {
        let unknown = || CorpusError::UnknownEpoch(source);
        let datanet = self.registry.datanet(source.datanet)?.ok_or_else(unknown)?;
        let epoch = self.registry.epoch(source.datanet, source.epoch)?.ok_or_else(unknown)?;
        let all = self.registry.contributions(source.datanet, epoch.count)?;
        let mut spec = PinSpec {
            datanet: source.datanet,
            epoch: source.epoch,
            min_match: datanet.minMatch,
            epochs: vec![Vec::new(); usize::try_from(source.epoch).unwrap_or(0) + 1],
            removed: HashSet::new(),
        };
        let mut held = Vec::with_capacity(all.len());
        for contribution in all {
            match standing(&contribution) {
                Standing::Rejected => continue,
                Standing::RemovedFrom(from) if from <= source.epoch => {
                    spec.removed.insert(contribution.id);
                }
                Standing::RemovedFrom(_) | Standing::Live => {}
            }
            let document = Document {
                contribution: contribution.id,
                commit_block: contribution.commitBlock,
                tokens: u32::try_from(contribution.tokens)
                    .map_err(|_| CorpusError::WrongTokens(contribution.id))?,
                tokens_root: contribution.tokensRoot,
            };
            let first = usize::try_from(contribution.firstEpoch).unwrap_or(usize::MAX);
            spec.epochs.get_mut(first).ok_or(CorpusError::WrongTokens(contribution.id))?.push(document);
            held.push(contribution);
        }
        Ok((spec, held))
    }

    /// A contribution's tokens: from the folder when they were fetched before, else from its uri; checked in either case.
    async fn tokens(&self, contribution: &IDatanets::Contribution) -> Result<Vec<u32>, CorpusError> {
        let path = self.folder.join(format!("{}.tokens", contribution.tokensRoot));
        if let Ok(bytes) = tokio::fs::read(&path).await
            && let Ok(tokens) = checked(contribution, &bytes)
        {
            return Ok(tokens);
        }
        let limit = contribution.tokens.saturating_mul(4);
        let bytes = self
            .fetcher
            .fetch_file(&contribution.uri, limit)
            .await
            .map_err(|error| CorpusError::Fetch { id: contribution.id, why: error.to_string() })?;
        let tokens = checked(contribution, &bytes)?;
        write_whole(&path, &bytes).await.map_err(|error| CorpusError::Io(path, error))?;
        Ok(tokens)
    }

    /// A contribution's text, if it lies beside its tokens and fits them. Looked for once.
    pub async fn text(&self, contribution: u64) -> Option<Arc<SourceText>> {
        if let Some(known) = self.texts.lock().get(&contribution) {
            return known.clone();
        }
        let found = self.fetch_text(contribution).await.map(Arc::new);
        self.texts.lock().insert(contribution, found.clone());
        found
    }

    async fn fetch_text(&self, id: u64) -> Option<SourceText> {
        let contribution = self.registry.contribution(id).ok()??;
        let stem = contribution.uri.strip_suffix(".tokens")?;
        let text = self.fetcher.fetch_file(&format!("{stem}.txt"), MAX_TEXT).await.ok()?;
        // What a contributor calls the text must be what he committed to.
        if keccak256(&text) != contribution.contentHash {
            return None;
        }
        let text = String::from_utf8(text).ok()?;
        let positions = self.fetcher.fetch_file(&format!("{stem}.positions"), MAX_TEXT).await.ok()?;
        let positions = Positions::from_bytes(&positions, &text).ok()?;
        (positions.len() as u64 == contribution.tokens).then_some(SourceText { text, positions })
    }
}

fn checked(contribution: &IDatanets::Contribution, bytes: &[u8]) -> Result<Vec<u32>, CorpusError> {
    let wrong = || CorpusError::WrongTokens(contribution.id);
    let tokens = tokens_from_bytes(bytes).ok_or_else(wrong)?;
    let fits = tokens.len() as u64 == contribution.tokens;
    if fits && tokens_root(&tokens) == Some(contribution.tokensRoot) { Ok(tokens) } else { Err(wrong()) }
}

async fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    tokio::fs::write(&temporary, bytes).await?;
    tokio::fs::rename(&temporary, path).await
}
