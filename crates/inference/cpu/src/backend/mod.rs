//! The backend: weights, cache, threads, and the trait.

mod cache;
mod delta;
mod heads;
mod linear;
mod plan;
mod shared;
mod step;
mod tasks;
mod weights;

use crate::{
    Affinity, CpuError, Path,
    blocks::BLOCK,
    float_mode,
    kernels::Kernels,
    kv::{Cache, HeadLayout, PAGE},
    lora::{Kept, Prepared, Quantizer},
    pool::Pool,
    profile,
    rope::RopeTable,
    vectors,
};
use cache::PackCache;
pub(crate) use linear::scale_rows;
use std::sync::Arc;
use step::Workspace;
use tributary_adapters::Geometry;
use tributary_engine::{
    Admission, BackendError, Health, Identity, InferenceBackend, Limits, LoraPart, PageId, Preparer, Row,
    SeqId, StepOutput,
};
use tributary_weights::{Config, Hashes, Weights};
pub(crate) use weights::PackedWeights;

/// How much of the machine to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads, the engine's own included.
    pub threads: usize,
    /// Which CPUs they run on.
    pub affinity: Affinity,
    /// A path to use instead of the fastest one.
    pub path: Option<Path>,
    /// Positions the cache holds over all sequences. Memory is taken as they are first used.
    pub cache_tokens: usize,
    /// Longest sequence; the model's own context bounds it.
    pub context: usize,
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Rows of a step.
    pub rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            affinity: Affinity::System,
            path: None,
            cache_tokens: 32_768,
            context: 8_192,
            step_tokens: 512,
            rows: 64,
        }
    }
}

/// A Llama-family model on the CPU, by profile `f32-q8-1`.
#[derive(Debug)]
pub struct CpuBackend {
    name: String,
    limits: Limits,
    identity: Identity,
    model: Model,
    cache: Cache,
    pool: Pool,
    workspace: Workspace,
    /// By page, for [`race`].
    owners: Vec<u32>,
    /// Prepared adapters on disk.
    kept: Option<Arc<Kept>>,
    health: Health,
}

/// What a step reads.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) weights: Arc<PackedWeights>,
    pub(crate) table: RopeTable,
    pub(crate) kernels: Kernels,
    pub(crate) geometry: Geometry,
}

impl CpuBackend {
    /// Packs the weights, checks the path against the committed vectors and starts the threads.
    pub fn new(
        config: Config,
        weights: Weights,
        hashes: &Hashes,
        options: &Options,
    ) -> Result<Self, CpuError> {
        Self::start(config, weights, hashes, options, None)
    }

    /// The same with packed weights and prepared adapters kept in a folder, under the hashes of what they were made of: the next start
    /// and the next load read them there.
    pub fn cached(
        config: Config,
        weights: Weights,
        hashes: &Hashes,
        options: &Options,
        folder: &std::path::Path,
    ) -> Result<Self, CpuError> {
        Self::start(config, weights, hashes, options, Some(folder))
    }

    fn start(
        config: Config,
        weights: Weights,
        hashes: &Hashes,
        options: &Options,
        folder: Option<&std::path::Path>,
    ) -> Result<Self, CpuError> {
        float_mode::check()?;
        check_sizes(&config)?;
        let kernels = Kernels::new(options.path.unwrap_or_else(Path::best))?;
        vectors::self_test(&kernels)?;
        let context = options.context.clamp(1, config.context);
        let table = RopeTable::new(&config, context);
        let identity =
            Identity { profile: profile::hash(&config, &weights, &table), weights: hashes.weights };
        let pages = options.cache_tokens.div_ceil(PAGE).max(1);
        let cache = Cache::new(config.layers, config.kv_heads, config.head_dim, pages)?;
        let packed = folder.map(|folder| PackCache::new(folder, hashes.weights));
        let weights = PackedWeights::new(weights, packed.as_ref())?;
        let memory = (cache.page_bytes(), weights.memory());
        let limits = limits(&config, options, context, pages, memory)?;
        let pool = Pool::new(options.threads, &options.affinity)?;
        let workspace = Workspace::new(&config, limits.step_tokens as usize, pool.threads());
        let geometry = geometry(&config);
        let kept =
            folder.map(|folder| Kept::new(&folder.join("adapters"), kernels, geometry, hashes.weights));
        let kept = kept.transpose()?.map(Arc::new);
        let model = Model { weights: Arc::new(weights), config, table, kernels, geometry };
        let name = format!("cpu-{}", kernels.path());
        tracing::info!(backend = %name, threads = pool.threads(), cpus = %options.affinity, profile = %identity.profile, "inference backend ready");
        let owners = vec![0; cache.pages()];
        Ok(Self { name, limits, identity, model, cache, pool, workspace, owners, kept, health: Health::Ok })
    }

