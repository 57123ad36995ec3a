//! The fast tiers' self-test: a small model on the device, before the first token.
//!
//! There are no committed bits to compare with, as matrix instructions round as they like. But each cut of a sequence has to give the same
//! bits, by other kernels; and logits have to be about what the definition of the deterministic profile gives, which a device that lays
//! fragments out otherwise misses by all there is.

use super::{CudaBackend, Options};
use crate::{
    CopyId, CudaError, Device, DeviceError, HostBytes, HostMemory, ProgramId, Tier, launch::Launch,
    plan::Arena,
};
use alloy_primitives::B256;
use std::sync::{Arc, Mutex, PoisonError};
use tributary_adapters::{Adapter, Geometry, LoraModule, Projection};
use tributary_cpu::reference::{Lora, Reference};
use tributary_engine::{InferenceBackend, LoraPart, Row, SeqId, StepOutput, Wanted};
use tributary_weights::{Architecture, Config, Format, Hashes, Layer, Matrix, Weights, WeightsError};

/// Tokens of the sequence: more than the kernels for few vectors take.
const TOKENS: usize = 40;
/// Ways to cut it: through the kernels for many vectors and tiles; for 8, 16 and 32 vectors, tiles and splits.
const CUTS: [&[usize]; 2] = [&[40], &[9, 18, 3, 1, 9]];
/// A rank that is no whole tile.
const RANK: u32 = 5;

/// How far logits may be from the deterministic profile's: root mean squares, of their own. The emulator finds 0.02 and 0.08; things that
/// have nothing to do with each other are 1.4 apart.
const fn bound(tier: Tier) -> f64 {
    if matches!(tier, Tier::FastFp8) { 0.5 } else { 0.15 }
}

/// Runs it; the device is as it was.
pub(super) fn check(device: Box<dyn Device>, tier: Tier) -> Result<Box<dyn Device>, CudaError> {
    let borrowed =
        Borrowed { device: Arc::new(Mutex::new(Some(device))), allocated: Vec::new(), name: String::new() };
    let shared = Arc::clone(&borrowed.device);
    let outcome = compare(borrowed, tier);
    let device = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome?;
    device.ok_or_else(|| CudaError::SelfTest("the device's return".to_owned()))
}

fn compare(device: Borrowed, tier: Tier) -> Result<(), CudaError> {
    let failed = |what: &dyn std::fmt::Display| CudaError::SelfTest(format!("the {tier} tier: {what}"));
    let config = config();
    let mut random = Random(1);
    let weights = weights(&config, &mut random).map_err(|error| failed(&error))?;
    let adapter = adapter(&config, &mut random);
    let tokens: Vec<u32> = (0..TOKENS).map(|at| (at * 29 % config.vocab) as u32).collect();
    let lora = [Lora { adapter: &adapter, weight: 1.0 }];
    let mut reference = Reference::new(&config, &weights, &lora);
    let mut wanted = Vec::new();
    for token in &tokens {
        wanted.extend(reference.push(*token).map_err(|error| failed(&error))?.0);
    }
    let options = Options {
        cache_tokens: TOKENS.next_multiple_of(16),
        adapter_bytes: 1 << 16,
        context: TOKENS,
        step_tokens: TOKENS,
        rows: 1,
        split_bytes: 1 << 20,
        tier,
    };
    let hashes = Hashes { weights: B256::ZERO, tokenizer: B256::ZERO };
    let mut backend = CudaBackend::unchecked(Box::new(device), &config, &weights, &hashes, &options)?;
    CudaBackend::keep([&mut backend], weights.layers);
    let prepared = backend.preparer().prepare(&adapter, 1.0).map_err(|error| failed(&error))?;
    let lora = [LoraPart { hash: adapter.hash, weight: 1.0, prepared }];
    let answers = CUTS.map(|cut| answer(&mut backend, &tokens, &lora, cut));
    backend.programs.clear(backend.device.as_mut());
    let [first, second] = answers;
    let (first, second) = (first.map_err(|error| failed(&error))?, second.map_err(|error| failed(&error))?);
    if first.iter().map(|value| value.to_bits()).ne(second.iter().map(|value| value.to_bits())) {
        return Err(failed(&"another cut of a sequence gives other bits"));
    }
    let square = |value: f64| value * value;
    let off: f64 = first.iter().zip(&wanted).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let all: f64 = wanted.iter().map(|value| square(f64::from(*value))).sum();
    let distance = (off / all).sqrt();
    tracing::debug!(%tier, distance, "self-test");
    if distance <= bound(tier) { Ok(()) } else { Err(failed(&format!("logits are off by {distance:.3}"))) }
}

/// Logits of every position.
fn answer(
    backend: &mut CudaBackend,
    tokens: &[u32],
    lora: &[LoraPart],
    cut: &[usize],
) -> Result<Vec<f32>, String> {
    let pages: Vec<u32> = (0..tokens.len().div_ceil(16) as u32).rev().collect();
    let (mut logits, mut at, mut out) = (Vec::new(), 0, StepOutput::default());
    for count in cut {
        let tokens = &tokens[at..at + count];
        let row = Row {
            seq: SeqId(0),
            pos: at as u32,
            tokens,
            pages: &pages,
            lora,
            logits: Wanted::All,
            choose: None,
        };
        backend.step(&[row], &mut out).map_err(|error| error.to_string())?;
        if let Some(error) = out.error(0) {
            return Err(error.to_string());
        }
        (0..out.count(0)).for_each(|index| logits.extend(out.logits(0, index)));
        at += count;
    }
    Ok(logits)
}

