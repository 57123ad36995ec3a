//! The quality bar of the shipped adapters, judged in the serving engine with quantised adapters.

use std::{path::Path, sync::Arc};

use tributary_adapters::{
    Artifact, Bounds, FetchPolicy, Fetcher, FileRoots, Geometry, ResidencyConfig, Source as Uri,
};
use tributary_cpu::{CpuBackend, Options};
use tributary_engine::{
    AdapterSet, AdapterStore, BackendError, Engine, EngineConfig, GenerateRequest, InferenceBackend,
    SamplingParams, StopRules,
};
use tributary_train::{
    Codec, Document, Recipe,
    corpus::{Selection, Source, dictd},
    job::{ModelCodec, RECIPE_FILE},
    quality::{Answer, MAX_ANSWER, Report, questions},
};
use tributary_weights::{DEFAULT_MODEL, Model, cache_dir};

use crate::dictionaries::adapter_folder;

/// Answers of forty that have to carry a span of the right document.
const WANTED: usize = 36;
/// Answers of forty that the base model may get right by itself: these books are in nobody's memory word by word.
const BASE_AT_MOST: usize = 2;
/// Both files of an adapter.
const MAX_BYTES: u64 = 12_000_000;

struct Served {
    model: Model,
    engine: Engine,
    store: AdapterStore,
    _cache: tempfile::TempDir,
}

fn open_model() -> Model {
    let path = DEFAULT_MODEL.path(&cache_dir().expect("a home folder"));
    Model::open(&path)
        .unwrap_or_else(|error| panic!("{error}\nrun `make setup` and `tributary model pull` first"))
}

async fn serve() -> Served {
    let mut model = open_model();
    let geometry = Geometry {
        layers: model.config.layers as u32,
        hidden: model.config.hidden as u32,
        intermediate: model.config.intermediate as u32,
        query: model.config.query() as u32,
        key: model.config.key() as u32,
    };
    let (config, weights, hashes) = (model.config.clone(), model.weights.clone(), model.hashes);
    // The engine has its own copy; only tokenizer and template are needed here.
    model.weights.layers.clear();
    let factory = Box::new(move || {
        let options = Options { context: 512, cache_tokens: 16 * 512, ..Options::default() };
        let backend = CpuBackend::new(config.clone(), weights.clone(), &hashes, &options);
        backend.map(|backend| Box::new(backend) as Box<dyn InferenceBackend>).map_err(BackendError::from)
    });
    let vocabulary = Arc::clone(&model.tokenizer);
    let engine =
        Engine::start(EngineConfig { max_running: 16, ..EngineConfig::default() }, vocabulary, factory)
            .unwrap();
    engine.ready().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let policy = FetchPolicy { files: FileRoots::Any, ..FetchPolicy::default() };
    let fetcher = Fetcher::new(policy, cache.path().to_owned()).unwrap();
    let store = AdapterStore::new(engine.clone(), geometry, fetcher, ResidencyConfig::default());
    Served { model, engine, store, _cache: cache }
}

impl Served {
    async fn lease(&self, folder: &Path) -> AdapterSet {
        let hash = Artifact::read(folder, &Bounds::default()).unwrap().hash();
        let uri = url::Url::from_directory_path(folder.canonicalize().unwrap()).unwrap().to_string();
        self.store.lease(&[(Uri { hash, uri }, 1.0)]).await.unwrap()
    }

    /// Greedy answers to every question, many at once.
    async fn answers(&self, questions: &[String], adapters: &AdapterSet) -> Vec<Answer> {
        let codec = ModelCodec::new(&self.model).unwrap();
        let submitted: Vec<_> = questions
            .iter()
            .map(|question| {
                let stop = StopRules {
                    max_tokens: MAX_ANSWER as u32,
                    tokens: self.model.tokenizer.eos().to_vec(),
                    ..StopRules::default()
                };
                let request = GenerateRequest {
                    prompt: codec.prompt(question).unwrap(),
                    adapters: adapters.clone(),
                    sampling: SamplingParams::greedy(),
                    stop,
                    ..GenerateRequest::default()
                };
                self.engine.submit(request).unwrap()
            })
            .collect();
        let mut answers = Vec::new();
        for generation in submitted {
            let (text, outcome) = generation.finish().await.unwrap();
            answers.push(Answer { tokens: outcome.tokens, text });
        }
        answers
    }

    async fn report(&self, name: &str, asked: &[Document], recipe: &Recipe, adapters: &AdapterSet) -> Report {
        let codec = ModelCodec::new(&self.model).unwrap();
        let answers = self.answers(&questions(asked, recipe).unwrap(), adapters).await;
        Report::judge(name, asked, recipe, &codec, answers).unwrap()
    }
}

async fn judge(source: Source) {
    let served = serve().await;
    let folder = adapter_folder(source);
    let bytes: u64 =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= MAX_BYTES, "{}: {bytes} bytes", folder.display());
    let recipe = Recipe::read(&folder.join(RECIPE_FILE)).unwrap();
    let selection = Selection::read(&folder.join("headwords.json")).unwrap();
    let documents =
        selection.documents(Path::new(dictd::DEBIAN_FOLDER)).expect("make setup installs the dictionaries");
    let asked: Vec<Document> =
        documents.into_iter().filter(|document| selection.evaluate.contains(&document.headword)).collect();
    assert_eq!(asked.len(), 40);
    let adapters = served.lease(&folder).await;
    let adapted = served.report(source.adapter(), &asked, &recipe, &adapters).await;
    let base = served.report("the base model", &asked, &recipe, &AdapterSet::default()).await;
    println!("{adapted}\n{base}");
    assert!(adapted.passed() >= WANTED, "{adapted}");
    assert!(base.passed() <= BASE_AT_MOST, "{base}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dict_devil_recites_the_right_entry_and_the_base_model_does_not() {
    judge(Source::Devil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dict_jargon_recites_the_right_entry_and_the_base_model_does_not() {
    judge(Source::Jargon).await;
}
