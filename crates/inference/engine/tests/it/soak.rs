//! Many requests through everything at once, with whatever can go wrong outside of the engine going wrong.
//!
//! Adapters come over HTTP from a server that is slow, cuts files short, closes connections or has forgotten them; somebody damages
//! and empties the cache on disk; there is memory for few of them at once. Clients hang up, have no time, and take their time. What
//! is answered is right to the bit, what fails fails for a reason that was given, and at the end nothing is left over.
//!
//! A short run is part of the tests; `make soak` runs it over 20,000 requests.

use crate::{
    tiny::{Bits, Tiny, bits, quick, request, run, sampled},
    toy::toy,
};
use alloy_primitives::B256;
use axum::{
    Router, body::Body, extract::Path, extract::State, http::StatusCode, response::IntoResponse, routing::get,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tributary_adapters::{
    AdapterError, CONFIG_FILE, FetchPolicy, Fetcher, FileRoots, ResidencyConfig, Severity, Source,
    TENSORS_FILE,
};
use tributary_engine::{
    AdapterStore, Engine, EngineConfig, Event, FinishReason, GenerateError, GenerateRequest, SamplingParams,
};
use tributary_testkit::{AdapterSpec, GEOMETRY, Noise, artifact};

const ADAPTERS: u64 = 40;
/// Of them fit into memory at once; the toy's weigh 1,000 bytes each.
const RESIDENT: usize = 6;
const CLIENTS: u64 = 48;

/// Files by adapter and name, and a counter that decides what goes wrong.
struct Shelf {
    files: HashMap<(String, String), Vec<u8>>,
    requests: AtomicUsize,
}

async fn serve(
    Path((adapter, name)): Path<(String, String)>,
    State(shelf): State<Arc<Shelf>>,
) -> impl IntoResponse {
    let Some(file) = shelf.files.get(&(adapter, name)) else { return Err(StatusCode::NOT_FOUND) };
    let count = shelf.requests.fetch_add(1, Ordering::Relaxed);
    match count % 16 {
        3 => return Err(StatusCode::NOT_FOUND),
        6 => return Ok(Body::from(file[..file.len() / 2].to_vec())),
        9 => {
            let chunks = [Ok(file[..file.len() / 3].to_vec()), Err(std::io::Error::other("hung up"))];
            return Ok(Body::from_stream(futures::stream::iter(chunks)));
        }
        12 => tokio::time::sleep(Duration::from_millis(20)).await,
        13 => return Err(StatusCode::SERVICE_UNAVAILABLE),
        _ => {}
    }
    Ok(Body::from(file.clone()))
}

async fn shelf() -> (String, Vec<B256>) {
    let mut files = HashMap::new();
    let mut hashes = Vec::new();
    for seed in 0..ADAPTERS {
        let made = artifact(&AdapterSpec::new(seed).rank(1));
        files.insert((seed.to_string(), CONFIG_FILE.to_owned()), made.config().to_vec());
        files.insert((seed.to_string(), TENSORS_FILE.to_owned()), made.tensors().to_vec());
        hashes.push(made.hash());
    }
    let shelf = Arc::new(Shelf { files, requests: AtomicUsize::new(0) });
    let router = Router::new().route("/{adapter}/{name}", get(serve)).with_state(shelf);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), hashes)
}

/// Cuts, empties and removes cached files until told to stop.
fn vandal(cache: PathBuf, stop: Arc<AtomicBool>) {
    let mut noise = Noise::new(99);
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(3));
        let entries: Vec<_> =
            std::fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.path()).collect();
        let Some(folder) = entries.get(noise.below(entries.len().max(1) as u64) as usize) else { continue };
        // It may be gone already, or not be complete yet: that is the point.
        match noise.below(3) {
            0 => drop(std::fs::remove_dir_all(folder)),
            1 => drop(std::fs::write(folder.join(TENSORS_FILE), b"cut")),
            _ => drop(std::fs::remove_file(folder.join(CONFIG_FILE))),
        }
    }
}

struct World {
    engine: Engine,
    alone: Engine,
    store: AdapterStore,
    sure: AdapterStore,
    sources: Vec<Source>,
    certain: Vec<Source>,
    answers: parking_lot::Mutex<HashMap<(u64, u64), Bits>>,
    failed: AtomicUsize,
    answered: AtomicUsize,
}

impl World {
    /// One of a few hundred kinds of request: adapter and prompt.
    fn request(adapter: u64, kind: u64) -> GenerateRequest {
        let mut noise = Noise::new(kind % 7);
        let shared = 20 + noise.below(100) as usize;
        let mut prompt: Vec<u32> = (0..shared).map(|_| 97 + noise.below(11) as u32).collect();
        prompt.extend((0..kind).map(|at| 97 + (at * kind % 11) as u32));
        let sampling = if kind.is_multiple_of(2) { SamplingParams::greedy() } else { sampled(kind) };
        GenerateRequest { prompt, sampling, tenant: adapter % 3, ..request("", 8 + kind as u32) }
    }

    async fn expected(&self, adapter: u64, kind: u64) -> Bits {
        if let Some(known) = self.answers.lock().get(&(adapter, kind)) {
            return known.clone();
        }
        let mut asked = Self::request(adapter, kind);
        if adapter < ADAPTERS {
            asked.adapters = self.sure.lease(&[(self.certain[adapter as usize].clone(), 1.0)]).await.unwrap();
        }
        let answer = bits(&run(&self.alone, asked).await.unwrap());
        self.answers.lock().insert((adapter, kind), answer.clone());
        answer
    }

