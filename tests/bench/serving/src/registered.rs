//! Rows of many adapters: 2,000 registered, and more active ones than memory holds.

use crate::{
    lora::Folders,
    report::{Row, median, quantile},
    rig::{ANSWER, PROMPT},
    served::{Ask, Served, tokens},
};
use eyre::Result;
use rand::{Rng, SeedableRng, distr::Distribution, distr::weighted::WeightedIndex};
use rand_chacha::ChaCha8Rng;
use std::{path::Path, sync::Arc, time::Duration};
use tributary_adapters::Source;

const STREAMS: usize = 16;
/// Adapters that memory holds where they do not all fit, and how many are active.
const SLOTS: usize = 32;
const ACTIVE: usize = 4 * SLOTS;

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Adapters registered.
    pub(crate) registered: usize,
    /// Requests of a run.
    pub(crate) requests: usize,
    pub(crate) rounds: usize,
}

fn prompt(rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..PROMPT).map(|_| rng.random_range(100..40_000)).collect()
}

fn asks(rng: &mut ChaCha8Rng, adapters: &[Source]) -> Vec<Ask> {
    let ask = |source: &Source| Ask {
        prompt: prompt(rng),
        adapter: Some(source.clone()),
        answer: ANSWER,
        ..Ask::default()
    };
    adapters.iter().map(ask).collect()
}

/// Draws by Zipf's law with exponent 1.
fn zipf(rng: &mut ChaCha8Rng, of: &[Source], count: usize) -> Result<Vec<Source>> {
    let weights = WeightedIndex::new((1..=of.len()).map(|rank| 1.0 / rank as f64))?;
    Ok((0..count).map(|_| of[weights.sample(rng)].clone()).collect())
}

