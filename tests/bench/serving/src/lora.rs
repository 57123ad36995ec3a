//! Adapters to measure with: every linear layer, small values, in memory and as PEFT folders.

use alloy_primitives::B256;
use eyre::Result;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tributary_adapters::{
    Adapter, Artifact, CONFIG_FILE, Geometry, LoraModule, Projection, Source, TENSORS_FILE,
};
use tributary_weights::Config;

/// An adapter in memory.
pub(crate) fn adapter(config: &Config, rank: usize, seed: u64) -> Adapter {
    let geometry = Geometry::from(config);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values =
        |len: usize| (0..len).map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.04).collect();
    let modules = places(&geometry).map(|(layer, projection)| {
        let (inputs, outputs) = geometry.shape(projection);
        LoraModule {
            layer,
            projection,
            rank: rank as u32,
            inputs,
            outputs,
            scale: 1.0,
            a: values(rank * inputs as usize),
            b: values(rank * outputs as usize),
            magnitude: None,
        }
    });
    Adapter { hash: B256::left_padding_from(&seed.to_be_bytes()), modules: modules.collect() }
}

fn places(geometry: &Geometry) -> impl Iterator<Item = (u32, Projection)> + use<> {
    (0..geometry.layers).flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)))
}

/// PEFT folders: each a configuration of its own; of the tensor files, as large as any builder's, there are fewer, shared by links.
#[derive(Debug)]
pub(crate) struct Folders {
    /// What is registered.
    pub(crate) sources: Vec<Source>,
    files: Vec<PathBuf>,
}

impl Folders {
    /// Makes `count` folders over `distinct` tensor files, or takes those that are there.
    pub(crate) fn make(
        folder: &Path,
        geometry: &Geometry,
        rank: usize,
        count: usize,
        distinct: usize,
    ) -> Result<Self> {
        let root = folder.join(format!("adapters-r{rank}"));
        fs::create_dir_all(&root)?;
        let distinct = distinct.clamp(1, count.max(1));
        let files: Vec<PathBuf> = (0..distinct).map(|n| root.join(format!("{n}.safetensors"))).collect();
        for (seed, file) in files.iter().enumerate().filter(|(_, file)| !file.exists()) {
            let making = file.with_extension("making");
            fs::write(&making, tensors(geometry, rank, seed as u64)?)?;
            fs::rename(&making, file)?;
        }
        let mut sources = Vec::with_capacity(count);
        for n in 0..count {
            sources.push(one(&root, rank, n, &files[n % distinct])?);
        }
        Ok(Self { sources, files })
    }

    /// Drops the tensors of adapter `n` from the page cache.
    pub(crate) fn forget(&self, n: usize) -> Result<()> {
        let file = fs::File::open(&self.files[n % self.files.len()])?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }
}

/// A folder and its hash, which is kept beside it.
fn one(root: &Path, rank: usize, n: usize, tensors: &Path) -> Result<Source> {
    let folder = root.join(n.to_string());
    let note = folder.join("hash");
    let uri = format!("file://{}", fs::canonicalize(root)?.join(n.to_string()).display());
    if let Ok(hash) = fs::read_to_string(&note) {
        return Ok(Source { hash: hash.trim().parse()?, uri });
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(CONFIG_FILE), configuration(rank, n).to_string())?;
    let link = folder.join(TENSORS_FILE);
    if !link.exists() {
        fs::hard_link(tensors, link)?;
    }
    let hash = Artifact::read(&folder, &Default::default())?.hash();
    fs::write(note, hash.to_string())?;
    Ok(Source { hash, uri })
}

fn configuration(rank: usize, n: usize) -> serde_json::Value {
    let names: Vec<&str> = Projection::ALL.iter().filter_map(|p| p.path().rsplit('.').next()).collect();
    json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 1.0 + n as f64 / 1024.0,
        "target_modules": names, "bias": "none", "use_rslora": false, "use_dora": false,
        "fan_in_fan_out": false, "lora_dropout": 0.0, "modules_to_save": null,
    })
}

/// Small values in bf16, as trainers save them.
fn tensors(geometry: &Geometry, rank: usize, seed: u64) -> Result<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut made = Vec::new();
    for (layer, projection) in places(geometry) {
        let (inputs, outputs) = geometry.shape(projection);
        for (part, shape) in [("A", [rank, inputs as usize]), ("B", [outputs as usize, rank])] {
            let name =
                format!("base_model.model.model.layers.{layer}.{}.lora_{part}.weight", projection.path());
            // Sign and mantissa are drawn; the exponent keeps values between 2⁻⁷ and 2⁻⁵.
            let value = |draw: u32| (draw as u16 & 0x80ff) | 0x3c00;
            let bytes: Vec<u8> =
                (0..shape[0] * shape[1]).flat_map(|_| value(rng.next_u32()).to_le_bytes()).collect();
            made.push((name, shape.to_vec(), bytes));
        }
    }
    let views = made
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_>>()?;
    Ok(safetensors::serialize(views, None)?)
}