    async fn client(self: Arc<Self>, seed: u64, requests: usize) {
        let mut noise = Noise::new(seed);
        for _ in 0..requests {
            // Half of them ask for a few popular adapters, one in ten for none.
            let adapter = match noise.below(10) {
                0 => ADAPTERS,
                1..=5 => noise.below(4),
                _ => noise.below(ADAPTERS),
            };
            self.ask(adapter, noise.below(24), noise.below(12)).await;
        }
    }

    async fn ask(&self, adapter: u64, kind: u64, mood: u64) {
        let expected = self.expected(adapter, kind).await;
        let mut asked = Self::request(adapter, kind);
        if adapter < ADAPTERS {
            let composition = [(self.sources[adapter as usize].clone(), 1.0)];
            let leasing = self.store.lease(&composition);
            // Some do not wait for an adapter to come.
            let leased = if mood == 1 {
                match tokio::time::timeout(Duration::from_millis(2), leasing).await {
                    Ok(leased) => leased,
                    Err(_) => return,
                }
            } else {
                leasing.await
            };
            match leased {
                Ok(adapters) => asked.adapters = adapters,
                Err(error) => return self.refused(&error),
            }
        }
        asked.priority = (mood == 2).into();
        if mood == 3 {
            asked.deadline = Some(Instant::now() + Duration::from_micros(300));
        }
        let mut generation = self.engine.submit(asked).unwrap();
        let mut got = Vec::new();
        while let Some(event) = generation.next().await {
            match event {
                Event::Token(token) => got.push(token.token),
                Event::Finished(outcome)
                    if matches!(outcome.reason, FinishReason::Cancelled | FinishReason::Deadline) =>
                {
                    return assert_eq!(got, expected.0[..got.len()]);
                }
                Event::Finished(outcome) => {
                    assert_eq!(bits(&outcome), expected);
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Event::Failed(GenerateError::Deadline | GenerateError::Cancelled) => {
                    return assert!(got.is_empty());
                }
                Event::Failed(error) => panic!("{error}"),
            }
            match mood {
                4 if got.len() == 3 => return,
                5 if got.len() == 2 => generation.cancel(),
                6 => tokio::time::sleep(Duration::from_micros(200)).await,
                _ => {}
            }
        }
        panic!("no end");
    }

    /// The store's troubles are not the adapter's fault, and never the process's.
    fn refused(&self, error: &AdapterError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let expected =
            matches!(error, AdapterError::Fetch { .. } | AdapterError::Hash { .. } | AdapterError::Busy(_));
        assert!(expected, "{error} ({:?})", error.severity());
        assert!(matches!(error.severity(), Severity::Retry | Severity::Reject));
    }
}

/// Resident memory of this process, in bytes; 0 where that cannot be told.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0usize) * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_wrong_and_answers_stay_right() {
    let requests: usize = std::env::var("SOAK_REQUESTS").ok().map_or(1500, |count| count.parse().unwrap());
    let tiny = Tiny::new();
    let config = EngineConfig { max_running: 12, step_tokens: 96, prefill_chunk: 40, ..quick() };
    let (engine, _) = toy(&tiny, config, 96);
    let off = EngineConfig { prefix_cache: false, draft_tokens: 0, ..quick() };
    let (alone, _) = toy(&tiny, off, 640);
    engine.ready().await.unwrap();
    alone.ready().await.unwrap();
    let (address, hashes) = shelf().await;
    let sources: Vec<Source> = hashes
        .iter()
        .enumerate()
        .map(|(at, hash)| Source { hash: *hash, uri: format!("{address}/{at}") })
        .collect();
    let cache = tempfile::tempdir().unwrap();
    let policy = FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() };
    let fetcher = Fetcher::new(policy, cache.path().to_owned()).unwrap();
    let residency = ResidencyConfig {
        budget: RESIDENT * 1000,
        turn: Duration::from_millis(5),
        failure_ttl: Duration::from_millis(5),
        ..ResidencyConfig::default()
    };
    let store = AdapterStore::new(engine.clone(), GEOMETRY, fetcher, residency);
    let world = Arc::new(World {
        sure: tiny.store(&alone, 1 << 20),
        certain: (0..ADAPTERS).map(|seed| tiny.adapter(&AdapterSpec::new(seed).rank(1))).collect(),
        engine: engine.clone(),
        alone,
        store: store.clone(),
        sources,
        answers: parking_lot::Mutex::default(),
        failed: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let vandal = std::thread::spawn({
        let (cache, stop) = (cache.path().to_owned(), Arc::clone(&stop));
        move || vandal(cache, stop)
    });
    let rounds = 4;
    let mut held = Vec::new();
    for round in 0..rounds {
        let each = requests.div_ceil(rounds * CLIENTS as usize);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| tokio::spawn(Arc::clone(&world).client(round as u64 * CLIENTS + client, each)))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        held.push(memory());
    }
    stop.store(true, Ordering::Relaxed);
    vandal.join().unwrap();
    engine.drain().await;
    let (answered, failed, stats) =
        (world.answered.load(Ordering::Relaxed), world.failed.load(Ordering::Relaxed), store.stats());
    println!(
        "{answered} answered, {failed} without their adapter, {stats:?}, memory {:?} MB",
        held.iter().map(|b| b >> 20).collect::<Vec<_>>()
    );
    assert!(answered > requests / 3 && failed > 0 && stats.evictions > 0);
    assert!(stats.bytes <= RESIDENT * 1000);
    assert_eq!(engine.requests(), 0);
    // Nobody holds an adapter any more.
    for hash in hashes {
        store.unload(hash);
    }
    assert_eq!((store.stats().resident, store.stats().bytes), (0, 0));
    // The first round makes the memory that the others use again.
    assert!(held[rounds - 1] < held[0] + (24 << 20), "memory grows: {held:?}");
}