    /// The same where it serves instead of something better, as its health says from then on.
    #[must_use]
    pub fn standing_in(self, reason: &str) -> Self {
        Self { health: Health::Degraded(reason.to_owned()), ..self }
    }

    /// The sizes that adapters must have.
    pub const fn geometry(&self) -> Geometry {
        self.model.geometry
    }

    /// The path in use.
    pub const fn path(&self) -> Path {
        self.model.kernels.path()
    }

    /// Bytes of weights that a token reads.
    pub fn weight_bytes(&self) -> usize {
        self.model.weights.bytes()
    }

    /// Reads all weights once with the threads that steps use: the bound of decoding, to be measured beside it.
    /// What it gives means nothing; using it keeps the reads from being left out.
    pub fn read_pass(&mut self) -> Result<f32, CpuError> {
        self.model.weights.read_pass(self.model.kernels, &mut self.pool)
    }

    /// Runs every matrix of the model once over so many tokens, the head over those `wanted`, with nothing between them: the floor that a
    /// step's linear layers set. What it gives means nothing; `logits` is only room for it.
    pub fn matmul_pass(
        &mut self,
        tokens: usize,
        wanted: usize,
        logits: &mut Vec<f32>,
    ) -> Result<(), CpuError> {
        let tokens = tokens.clamp(1, self.limits.step_tokens as usize);
        let wanted = wanted.min(tokens);
        logits.resize(wanted * self.model.config.vocab, 0.0);
        step::matmul_pass(&self.model, &mut self.pool, &self.workspace, tokens, logits)
    }
}

fn check_sizes(config: &Config) -> Result<(), CpuError> {
    let sizes = [
        ("hidden size", config.hidden),
        ("intermediate size", config.intermediate),
        ("head width", config.head_dim),
        ("query width", config.query()),
    ];
    match sizes.into_iter().find(|(_, size)| size % BLOCK != 0) {
        None => Ok(()),
        Some((what, size)) => Err(CpuError::Model(format!("{what} {size} is not a multiple of {BLOCK}"))),
    }
}

/// Memory of a KV page, and the positions it holds: what a cache of so many bytes can have.
pub fn page_size(config: &Config) -> (usize, usize) {
    let head = HeadLayout { width: config.head_dim };
    (config.layers * config.kv_heads * head.bytes(), PAGE)
}

/// The sizes that adapters of this model must have.
pub fn geometry(config: &Config) -> Geometry {
    // Config bounds every size far below 2³².
    Geometry {
        layers: config.layers as u32,
        hidden: config.hidden as u32,
        intermediate: config.intermediate as u32,
        query: config.query() as u32,
        key: config.key() as u32,
    }
}

fn limits(
    config: &Config,
    options: &Options,
    context: usize,
    pages: usize,
    memory: (usize, usize),
) -> Result<Limits, CpuError> {
    let small = |what: &str, value: usize| {
        u32::try_from(value).map_err(|_| CpuError::Model(format!("{what} of {value} is too large")))
    };
    Ok(Limits {
        context: small("context", context)?,
        vocab: small("vocabulary", config.vocab)?,
        normed_bytes: small("hidden size", config.hidden + config.hidden / BLOCK * 4)?,
        page_tokens: PAGE as u32,
        pages: small("cache", pages)?,
        rows: small("rows", options.rows.max(1))?,
        step_tokens: small("step", options.step_tokens.max(1))?,
        page_bytes: memory.0,
        weight_bytes: memory.1,
    })
}

