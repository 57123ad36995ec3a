//! The backend behind the engine: answers are the CPU's, and when the device is lost the CPU goes on.

use crate::emulator::{Emulator, Trouble, Watch};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tributary_adapters::{
    CONFIG_FILE, FetchPolicy, Fetcher, FileRoots, Memory, ResidencyConfig, Source, TENSORS_FILE,
};
use tributary_cpu::CpuBackend;
use tributary_cuda::{Device, DeviceChoice, DeviceError, Gpus, Options, Starter, Tier};
use tributary_engine::{
    AdapterSet, AdapterStore, BackendFactory, Engine, EngineConfig, GenerateRequest, InferenceBackend,
    Outcome, PPM, SamplingParams, Status, StopRules,
};
use tributary_testkit::{AdapterSpec, EOS, GEOMETRY, artifact, model_folder};
use tributary_weights::Model;

const OPTIONS: Options = Options {
    cache_tokens: 512,
    adapter_bytes: 1 << 20,
    context: 128,
    step_tokens: 64,
    rows: 8,
    split_bytes: 1 << 20,
    tier: Tier::Deterministic,
};

/// An engine whose factory opens `device` first; counts how often the CPU was started.
fn engine(folder: &Path, choice: DeviceChoice, device: Option<Emulator>) -> (Engine, Arc<AtomicUsize>) {
    engine_within(folder, choice, device, Memory::new(usize::MAX))
}

fn engine_within(
    folder: &Path,
    choice: DeviceChoice,
    device: Option<Emulator>,
    memory: Memory,
) -> (Engine, Arc<AtomicUsize>) {
    engine_of(folder, choice, device, memory, Tier::Deterministic)
}

fn engine_of(
    folder: &Path,
    choice: DeviceChoice,
    device: Option<Emulator>,
    memory: Memory,
    tier: Tier,
) -> (Engine, Arc<AtomicUsize>) {
    engines(folder, choice, device.into_iter().collect(), memory, tier)
}

/// An engine over each of the devices; where there is none, opening one fails.
fn engines(
    folder: &Path,
    choice: DeviceChoice,
    devices: Vec<Emulator>,
    memory: Memory,
    tier: Tier,
) -> (Engine, Arc<AtomicUsize>) {
    let numbers = choice.devices(&Gpus::All, || Ok(devices.len() as i32));
    let mut devices = devices.into_iter();
    let open = move |_| match devices.next() {
        Some(device) => Ok(Box::new(device) as Box<dyn Device>),
        None => Err(DeviceError::Absent("no more".to_owned())),
    };
    let mut model = Model::open(folder).unwrap();
    let tokenizer = Arc::clone(&model.tokenizer);
    let parts = (&model.config, &mut model.weights, &model.hashes);
    let options = Options { tier, ..OPTIONS };
    let starters = Starter::start((choice, &Gpus::All), &numbers, &options, Box::new(open), parts).unwrap();
    let started = Arc::new(AtomicUsize::new(0));
    let factory = |mut starter: Starter| {
        let (path, counter) = (folder.to_owned(), Arc::clone(&started));
        Box::new(move || {
            if let Some(backend) = starter.backend()? {
                return Ok(Box::new(backend) as Box<dyn InferenceBackend>);
            }
            counter.fetch_add(1, Ordering::Relaxed);
            let model = Model::open(&path).unwrap();
            let options =
                tributary_cpu::Options { threads: 1, cache_tokens: 512, ..tributary_cpu::Options::default() };
            let backend = CpuBackend::new(model.config, model.weights, &model.hashes, &options)?;
            Ok(Box::new(backend.standing_in("the CPU serves")) as _)
        }) as BackendFactory
    };
    let factories = starters.into_iter().map(factory).collect();
    let config = EngineConfig {
        restart_first: Duration::from_millis(5),
        restart_max: Duration::from_millis(20),
        step_tokens: 64,
        ..EngineConfig::default()
    };
    (Engine::several(Some(memory), config, tokenizer, factories).unwrap(), started)
}

fn request(prompt: &str, seed: u64, adapters: AdapterSet) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.bytes().map(u32::from).collect(),
        adapters,
        sampling: SamplingParams { temperature: 0.9, top_p: PPM - 50_000, seed, ..SamplingParams::default() },
        stop: StopRules { max_tokens: 8, min_tokens: 0, tokens: vec![EOS], strings: Vec::new() },
        ..GenerateRequest::default()
    }
}

async fn run(engine: &Engine, request: GenerateRequest) -> Result<Outcome, tributary_engine::GenerateError> {
    engine.submit(request).unwrap().finish().await.map(|(_, outcome)| outcome)
}