/// Two segments of inputs in one layer, a tile that is not whole, biases.
fn config() -> Config {
    Config {
        architecture: Architecture::Qwen2,
        layers: 1,
        hidden: 64,
        intermediate: 288,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        vocab: 40,
        context: TOKENS,
        rope_theta: 10_000.0,
        rope_factors: None,
        norm_eps: 1e-5,
    }
}

/// Numbers without a pattern, the same each time.
struct Random(u64);

impl Random {
    fn floats(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            ((self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * scale
        };
        (0..count).map(|_| next()).collect()
    }
}

fn weights(config: &Config, random: &mut Random) -> Result<Weights, WeightsError> {
    let (hidden, wide, query, key) = (config.hidden, config.intermediate, config.query(), config.key());
    let mut matrix = |rows: usize, columns: usize| {
        let values = random.floats(rows * columns, 1.7 / (columns as f32).sqrt());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Matrix::new(Format::F32, rows, columns, bytes)
    };
    let (embedding, head) = (matrix(config.vocab, hidden)?, matrix(config.vocab, hidden)?);
    let [q, k, v] = [matrix(query, hidden)?, matrix(key, hidden)?, matrix(key, hidden)?];
    let (o, gate) = (matrix(hidden, query)?, matrix(wide, hidden)?);
    let (up, down) = (matrix(wide, hidden)?, matrix(hidden, wide)?);
    let layer = Layer {
        attention_norm: vec![1.0; hidden],
        q,
        k,
        v,
        qkv_bias: Some([query, key, key].map(|rows| random.floats(rows, 0.2))),
        o,
        mlp_norm: vec![1.0; hidden],
        gate,
        up,
        down,
    };
    Ok(Weights { embedding, layers: vec![layer], norm: vec![1.0; hidden], head: Some(head) })
}

/// A change of every layer.
fn adapter(config: &Config, random: &mut Random) -> Adapter {
    let geometry = Geometry::from(config);
    let module = |projection: Projection| {
        let (inputs, outputs) = geometry.shape(projection);
        let a = random.floats((RANK * inputs) as usize, 1.0 / (inputs as f32).sqrt());
        let b = random.floats((RANK * outputs) as usize, 0.5);
        LoraModule { layer: 0, projection, rank: RANK, inputs, outputs, scale: 1.0, a, b, magnitude: None }
    };
    Adapter { hash: B256::ZERO, modules: Projection::ALL.into_iter().map(module).collect() }
}

/// A device that is given back: what was allocated on it is freed with this.
#[derive(Debug)]
struct Borrowed {
    device: Arc<Mutex<Option<Box<dyn Device>>>>,
    allocated: Vec<u64>,
    name: String,
}

impl Borrowed {
    fn with<T>(
        &self,
        call: impl FnOnce(&mut (dyn Device + 'static)) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || DeviceError::Lost("it was given back".to_owned());
        device.as_deref_mut().ok_or_else(gone).and_then(call)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for address in std::mem::take(&mut self.allocated) {
            let _ = self.with(|device| {
                device.free(address);
                Ok(())
            });
        }
    }
}

impl Device for Borrowed {
    fn name(&self) -> &str {
        &self.name
    }

    fn capability(&self) -> (i32, i32) {
        self.with(|device| Ok(device.capability())).unwrap_or_default()
    }

    fn free_memory(&self) -> Result<u64, DeviceError> {
        self.with(|device| device.free_memory())
    }

    fn allocate(&mut self, arena: &Arena) -> Result<u64, DeviceError> {
        let address = self.with(|device| device.allocate(arena))?;
        self.allocated.push(address);
        Ok(address)
    }

    fn free(&mut self, address: u64) {
        self.allocated.retain(|other| *other != address);
        let _ = self.with(|device| {
            device.free(address);
            Ok(())
        });
    }

    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.with(|device| device.clear(address, bytes))
    }

    fn write(&mut self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.with(|device| device.write(to, bytes))
    }

    fn copy(&mut self, from: u64, to: u64, bytes: u64) -> Result<(), DeviceError> {
        self.with(|device| device.copy(from, to, bytes))
    }

    fn read(&mut self, parts: &mut [(u64, &mut [u8])]) -> Result<(), DeviceError> {
        self.with(|device| device.read(parts))
    }

    fn program(&mut self, launches: &[Launch]) -> Result<ProgramId, DeviceError> {
        self.with(|device| device.program(launches))
    }

    fn run(&mut self, program: ProgramId) -> Result<(), DeviceError> {
        self.with(|device| device.run(program))
    }

    fn forget(&mut self, program: ProgramId) {
        let _ = self.with(|device| {
            device.forget(program);
            Ok(())
        });
    }

    fn host_memory(&self) -> Arc<dyn HostMemory> {
        Arc::new(Lent(self.with(|device| Ok(device.host_memory())).ok()))
    }

    fn stage(&mut self, from: &Arc<dyn HostBytes>, to: u64) -> Result<CopyId, DeviceError> {
        self.with(|device| device.stage(from, to))
    }

    fn staged(&mut self, copy: CopyId) -> Result<bool, DeviceError> {
        self.with(|device| device.staged(copy))
    }
}

/// The device's host memory, if it is there.
#[derive(Debug)]
struct Lent(Option<Arc<dyn HostMemory>>);

impl HostMemory for Lent {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn HostBytes>, DeviceError> {
        let gone = || DeviceError::Lost("it was given back".to_owned());
        self.0.as_ref().ok_or_else(gone)?.allocate(bytes)
    }
}