impl InferenceBackend for CpuBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn health(&self) -> Health {
        self.health.clone()
    }

    fn preparer(&self) -> Arc<dyn Preparer> {
        Arc::new(Quantizer {
            kernels: self.model.kernels,
            geometry: self.model.geometry,
            weights: Arc::clone(&self.model.weights),
            kept: self.kept.clone(),
        })
    }

    fn admit(&mut self, _seq: SeqId, _lora: &[LoraPart]) -> Result<Admission, BackendError> {
        Ok(Admission::Ready)
    }

    fn step(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), BackendError> {
        float_mode::check()?;
        check_contract(rows, &self.limits, &mut self.owners)?;
        out.begin(&self.limits, rows);
        step::run(&self.model, &self.cache, &mut self.pool, &mut self.workspace, rows, out)?;
        Ok(())
    }

    fn discard(&mut self, pages: &[PageId]) {
        for page in pages.iter().filter(|page| **page < self.limits.pages) {
            self.cache.discard(*page);
        }
    }

    fn release(&mut self, _seq: SeqId) {}
}

/// Refuses steps that break the contract of [`Row`]: everything that would be out of bounds in a backend with pages of sixteen
/// positions. `owners` has a zero for each page, before and after.
pub fn check_contract(rows: &[Row<'_>], limits: &Limits, owners: &mut [u32]) -> Result<(), BackendError> {
    let broken = |what: String| Err(BackendError::Contract(what));
    let tokens: usize = rows.iter().map(|row| row.tokens.len()).sum();
    if rows.len() > limits.rows as usize || tokens > limits.step_tokens as usize {
        return broken(format!("{} rows of {tokens} tokens", rows.len()));
    }
    for (index, row) in rows.iter().enumerate() {
        let end = row.pos as usize + row.tokens.len();
        if row.tokens.is_empty() || end > limits.context as usize {
            return broken(format!("row {index} ends at {end}"));
        }
        let needed = end.div_ceil(PAGE);
        if row.pages.len() < needed || row.pages[..needed].iter().any(|page| *page >= limits.pages) {
            return broken(format!("row {index} has no page for position {}", end - 1));
        }
    }
    if let Some(index) = race(rows, owners) {
        return broken(format!("row {index} writes a page that another row uses"));
    }
    Ok(())
}

/// A row that writes a page which another row reads or writes. `owners` is all zeros, before and after.
fn race(rows: &[Row<'_>], owners: &mut [u32]) -> Option<usize> {
    let end = |row: &Row<'_>| (row.pos as usize + row.tokens.len()).div_ceil(PAGE);
    let mut found = None;
    for (row, mark) in rows.iter().zip(1..) {
        for page in &row.pages[row.pos as usize / PAGE..end(row)] {
            if std::mem::replace(&mut owners[*page as usize], mark) != 0 {
                found = Some(mark as usize - 1);
            }
        }
    }
    for (row, mark) in rows.iter().zip(1..) {
        let foreign = |page: &PageId| ![0, mark].contains(&owners[*page as usize]);
        if row.pages[..end(row)].iter().any(foreign) {
            found = Some(mark as usize - 1);
        }
    }
    for row in rows {
        row.pages[row.pos as usize / PAGE..end(row)].iter().for_each(|page| owners[*page as usize] = 0);
    }
    found
}

/// A row's adapters in this backend's form, or `None` if one of them is not.
fn prepared<'a>(lora: &'a [LoraPart], geometry: &Geometry) -> Option<Vec<&'a Prepared>> {
    lora.iter()
        .map(|part| {
            part.prepared.as_any().downcast_ref::<Prepared>().filter(|prepared| prepared.fits(geometry))
        })
        .collect()
}