fn store(engine: &Engine, cache: &Path) -> AdapterStore {
    let policy = FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() };
    let fetcher = Fetcher::new(policy, cache.to_owned()).unwrap();
    AdapterStore::new(engine.clone(), GEOMETRY, fetcher, ResidencyConfig::default())
}

fn source(folder: &Path, seed: u64, dora: bool) -> Source {
    let artifact = artifact(&AdapterSpec { dora, ..AdapterSpec::new(seed) });
    std::fs::write(folder.join(CONFIG_FILE), artifact.config()).unwrap();
    std::fs::write(folder.join(TENSORS_FILE), artifact.tensors()).unwrap();
    Source { hash: artifact.hash(), uri: format!("file://{}", folder.display()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_cpus_before_and_after_the_device_is_lost() {
    let (model, folders) = (model_folder(7).unwrap(), [(); 2].map(|()| tempfile::tempdir().unwrap()));
    let adapters = [false, true].map(|dora| (source(folders[usize::from(dora)].path(), 3, dora), 0.5));
    let (cpu, _) = engine(model.path(), DeviceChoice::Cpu, None);
    let identity = cpu.ready().await.unwrap().identity;
    // The self-test runs hundreds of programs; the device goes a while after it.
    let trouble =
        Trouble { copy_polls: 1, lost_at: Some(programs_of_the_self_test() + 25), ..Trouble::default() };
    let device = Emulator::with(Watch::Shadow, trouble, false);
    let (gpu, started) = engine(model.path(), DeviceChoice::Cuda(None), Some(device));
    let info = gpu.ready().await.unwrap();
    assert_eq!(info.backend, "cuda-emulated");
    assert_eq!(info.identity, identity, "the same profile and weights");
    let caches = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (on_cpu, on_gpu) = (store(&cpu, caches[0].path()), store(&gpu, caches[1].path()));
    let (mut broke, mut same) = (0, 0);
    for seed in 0..16 {
        let composition = [&[], &adapters[..1], &[], &adapters[1..]][seed as usize % 4];
        let prompt = ["the quick", "a", "brown fox jumps over"][seed as usize % 3];
        let wanted = request(prompt, seed, on_cpu.lease(composition).await.unwrap());
        let wanted = run(&cpu, wanted).await.unwrap();
        // What ran when the device went is lost; asked again, it is answered.
        let found = loop {
            let leased = on_gpu.lease(composition).await.unwrap();
            match run(&gpu, request(prompt, seed, leased)).await {
                Ok(found) => break found,
                Err(_) => broke += 1,
            }
            assert!(broke < 50, "nobody goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(found.tokens, wanted.tokens);
        assert_eq!((found.exec_hash, found.logits_root), (wanted.exec_hash, wanted.logits_root));
        same += 1;
    }
    assert_eq!(same, 16);
    assert!(broke > 0, "the device was never lost");
    assert_eq!(started.load(Ordering::Relaxed), 1, "the CPU took over once");
    assert!(gpu.info().unwrap().backend.starts_with("cpu"));
}

/// Answers of a fast tier are the same each time, in company and alone, and say that they are its own. When the device is lost, nobody
/// answers any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_tier_answers_for_itself_alone() {
    let (model, folder) = (model_folder(7).unwrap(), tempfile::tempdir().unwrap());
    let adapter = [(source(folder.path(), 3, true), 1.0)];
    let (cpu, _) = engine(model.path(), DeviceChoice::Cpu, None);
    let fast = |trouble| {
        let device = Some(Emulator::with(Watch::Shadow, trouble, false));
        engine_of(model.path(), DeviceChoice::Auto, device, Memory::new(usize::MAX), Tier::Fast)
    };
    let lost = Trouble { lost_at: Some(40), ..Trouble::default() };
    let ((one, _), (two, started)) = (fast(Trouble::default()), fast(lost));
    let identity = one.ready().await.unwrap().identity;
    assert_eq!(two.ready().await.unwrap().identity, identity);
    assert_ne!(cpu.ready().await.unwrap().identity.profile, identity.profile);
    let caches = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let stores =
        [(&cpu, &caches[0]), (&one, &caches[1]), (&two, &caches[2])].map(|(e, c)| store(e, c.path()));
    let composition = |seed: u64| if seed.is_multiple_of(2) { &adapter[..] } else { &[] };
    let mut alone = Vec::new();
    for seed in 0..4 {
        let asked = request("the quick", seed, stores[1].lease(composition(seed)).await.unwrap());
        alone.push(run(&one, asked).await.unwrap());
    }
    let mut company = Vec::new();
    for seed in 0..4 {
        let leased = stores[1].lease(composition(seed)).await.unwrap();
        company.push(one.submit(request("the quick", seed, leased)).unwrap());
    }
    for (handle, alone) in company.into_iter().zip(&alone) {
        let found = handle.finish().await.unwrap().1;
        assert_eq!((&found.tokens, found.logits_root), (&alone.tokens, alone.logits_root));
        assert_eq!(found.exec_hash, alone.exec_hash);
    }
    let on_cpu = request("the quick", 0, stores[0].lease(composition(0)).await.unwrap());
    assert_ne!(run(&cpu, on_cpu).await.unwrap().exec_hash, alone[0].exec_hash);
    let mut broke = 0;
    for seed in (0..4).cycle().take(40) {
        let Ok(leased) = stores[2].lease(composition(seed)).await else { break };
        let Ok(handle) = two.submit(request("the quick", seed, leased)) else { break };
        let answer = tokio::time::timeout(Duration::from_secs(60), handle.finish()).await;
        match answer.expect("nobody waits for an engine that is off") {
            Ok((_, found)) => assert_eq!(found.logits_root, alone[seed as usize].logits_root),
            Err(_) => broke += 1,
        }
    }
    assert!(broke > 0, "the device was never lost");
    assert_eq!(started.load(Ordering::Relaxed), 0, "the CPU took over");
}

/// Pages of a device are not the host's: adapters may fill the budget beside what is kept of the weights, and requests go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_holds_adapters_and_no_pages() {
    let (model, folders) = (model_folder(9).unwrap(), [(); 3].map(|()| tempfile::tempdir().unwrap()));
    let sources = [3, 4].map(|seed| [(source(folders[seed - 3].path(), seed as u64, true), 1.0)]);
    let within = |memory: &Memory| {
        let device = Some(Emulator::new(Watch::Shadow));
        engine_within(model.path(), DeviceChoice::Cuda(None), device, memory.clone()).0
    };
    let plenty = within(&Memory::new(usize::MAX));
    let weights = plenty.ready().await.unwrap().limits.weight_bytes;
    let first = store(&plenty, folders[2].path());
    let wanted =
        run(&plenty, request("the quick", 1, first.lease(&sources[0]).await.unwrap())).await.unwrap();
    let one = first.adapters()[0].bytes;
    let memory = Memory::new(weights + one);
    let full = within(&memory);
    full.ready().await.unwrap();
    let store = store(&full, folders[2].path());
    let found = run(&full, request("the quick", 1, store.lease(&sources[0]).await.unwrap()));
    let found =
        tokio::time::timeout(Duration::from_secs(120), found).await.expect("pages wait for no adapter");
    assert_eq!(found.unwrap().logits_root, wanted.logits_root);
    let stats = memory.stats();
    assert_eq!((stats.weights, stats.pages, stats.adapters), (weights, 0, one));
    // The other takes the place of the first.
    store.lease(&sources[1]).await.unwrap();
    assert_eq!((store.adapters().len(), memory.stats().adapters), (1, one));
    let small = within(&Memory::new(weights - 1));
    assert!(small.ready().await.is_err(), "what the host keeps of the weights does not fit");
}

/// How many programs a start takes.
fn programs_of_the_self_test() -> usize {
    // One that is lost at its n-th program starts if and only if the self-test has fewer.
    let config = crate::model::config(tributary_weights::Architecture::Llama, 64, 64);
    let weights = crate::model::small(1, tributary_weights::Format::Q8_0, &config);
    let device = Emulator::new(Watch::Shadow);
    let runs = Arc::clone(&device.runs);
    drop(crate::model::backend_on(device, &config, &weights));
    runs.load(Ordering::Relaxed)
}

#[tokio::test]
async fn without_a_device_nothing_changes() {
    let model = model_folder(8).unwrap();
    for choice in [DeviceChoice::Auto, DeviceChoice::Cuda(Some(3))] {
        let (engine, started) = engine(model.path(), choice, None);
        assert!(engine.ready().await.unwrap().backend.starts_with("cpu"));
        run(&engine, request("hello", 1, AdapterSet::default())).await.unwrap();
        assert_eq!(started.load(Ordering::Relaxed), 1);
    }
}

/// Who chose a token does not show: with log-probabilities the engine does, without them the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_chosen_on_the_device_are_the_engines() {
    let model = model_folder(7).unwrap();
    let (cpu, _) = engine(model.path(), DeviceChoice::Cpu, None);
    let (gpu, _) = engine(model.path(), DeviceChoice::Cuda(None), Some(Emulator::new(Watch::Shadow)));
    cpu.ready().await.unwrap();
    gpu.ready().await.unwrap();
    let all = SamplingParams::default();
    let ways = [
        SamplingParams::greedy(),
        SamplingParams { temperature: 1.3, seed: 4, ..all.clone() },
        SamplingParams { temperature: 0.6, top_k: 5, seed: 5, ..all.clone() },
        SamplingParams { top_p: 300_000, min_p: 100_000, seed: 6, choice: 2, ..all },
    ];
    for sampling in ways {
        let ask = |logprobs| GenerateRequest {
            sampling: sampling.clone(),
            logprobs,
            stop: StopRules { max_tokens: 24, ..StopRules::default() },
            ..request("aba aba ab", 0, AdapterSet::default())
        };
        let wanted = run(&cpu, ask(None)).await.unwrap();
        for logprobs in [None, Some(0)] {
            let found = run(&gpu, ask(logprobs)).await.unwrap();
            assert_eq!((&found.tokens, found.logits_root), (&wanted.tokens, wanted.logits_root));
            assert_eq!(found.exec_hash, wanted.exec_hash);
        }
    }
}

/// Prompts with beginnings in common, with adapters and without, each answered as the CPU does whichever device it went to, while one of
/// three devices is lost and then all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_devices_answer_as_one_and_go_on_for_each_other() {
    let (model, folder) = (model_folder(7).unwrap(), tempfile::tempdir().unwrap());
    let adapter = [(source(folder.path(), 3, true), 0.5)];
    let (cpu, _) = engine(model.path(), DeviceChoice::Cpu, None);
    let identity = cpu.ready().await.unwrap().identity;
    let before = programs_of_the_self_test();
    let devices: Vec<Emulator> = [12, 30, 30]
        .map(|after| Trouble { lost_at: Some(before + after), ..Trouble::default() })
        .map(|trouble| Emulator::with(Watch::Shadow, trouble, false))
        .into();
    let runs: Vec<_> = devices.iter().map(|device| Arc::clone(&device.runs)).collect();
    let memory = Memory::new(usize::MAX);
    let (gpus, started) =
        engines(model.path(), DeviceChoice::Auto, devices, memory.clone(), Tier::Deterministic);
    assert_eq!(gpus.ready().await.unwrap().identity, identity);
    assert_eq!(gpus.status(), Status::Ready);
    let caches = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (on_cpu, on_gpus) = (store(&cpu, caches[0].path()), store(&gpus, caches[1].path()));
    let composition = |seed: u64| if seed.is_multiple_of(3) { &adapter[..] } else { &[] };
    let (mut broke, mut degraded, mut together) = (0, false, false);
    for round in 0..12u64 {
        let seeds = round * 6..round * 6 + 6;
        let mut wanted = Vec::new();
        for seed in seeds.clone() {
            let prompt = format!("a beginning in common {}", seed % 5);
            let leased = on_cpu.lease(composition(seed)).await.unwrap();
            wanted.push((prompt.clone(), run(&cpu, request(&prompt, seed, leased)).await.unwrap()));
        }
        // All at once; what ran on a device that went is asked again.
        let mut open = Vec::new();
        for (seed, (prompt, _)) in seeds.clone().zip(&wanted) {
            let leased = on_gpus.lease(composition(seed)).await.unwrap();
            open.push(gpus.submit(request(prompt, seed, leased)));
        }
        for ((seed, (prompt, wanted)), handle) in seeds.zip(&wanted).zip(open) {
            let mut answer = match handle {
                Ok(handle) => handle.finish().await.ok(),
                Err(_) => None,
            };
            for _ in 0..30 {
                if answer.is_some() {
                    break;
                }
                broke += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
                let leased = on_gpus.lease(composition(seed)).await.unwrap();
                if let Ok(handle) = gpus.submit(request(prompt, seed, leased)) {
                    answer = handle.finish().await.ok();
                }
            }
            let found = answer.expect("somebody goes on").1;
            assert_eq!(found.tokens, wanted.tokens);
            assert_eq!((found.exec_hash, found.logits_root), (wanted.exec_hash, wanted.logits_root));
        }
        degraded |= matches!(gpus.status(), Status::Degraded(_));
        together |= runs.iter().filter(|runs| runs.load(Ordering::Relaxed) > before).count() == 3;
    }
    assert!(together && degraded && broke > 0, "{together} {degraded} {broke}");
    assert_eq!(started.load(Ordering::Relaxed), 1, "the CPU took over once, after the last device");
    assert!(gpus.info().unwrap().backend.starts_with("cpu"));
    let told = gpus.status();
    assert!(matches!(&told, Status::Degraded(reason) if reason.contains("the CPU serves")), "{told:?}");
    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) > before), "a device had nothing to do");
}
