//! The same model, loop by loop in f64.

use tributary_testkit::{BERT_HEADS as HEADS, BERT_HIDDEN as HIDDEN, BERT_LAYERS as LAYERS, TinyBert};

type Rows = Vec<Vec<f64>>;

/// The embedding of a text's tokens.
pub(crate) fn embed(model: &TinyBert, tokens: &[u32]) -> Vec<f64> {
    Plain(model).embed(tokens)
}

struct Plain<'a>(&'a TinyBert);

impl Plain<'_> {
    fn values(&self, name: &str) -> &[f32] {
        &self.0.tensors[name].1
    }

    fn row(&self, name: &str, index: usize) -> Vec<f64> {
        self.values(name)[index * HIDDEN..(index + 1) * HIDDEN].iter().map(|v| f64::from(*v)).collect()
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (self.values(&format!("{name}.weight")), self.values(&format!("{name}.bias")));
        let row = |x: &Vec<f64>| {
            let dot = |out: usize| -> f64 {
                x.iter().enumerate().map(|(i, v)| v * f64::from(weight[out * x.len() + i])).sum()
            };
            bias.iter().enumerate().map(|(out, bias)| dot(out) + f64::from(*bias)).collect()
        };
        x.iter().map(row).collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (self.values(&format!("{name}.weight")), self.values(&format!("{name}.bias")));
        let row = |x: &Vec<f64>| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let scaled = x.iter().map(|v| (v - mean) / (variance + 1e-12).sqrt());
            scaled.zip(weight.iter().zip(bias)).map(|(v, (w, b))| v * f64::from(*w) + f64::from(*b)).collect()
        };
        x.iter().map(row).collect()
    }

    fn attention(&self, layer: &str, x: &Rows) -> Rows {
        let part = |name: &str| self.linear(&format!("{layer}.attention.self.{name}"), x);
        let (query, key, value) = (part("query"), part("key"), part("value"));
        let size = HIDDEN / HEADS;
        let mut out = vec![vec![0.0; HIDDEN]; x.len()];
        for head in 0..HEADS {
            let at = head * size..(head + 1) * size;
            for i in 0..x.len() {
                let score = |j: usize| -> f64 {
                    let dot: f64 =
                        query[i][at.clone()].iter().zip(&key[j][at.clone()]).map(|(q, k)| q * k).sum();
                    (dot / (size as f64).sqrt()).exp()
                };
                let total: f64 = (0..x.len()).map(score).sum();
                for (j, value) in value.iter().enumerate() {
                    let share = score(j) / total;
                    at.clone().for_each(|c| out[i][c] += share * value[c]);
                }
            }
        }
        self.linear(&format!("{layer}.attention.output.dense"), &out)
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f64> {
        let sum = |(position, token): (usize, &u32)| {
            let word = self.row("embeddings.word_embeddings.weight", *token as usize);
            let place = self.row("embeddings.position_embeddings.weight", position);
            let segment = self.row("embeddings.token_type_embeddings.weight", 0);
            word.iter().zip(place).zip(segment).map(|((w, p), s)| w + p + s).collect()
        };
        let mut x = self.norm("embeddings.LayerNorm", &tokens.iter().enumerate().map(sum).collect());
        for layer in (0..LAYERS).map(|layer| format!("encoder.layer.{layer}")) {
            let attended = self.attention(&layer, &x);
            x = self.norm(&format!("{layer}.attention.output.LayerNorm"), &add(&attended, &x));
            let mut inner = self.linear(&format!("{layer}.intermediate.dense"), &x);
            inner.iter_mut().flatten().for_each(|v| *v = *v * 0.5 * (1.0 + erf(*v / 2f64.sqrt())));
            let output = self.linear(&format!("{layer}.output.dense"), &inner);
            x = self.norm(&format!("{layer}.output.LayerNorm"), &add(&output, &x));
        }
        let mean: Vec<f64> =
            (0..HIDDEN).map(|c| x.iter().map(|row| row[c]).sum::<f64>() / x.len() as f64).collect();
        let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
        mean.iter().map(|v| v / length).collect()
    }
}

fn add(one: &Rows, other: &Rows) -> Rows {
    one.iter().zip(other).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// Abramowitz and Stegun 7.1.5: the power series, which converges well where activations are.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
