//! The profile against floats over the whole of two texts, with and without LoRA.
//!
//! `cargo bench -p tributary-cpu --bench perplexity [-- --model=FILE --stride=N] [PEFT_FOLDER]`; every Nth window; without a file the default model, without a
//! folder a random adapter. `tests/bench/formats.sh` does it for every weight format.

#[path = "../oracle/mod.rs"]
mod oracle;

use oracle::{default_model, open, score, texts};
use std::path::{Path, PathBuf};
use tributary_adapters::{Adapter, Artifact, Bounds, Geometry, LoraModule, Projection};
use tributary_weights::Config;

fn random(config: &Config) -> Adapter {
    let mut state = 1u64;
    let mut values = |len: usize, scale: f32| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32 * scale
        };
        (0..len).map(|_| next()).collect()
    };
    let geometry = Geometry::from(config);
    let places = (0..geometry.layers).flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)));
    let module = |(layer, projection)| {
        let (inputs, outputs) = geometry.shape(projection);
        let size = 1.0 / (inputs as f32).sqrt();
        let (a, b) = (values(16 * inputs as usize, size), values(16 * outputs as usize, 0.05));
        LoraModule { layer, projection, rank: 16, inputs, outputs, scale: 2.0, a, b, magnitude: None }
    };
    Adapter { hash: Default::default(), modules: places.map(module).collect() }
}

fn load(folder: &Path, config: &Config) -> Adapter {
    let bounds = Bounds::default();
    let artifact = Artifact::read(folder, &bounds).expect("a PEFT folder");
    artifact.parse(&Geometry::from(config), &bounds).expect("an adapter of this model")
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let option =
        |name: &str| std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned));
    let path = option("--model=").map_or_else(default_model, PathBuf::from);
    let stride = option("--stride=").map_or(1, |stride| stride.parse().expect("a number"));
    let model = open(&path);
    let adapter = match arguments.first() {
        None => random(&model.config),
        Some(folder) => load(Path::new(folder), &model.config),
    };
    for text in texts(&model.tokenizer) {
        for (what, adapter) in [("base", None), ("LoRA", Some(&adapter))] {
            let score = score(&path, &text.tokens, stride, adapter);
            println!(
                "{:8} {what}: perplexity {:.4}, float {:.4}, {:+.3} %, same first token {:.2} % of {}",
                text.name,
                score.profile(),
                score.oracle(),
                score.excess(),
                score.agreement(),
                score.count()
            );
        }
    }
}
