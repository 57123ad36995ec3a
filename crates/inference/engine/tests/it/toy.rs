//! A backend that costs nothing and sees everything: a wrong, stale or shared page changes what it answers.
//!
//! What it keeps for a position is a hash of the token, the position, the adapters and all that it kept for the positions before,
//! read through the row's own page table. Its logits come from all of it, so a page that belongs to somebody else, or was written
//! once too often, gives another answer.

use crate::tiny::{Inner, Tiny};
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};
use tributary_adapters::{Adapter, Memory};
use tributary_engine::{
    Admission, BackendError, BackendFactory, Engine, EngineConfig, Health, Identity, InferenceBackend,
    Limits, LoraPart, PageId, PrepareError, PreparedAdapter, Preparer, Row, RowError, SeqId, StepOutput,
};

const VOCAB: u32 = 260;
const PAGE: u32 = 16;
const NORMED: u32 = 8;
/// What a page costs of a common budget, beside adapters of 1,000 bytes.
pub(crate) const PAGE_BYTES: usize = 100;
pub(crate) const WEIGHT_BYTES: usize = 5000;

#[derive(Debug)]
struct Prepared;

impl PreparedAdapter for Prepared {
    fn bytes(&self) -> usize {
        1000
    }
    fn rank(&self) -> u32 {
        8
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Holds what the backend sees, as a real one holds matrices.
#[derive(Debug)]
struct Prepares(#[expect(dead_code, reason = "held, and counted by tests")] Arc<Mutex<Seen>>);

impl Preparer for Prepares {
    fn prepare(&self, _adapter: &Adapter, _weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError> {
        Ok(Arc::new(Prepared))
    }
}

/// What a step was asked for, and what may go wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) steps: usize,
    pub(crate) tokens: usize,
    /// Tokens computed behind the first of rows with guesses.
    pub(crate) guesses: usize,
    /// Rows with guesses fail.
    pub(crate) guesses_overflow: bool,
    /// The step of this number fails, and the backend with it.
    pub(crate) break_at: Option<usize>,
    /// Its steps do not end as long as this is said.
    pub(crate) stuck: bool,
    /// It chooses tokens itself where rows say how; where logits allow it no choice, if they never do.
    pub(crate) chooses: bool,
    pub(crate) no_choice: bool,
    /// Positions whose rows said how to choose, and those of the others.
    pub(crate) chosen: usize,
    pub(crate) looked_at: usize,
    /// Pages whose memory was given back.
    pub(crate) discarded: usize,
}

#[derive(Debug)]
pub(crate) struct Toy {
    limits: Limits,
    identity: Identity,
    kept: Vec<[u64; PAGE as usize]>,
    seen: Arc<Mutex<Seen>>,
}

fn mix(a: u64, b: u64) -> u64 {
    let z = (a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0xD1B5_4A32_D192_ED03);
    let z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 32)
}

impl Toy {
    pub(crate) fn new(pages: u32, seen: &Arc<Mutex<Seen>>) -> Self {
        let limits = Limits {
            context: 512,
            vocab: VOCAB,
            normed_bytes: NORMED,
            page_tokens: PAGE,
            pages,
            rows: 64,
            step_tokens: 512,
            page_bytes: PAGE_BYTES,
            weight_bytes: WEIGHT_BYTES,
        };
        let identity = Identity { profile: B256::repeat_byte(1), weights: B256::repeat_byte(2) };
        Self { limits, identity, kept: vec![[0; PAGE as usize]; pages as usize], seen: Arc::clone(seen) }
    }

    /// Takes fewer tokens of context.
    pub(crate) const fn shorten(&mut self, context: u32) {
        self.limits.context = context;
    }

    /// Says that it computes something else.
    pub(crate) fn pretend(&mut self, identity: Option<Identity>) {
        self.identity = identity.unwrap_or(self.identity);
    }

    /// Computes and keeps a position; what its logits come from.
    fn position(&mut self, row: &Row<'_>, index: usize, adapters: u64) -> u64 {
        let at = row.pos as usize + index;
        let place = |at: usize| (row.pages[at / PAGE as usize] as usize, at % PAGE as usize);
        let before = (0..at).map(place).fold(adapters, |hash, (page, slot)| mix(hash, self.kept[page][slot]));
        let (page, slot) = place(at);
        self.kept[page][slot] = mix(mix(before, u64::from(row.tokens[index])), at as u64);
        self.kept[page][slot]
    }
}

/// A page that a row writes is in no other row's table.
fn check_pages(rows: &[Row<'_>]) {
    let mut holders: HashMap<PageId, usize> = HashMap::new();
    let end = |row: &Row<'_>| (row.pos as usize + row.tokens.len()).div_ceil(PAGE as usize);
    for row in rows {
        row.pages[..end(row)].iter().for_each(|page| *holders.entry(*page).or_default() += 1);
    }
    for row in rows {
        let written = &row.pages[row.pos as usize / PAGE as usize..end(row)];
        assert!(written.iter().all(|page| holders[page] == 1), "a row writes what another one reads");
    }
}

/// Mostly what usually follows the token, so that answers repeat themselves; now and then something else.
fn fill(logits: &mut [f32], hash: u64, token: u32) {
    for (candidate, logit) in logits.iter_mut().enumerate() {
        *logit = (mix(hash, candidate as u64) >> 40) as f32 / 4_194_304.0;
    }
    if hash % 16 > 1 {
        logits[(token as usize * 7 + 3) % 11 + 97] += 6.0;
    }
}

fn adapters(lora: &[LoraPart]) -> u64 {
    lora.iter().fold(7, |hash, part| {
        let word = part.hash.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        mix(mix(hash, word), u64::from(part.weight.to_bits()))
    })
}

impl InferenceBackend for Toy {
    fn name(&self) -> &str {
        "toy"
    }
    fn limits(&self) -> &Limits {
        &self.limits
    }
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn health(&self) -> Health {
        Health::Ok
    }
    fn preparer(&self) -> Arc<dyn Preparer> {
        Arc::new(Prepares(Arc::clone(&self.seen)))
    }
    fn admit(&mut self, _seq: SeqId, _lora: &[LoraPart]) -> Result<Admission, BackendError> {
        Ok(Admission::Ready)
    }

    fn step(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), BackendError> {
        let total: usize = rows.iter().map(|row| row.tokens.len()).sum();
        assert!(total <= self.limits.step_tokens as usize && rows.len() <= self.limits.rows as usize);
        while self.seen.lock().stuck {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (overflow, chooses, no_choice) = {
            let mut seen = self.seen.lock();
            seen.steps += 1;
            seen.tokens += total;
            let guesses = |row: &Row<'_>| row.logits.count(row.tokens.len()).saturating_sub(1);
            seen.guesses += rows.iter().map(guesses).sum::<usize>();
            for row in rows {
                let count = row.logits.count(row.tokens.len());
                *if row.choose.is_some() { &mut seen.chosen } else { &mut seen.looked_at } += count;
            }
            let steps = seen.steps;
            if seen.break_at.take_if(|at| *at <= steps).is_some() {
                return Err(BackendError::Failed("the toy broke".into()));
            }
            (seen.guesses_overflow, seen.chooses, seen.no_choice)
        };
        check_pages(rows);
        if chooses {
            out.begin_choosing(&self.limits, rows);
        } else {
            out.begin(&self.limits, rows);
        }
        let mut own = vec![0.0; VOCAB as usize];
        for (index, row) in rows.iter().enumerate() {
            assert!(row.pos as usize + row.tokens.len() <= self.limits.context as usize);
            let count = out.count(index);
            let lora = adapters(row.lora);
            for token in 0..row.tokens.len() {
                let hash = self.position(row, token, lora);
                let Some(place) = (token + count).checked_sub(row.tokens.len()) else { continue };
                match (out.first_logits(index), &row.choose) {
                    (Some(first), _) => {
                        let logits = &mut out.logits_mut()[(first + place) * VOCAB as usize..];
                        fill(&mut logits[..VOCAB as usize], hash, row.tokens[token]);
                    }
                    (None, Some(how)) => {
                        fill(&mut own, hash, row.tokens[token]);
                        let token = how.token(place as u32, &own).ok().filter(|_| !no_choice);
                        out.choose(index, place, token);
                    }
                    (None, None) => panic!("nobody said how to choose"),
                }
                let place = out.first(index) + place;
                out.normed_mut()[place * NORMED as usize..][..NORMED as usize]
                    .copy_from_slice(&hash.to_be_bytes());
            }
            if overflow && count > 1 {
                out.fail(index, RowError::NonFinite);
            }
        }
        Ok(())
    }
    /// What was there is gone: whoever reads on gives another answer.
    fn discard(&mut self, pages: &[PageId]) {
        let mut seen = self.seen.lock();
        seen.discarded += pages.len();
        for page in pages {
            self.kept[*page as usize] = [0xdead; PAGE as usize];
        }
    }

    fn release(&mut self, _seq: SeqId) {}
}

/// The same within a budget of memory.
pub(crate) fn toy_within(
    memory: &Memory,
    tiny: &Tiny,
    config: EngineConfig,
    pages: u32,
) -> (Engine, Arc<Mutex<Seen>>) {
    let seen = Arc::default();
    let theirs = Arc::clone(&seen);
    let factory = Box::new(move || Ok(Box::new(Toy::new(pages, &theirs)) as Inner));
    (tiny.engine_within(memory.clone(), config, factory), seen)
}

/// An engine over toys, and what they see.
pub(crate) fn toy(tiny: &Tiny, config: EngineConfig, pages: u32) -> (Engine, Arc<Mutex<Seen>>) {
    let seen = Arc::default();
    let theirs = Arc::clone(&seen);
    let engine = tiny.engine_over(config, Box::new(move || Ok(Box::new(Toy::new(pages, &theirs)) as Inner)));
    (engine, seen)
}

/// An engine over so many toys, and what each sees.
pub(crate) fn toys(
    tiny: &Tiny,
    config: EngineConfig,
    pages: u32,
    count: usize,
) -> (Engine, Vec<Arc<Mutex<Seen>>>) {
    let seen: Vec<Arc<Mutex<Seen>>> = (0..count).map(|_| Arc::default()).collect();
    let factory = |seen: &Arc<Mutex<Seen>>| {
        let theirs = Arc::clone(seen);
        Box::new(move || Ok(Box::new(Toy::new(pages, &theirs)) as Inner)) as BackendFactory
    };
    let factories = seen.iter().map(factory).collect();
    let vocabulary = Arc::clone(&tiny.tokenizer) as _;
    (Engine::several(None, config, vocabulary, factories).unwrap(), seen)
}
