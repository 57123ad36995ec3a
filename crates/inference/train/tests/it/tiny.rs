//! A model of a few thousand weights with bytes for tokens.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tributary_train::{Base, Codec, TrainError};
use tributary_weights::{Architecture, Config, Layer, Matrix, Weights};

const END: u32 = 0;

fn config(architecture: Architecture) -> Config {
    Config {
        architecture,
        layers: 2,
        hidden: 32,
        intermediate: 64,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        vocab: 128,
        context: 128,
        rope_theta: 10_000.0,
        rope_factors: None,
        norm_eps: 1e-5,
    }
}

/// Uniform with a spread that keeps activations in range.
fn matrix(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Matrix {
    let bound = (3.0 / columns as f32).sqrt();
    let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-bound..bound)).collect();
    Matrix::from_f32(rows, columns, &values).unwrap()
}

fn layer(config: &Config, rng: &mut ChaCha8Rng) -> Layer {
    let Config { hidden, intermediate, .. } = *config;
    let (query, key) = (config.query(), config.key());
    let biases = [vec![0.1; query], vec![-0.1; key], vec![0.2; key]];
    Layer {
        attention_norm: vec![1.0; hidden],
        q: matrix(query, hidden, rng),
        k: matrix(key, hidden, rng),
        v: matrix(key, hidden, rng),
        qkv_bias: (config.architecture == Architecture::Qwen2).then_some(biases),
        o: matrix(hidden, query, rng),
        mlp_norm: vec![1.0; hidden],
        gate: matrix(intermediate, hidden, rng),
        up: matrix(intermediate, hidden, rng),
        down: matrix(hidden, intermediate, rng),
    }
}

pub(crate) fn base(architecture: Architecture) -> Base {
    let config = config(architecture);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let weights = Weights {
        embedding: matrix(config.vocab, config.hidden, &mut rng),
        layers: (0..config.layers).map(|_| layer(&config, &mut rng)).collect(),
        // Sharp enough for an answer to become certain.
        norm: vec![3.0; config.hidden],
        head: None,
    };
    Base::new(&config, &weights, config.context).unwrap()
}

pub(crate) struct Bytes;

impl Codec for Bytes {
    fn prompt(&self, question: &str) -> Result<Vec<u32>, TrainError> {
        self.text(&format!("Q:{question}\nA:"))
    }

    fn text(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        Ok(text.bytes().map(|byte| u32::from(byte) & 127).collect())
    }

    fn end(&self) -> u32 {
        END
    }
}