/// Throughput with 2,000 registered against 5 and against 16 hot ones.
pub(crate) fn throughput(served: &Served, folder: &Path, amount: Amount, bandwidth: f64) -> Result<Vec<Row>> {
    let geometry = &served.model.geometry;
    let folders = Folders::make(folder, geometry, 8, amount.registered, ACTIVE)?;
    let store = served.store(folder, 8 << 30)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let many = zipf(&mut rng, &folders.sources, amount.requests)?;
    let few: Vec<Source> = (0..amount.requests).map(|n| folders.sources[n % 5].clone()).collect();
    let hot: Vec<Source> = (0..amount.requests).map(|n| folders.sources[n % STREAMS].clone()).collect();
    eprintln!("adapters: loading those that are drawn");
    let each = served.warm(&store, &many)?;
    served.warm(&store, &few)?;
    served.warm(&store, &hot)?;
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..amount.rounds {
        eprintln!("adapters, round {} of {}", round + 1, amount.rounds);
        for (rates, drawn) in rates.iter_mut().zip([&many, &few, &hot]) {
            let (answers, seconds) = served.closed(&store, STREAMS, asks(&mut rng, drawn))?;
            rates.push(tokens(&answers) / seconds);
        }
    }
    let loading = with_loads(served, folder, &mut rng, &folders, amount)?;
    let [many_rate, few_rate, hot_rate] = rates.map(|rates| median(&rates));
    // Distinct adapters among those that run together, and what reading them costs a step.
    let together = |drawn: &[Source]| {
        let windows = drawn.windows(STREAMS.min(drawn.len()));
        let count = windows.len().max(1);
        let distinct = |window: &[Source]| {
            let mut hashes: Vec<_> = window.iter().map(|source| source.hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes.len()
        };
        windows.map(distinct).sum::<usize>() as f64 / count as f64
    };
    let step = STREAMS as f64 / few_rate;
    let more = |other: &[Source]| (together(&many) - together(other)) * each / bandwidth;
    let by_bytes = step / (step + more(&few));
    let mut row = Row::new(
        &format!("{} registered r8, Zipf 1.0, against 5", amount.registered),
        format!("{many_rate:.0} tok/s; 5: {few_rate:.0}; 16 hot: {hot_rate:.0}"),
    );
    row.bound = format!(
        "{:+.1} % by bytes: {:.1} adapters of {:.2} MB a step against {:.1}",
        (by_bytes - 1.0) * 100.0,
        together(&many),
        each / 1e6,
        together(&few)
    );
    row.rest = format!("512 MB for adapters instead of all that are drawn: {loading}");
    let beyond = (1.0 - many_rate / few_rate / by_bytes) * 100.0;
    let hot_bytes = (STREAMS as f64 / hot_rate) / (STREAMS as f64 / hot_rate + more(&hot));
    let hot_beyond = (1.0 - many_rate / hot_rate / hot_bytes) * 100.0;
    Ok(vec![row.most("beyond bytes %", beyond, 3.0).most("against 16 hot %", hot_beyond, 3.0)])
}

/// The same draw with the default budget: what loading costs those who run.
fn with_loads(
    served: &Served,
    folder: &Path,
    rng: &mut ChaCha8Rng,
    folders: &Folders,
    amount: Amount,
) -> Result<String> {
    let store = served.store(folder, 512 << 20)?;
    let warm = zipf(rng, &folders.sources, amount.requests)?;
    served.closed(&store, STREAMS, asks(rng, &warm))?;
    let before = store.stats().loads;
    let drawn = zipf(rng, &folders.sources, amount.requests)?;
    let (answers, seconds) = served.closed(&store, STREAMS, asks(rng, &drawn))?;
    let loads = (store.stats().loads - before) as f64 / seconds;
    Ok(format!("{:.0} tok/s, {loads:.1} loads a second", tokens(&answers) / seconds))
}

/// Time to the first token when four times as many adapters are active as memory holds.
pub(crate) fn first_token(served: &Served, folder: &Path, amount: Amount) -> Result<Vec<Row>> {
    let folders = Arc::new(Folders::make(folder, &served.model.geometry, 8, amount.registered, ACTIVE)?);
    let active = ACTIVE.min(folders.sources.len());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let all = served.store(folder, 8 << 30)?;
    let each = served.warm(&all, &folders.sources[..active])?;
    let scarce = served.store(folder, (SLOTS as f64 * each) as usize)?;
    let uniform = |rng: &mut ChaCha8Rng| -> Vec<usize> {
        (0..amount.requests).map(|_| rng.random_range(0..active)).collect()
    };
    let drawn = uniform(&mut rng);
    let sources: Vec<Source> = drawn.iter().map(|n| folders.sources[*n].clone()).collect();
    let asked = asks(&mut rng, &sources);
    let (_, seconds) = served.closed(&all, STREAMS, asked)?;
    let rate = 0.6 * amount.requests as f64 / seconds;
    let (mut resident, mut paged) = (Vec::new(), Vec::new());
    let before = scarce.stats().loads;
    for round in 0..amount.rounds {
        eprintln!("first token, round {} of {}", round + 1, amount.rounds);
        let drawn = uniform(&mut rng);
        let mut at = Duration::ZERO;
        let mut trace = Vec::with_capacity(drawn.len());
        for n in drawn {
            at += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / rate);
            let ask = asks(&mut rng, &folders.sources[n..=n]).remove(0);
            trace.push((at, n, ask));
        }
        for (store, times) in [(&all, &mut resident), (&scarce, &mut paged)] {
            let answers = served.open_loop(store, &folders, trace.clone())?;
            times.extend(answers.iter().map(|answer| answer.first.as_secs_f64() * 1e3));
        }
        // Prompts are kept for the next who ask the same: the second store must not profit from the first.
    }
    let (resident_p99, paged_p99) = (quantile(&resident, 0.99), quantile(&paged, 0.99));
    let loads = (scarce.stats().loads - before) as f64 / paged.len() as f64;
    let alone = load_alone(served, folder, &folders)?;
    let mut row = Row::new(
        &format!("first token, {active} adapters on {SLOTS} places, 60 % load"),
        format!("p99 {paged_p99:.0} ms; all resident {resident_p99:.0} ms"),
    );
    row.bound = format!("a load alone {alone:.1} ms");
    row.rest = format!(
        "{rate:.1} requests/s, {:.0} % of them load; p50 {:.0} and {:.0} ms",
        loads * 100.0,
        median(&paged),
        median(&resident)
    );
    let row = row.most("× resident", paged_p99 / resident_p99, 1.5);
    Ok(vec![row.most("ms more", paged_p99 - resident_p99, 25.0)])
}

/// Milliseconds from asking for an adapter that is on disk only until it can be used, nothing else running.
fn load_alone(served: &Served, folder: &Path, folders: &Folders) -> Result<f64> {
    let store = served.store(folder, 8 << 30)?;
    let mut times = Vec::new();
    for n in 0..16.min(folders.sources.len()) {
        folders.forget(n)?;
        let start = std::time::Instant::now();
        served.warm(&store, &folders.sources[n..=n])?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}
