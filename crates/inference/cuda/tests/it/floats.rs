//! A forward pass in f64: what the fast tiers come near to. With bf16 where the kernels have it, and without.
//!
//! How near: between the kernels and [`Rounding::As`] lies the order of f32 sums, some parts in 2²⁴. Where that pushes a value over the edge
//! between two neighbours in bf16, which happens to a few in ten thousand, the value is off by one part in 2⁸, and in e4m3 by one in 2⁴;
//! that is one of the hundreds that a sum has, so a position is off by less than one part in 2⁸, or 2⁴, and others not at all. Without
//! rounding, each of a dozen roundings a layer is off by one part in 2⁹ at most, 2⁵ in e4m3, at random, which adds up to a few of these over
//! two layers of random weights.

use half::bf16;
use tributary_adapters::{LoraModule, Projection};
use tributary_cpu::{RopeTable, reference::Lora};
use tributary_cuda::{Tier, pack::e4m3};
use tributary_weights::{Config, Matrix, Weights};

/// What is rounded on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Nothing: what the weights in the file and exact arithmetic give.
    None,
    /// What a tier stores: bf16, and e4m3 for the matrices and their inputs.
    As(Tier),
}

/// How far logits may be from the pass that rounds as the tier does, and from the one that does not: root mean squares, of their own.
pub(crate) const fn bounds(tier: Tier) -> (f64, f64) {
    match tier {
        Tier::FastFp8 => (1.0 / 16.0, 10.0 / 32.0),
        _ => (1.0 / 256.0, 20.0 / 512.0),
    }
}

/// The root mean square of the difference, over that of what is wanted.
pub(crate) fn distance(found: &[(Vec<u32>, Vec<u8>)], wanted: &[Vec<f64>]) -> f64 {
    let pairs = || {
        let found = found.iter().flat_map(|(logits, _)| logits).map(|bits| f64::from(f32::from_bits(*bits)));
        found.zip(wanted.iter().flatten())
    };
    let squares: f64 = pairs().map(|(found, wanted)| (found - wanted) * (found - wanted)).sum();
    (squares / pairs().map(|(_, wanted)| wanted * wanted).sum::<f64>()).sqrt()
}

/// One sequence.
#[derive(Debug)]
pub(crate) struct Floats<'a> {
    config: &'a Config,
    lora: &'a [Lora<'a>],
    rounding: Rounding,
    table: RopeTable,
    embedding: Vec<Vec<f64>>,
    head: Option<Vec<Vec<f64>>>,
    layers: Vec<[Vec<Vec<f64>>; 7]>,
    weights: &'a Weights,
    /// By layer, position and head.
    keys: Vec<Vec<Vec<Vec<f64>>>>,
    values: Vec<Vec<Vec<Vec<f64>>>>,
}

fn brain(value: f64) -> f64 {
    f64::from(bf16::from_f32(value as f32).to_f32())
}

fn eight(code: u8) -> f64 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f64::from(code & 7));
    let most =
        if exponent == 0 { fraction * 2f64.powi(-9) } else { (8.0 + fraction) * 2f64.powi(exponent - 10) };
    if code & 0x80 == 0 { most } else { -most }
}

/// Values in e4m3 under one scale, as weights of a row and 256 inputs are.
fn eights(values: &[f64]) -> Vec<f64> {
    let most = values.iter().fold(0.0f32, |most, value| most.max(value.abs() as f32));
    if most < 1e-30 {
        return vec![0.0; values.len()];
    }
    let (scale, inverse) = (f64::from(most / 448.0), 448.0 / most);
    values.iter().map(|value| eight(e4m3(*value as f32 * inverse)) * scale).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl<'a> Floats<'a> {
    pub(crate) fn new(
        config: &'a Config,
        weights: &'a Weights,
        lora: &'a [Lora<'a>],
        rounding: Rounding,
    ) -> Self {
        let rows = |matrix: &Matrix, head: bool| -> Vec<Vec<f64>> {
            let values = matrix.dequantize();
            let row = |row: &[f32]| -> Vec<f64> {
                let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
                match rounding {
                    Rounding::None => row,
                    Rounding::As(Tier::FastFp8) if !head => eights(&row),
                    Rounding::As(_) => row.into_iter().map(brain).collect(),
                }
            };
            values.chunks(matrix.columns()).map(row).collect()
        };
        let layers = weights
            .layers
            .iter()
            .map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down].map(|matrix| rows(matrix, false)));
        Self {
            config,
            lora,
            rounding,
            table: RopeTable::new(config, config.context),
            embedding: rows(&weights.embedding, true),
            head: weights.head.as_ref().map(|head| rows(head, true)),
            layers: layers.collect(),
            weights,
            keys: vec![Vec::new(); weights.layers.len()],
            values: vec![Vec::new(); weights.layers.len()],
        }
    }

    fn round(&self, values: Vec<f64>) -> Vec<f64> {
        match self.rounding {
            Rounding::None => values,
            Rounding::As(_) => values.into_iter().map(brain).collect(),
        }
    }

    /// Runs the next token.
    pub(crate) fn push(&mut self, token: u32) -> Vec<f64> {
        let mut x = self.embedding[token as usize].clone();
        for index in 0..self.layers.len() {
            let weights = self.weights;
            let normed = self.norm(&x, &weights.layers[index].attention_norm);
            let attended = self.attention(index, &normed);
            let out = self.linear(index, Projection::O, None, &attended);
            x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
            let normed = self.norm(&x, &weights.layers[index].mlp_norm);
            let gate = self.linear(index, Projection::Gate, None, &normed);
            let up = self.linear(index, Projection::Up, None, &normed);
            let h = self.round(gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect());
            let down = self.linear(index, Projection::Down, None, &h);
            x.iter_mut().zip(down).for_each(|(x, y)| *x += y);
        }
        let normed = self.norm(&x, &self.weights.norm);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.iter().map(|row| dot(row, &normed)).collect()
    }

    fn norm(&self, x: &[f64], weight: &[f32]) -> Vec<f64> {
        let mean = dot(x, x) / x.len() as f64 + f64::from(self.config.norm_eps);
        self.round(x.iter().zip(weight).map(|(x, w)| x / mean.sqrt() * f64::from(*w)).collect())
    }

    fn attention(&mut self, index: usize, x: &[f64]) -> Vec<f64> {
        let width = self.config.head_dim;
        let weights = self.weights;
        let bias = |which: usize| weights.layers[index].qkv_bias.as_ref().map(|all| all[which].as_slice());
        let [q, k, v] = [(Projection::Q, 0), (Projection::K, 1), (Projection::V, 2)]
            .map(|(projection, which)| self.linear(index, projection, bias(which), x));
        let position = self.keys[index].len();
        let (cos, sin) = self.table.at(position);
        let rotated = |head: &[f64]| -> Vec<f64> {
            let half = width / 2;
            let (cos, sin) = (|i: usize| f64::from(cos[i]), |i: usize| f64::from(sin[i]));
            (0..width)
                .map(|c| match c.checked_sub(half) {
                    None => head[c] * cos(c) - head[half + c] * sin(c),
                    Some(low) => head[low] * sin(low) + head[c] * cos(low),
                })
                .collect()
        };
        let heads: Vec<Vec<f64>> = q.chunks(width).map(|head| self.round(rotated(head))).collect();
        let keys = k.chunks(width).map(|head| self.round(rotated(head))).collect();
        let values = v.chunks(width).map(|head| self.round(head.to_vec())).collect();
        self.keys[index].push(keys);
        self.values[index].push(values);
        let group = self.config.heads / self.config.kv_heads;
        let mut out = Vec::new();
        for (head, query) in heads.iter().enumerate() {
            let scores: Vec<f64> = self.keys[index]
                .iter()
                .map(|keys| dot(&keys[head / group], query) / (width as f64).sqrt())
                .collect();
            out.extend(self.attend(index, head / group, &scores));
        }
        self.round(out)
    }

    /// Weights are rounded below the largest of 64 positions, as the kernels do it.
    fn attend(&self, index: usize, head: usize, scores: &[f64]) -> Vec<f64> {
        let most = scores.iter().copied().fold(f64::MIN, f64::max);
        let (mut total, mut out) = (0.0, vec![0.0; self.config.head_dim]);
        for (first, segment) in (0..).step_by(64).zip(scores.chunks(64)) {
            let here = segment.iter().copied().fold(f64::MIN, f64::max);
            let e = self.round(segment.iter().map(|score| (score - here).exp()).collect());
            for (offset, e) in e.into_iter().enumerate() {
                let e = e * (here - most).exp();
                total += e;
                let value = &self.values[index][first + offset][head];
                out.iter_mut().zip(value).for_each(|(out, value)| *out += e * value);
            }
        }
        out.into_iter().map(|out| out / total).collect()
    }

    fn linear(&self, index: usize, projection: Projection, bias: Option<&[f32]>, x: &[f64]) -> Vec<f64> {
        let matrix = &self.layers[index][projection as usize];
        let inputs = match self.rounding {
            Rounding::As(Tier::FastFp8) => x.chunks(256).flat_map(eights).collect(),
            _ => x.to_vec(),
        };
        let mut y: Vec<f64> = matrix.iter().map(|row| dot(row, &inputs)).collect();
        let bias = |y: &mut Vec<f64>| {
            if let Some(bias) = bias {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += f64::from(*bias));
            }
        };
        let modules: Vec<(&LoraModule, f32)> = self
            .lora
            .iter()
            .filter_map(|part| Some((part.adapter.module(index as u32, projection)?, part.weight)))
            .collect();
        if !modules.iter().any(|(module, _)| module.magnitude.is_some()) {
            bias(&mut y);
        }
        for (module, weight) in modules {
            let (rank, columns) = (module.rank as usize, module.inputs as usize);
            let floats = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            let scaled: Vec<f32> = module.b.iter().map(|value| weight * module.scale * value).collect();
            let (a, b) = (self.round(floats(&module.a)), self.round(floats(&scaled)));
            let u = self.round(a.chunks(columns).map(|row| dot(row, x)).collect());
            y.iter_mut().zip(b.chunks(rank)).for_each(|(y, row)| *y += dot(row, &u));
            if let Some(magnitude) = &module.magnitude {
                let base = &self.weights.layers[index];
                let base = [&base.q, &base.k, &base.v, &base.o, &base.gate, &base.up, &base.down];
                let base = base[projection as usize];
                let gains = tributary_cpu::dora_gains(base, module, &scaled, magnitude).unwrap();
                y.iter_mut().zip(gains).for_each(|(y, gain)| *y *= f64::from(gain));
                bias(&mut y);
            }
        }
        y
    }
}
