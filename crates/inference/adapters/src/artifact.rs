//! The two files of a PEFT folder, bounded, hashed and turned into an [`Adapter`].

use crate::{
    adapter::{Adapter, Geometry, LoraModule},
    config::PeftConfig,
    error::AdapterError,
    files,
    select::{Target, targets},
};
use alloy_primitives::{B256, keccak256};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashSet, path::Path, sync::OnceLock};

/// Name of the configuration inside a PEFT folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensors inside a PEFT folder.
pub const TENSORS_FILE: &str = "adapter_model.safetensors";

/// How much of a stranger's artifact is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of `adapter_config.json`.
    pub config: u64,
    /// Bytes of `adapter_model.safetensors`.
    pub tensors: u64,
    /// Bytes of the safetensors header.
    pub header: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { config: 64 << 10, tensors: 512 << 20, header: 4 << 20 }
    }
}

/// The bytes of an adapter as published.
#[derive(Clone)]
pub struct Artifact {
    config: Vec<u8>,
    tensors: Vec<u8>,
    /// Computed once: hashing takes longer than anything else that is done to an adapter.
    hash: OnceLock<B256>,
}

impl PartialEq for Artifact {
    fn eq(&self, other: &Self) -> bool {
        (&self.config, &self.tensors) == (&other.config, &other.tensors)
    }
}

impl Eq for Artifact {}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("config", &self.config.len())
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

/// The identity of an adapter on chain and in every cache:
/// `keccak(keccak("tributary.peft.1") ‖ keccak(adapter_config.json) ‖ keccak(adapter_model.safetensors))`
/// over the files' bytes as they are. Re-serialised files are another artifact.
pub fn artifact_hash(config: &[u8], tensors: &[u8]) -> B256 {
    let mut preimage = [0u8; 96];
    preimage[..32].copy_from_slice(keccak256("tributary.peft.1").as_slice());
    preimage[32..64].copy_from_slice(keccak256(config).as_slice());
    preimage[64..].copy_from_slice(keccak256(tensors).as_slice());
    keccak256(preimage)
}

/// Stands for how this build reads an artifact: the hash of the sources that do it. Whatever is made of adapters and kept belongs under
/// it, so that a build that reads otherwise, or refuses more, finds nothing of an older one.
pub fn parser_hash() -> B256 {
    let sources = [
        include_str!("adapter.rs"),
        include_str!("artifact.rs"),
        include_str!("config.rs"),
        include_str!("select.rs"),
    ];
    keccak256(sources.concat())
}

impl Artifact {
    /// From bytes already in memory.
    pub fn new(config: Vec<u8>, tensors: Vec<u8>) -> Self {
        Self { config, tensors, hash: OnceLock::new() }
    }

    /// Reads a PEFT folder. Only regular files, wherever links to them lead, and never more than the bounds.
    pub fn read(folder: &Path, bounds: &Bounds) -> Result<Self, AdapterError> {
        Self::gather(bounds, |name, limit| files::read(&folder.join(name), limit))
    }

    /// From what reads each of its files, up to a limit.
    pub(crate) fn gather(
        bounds: &Bounds,
        read: impl Fn(&str, u64) -> Result<Vec<u8>, AdapterError>,
    ) -> Result<Self, AdapterError> {
        Ok(Self::new(read(CONFIG_FILE, bounds.config)?, read(TENSORS_FILE, bounds.tensors)?))
    }

    /// Hash of the artifact.
    pub fn hash(&self) -> B256 {
        *self.hash.get_or_init(|| artifact_hash(&self.config, &self.tensors))
    }

    /// Checks the hash against a registered one.
    pub fn verify(&self, expected: B256) -> Result<(), AdapterError> {
        let got = self.hash();
        if got == expected { Ok(()) } else { Err(AdapterError::Hash { expected, got }) }
    }

    /// The configuration file.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// The tensor file.
    pub fn tensors(&self) -> &[u8] {
        &self.tensors
    }

    /// Parses and validates every tensor against the base model.
    pub fn parse(&self, geometry: &Geometry, bounds: &Bounds) -> Result<Adapter, AdapterError> {
        let config = PeftConfig::parse(&self.config)?;
        let targets = targets(&config, geometry)?;
        check_header(&self.tensors, bounds)?;
        let tensors = SafeTensors::deserialize(&self.tensors)
            .map_err(|error| AdapterError::Tensors(error.to_string()))?;
        let mut unused: HashSet<&str> = tensors.names().into_iter().collect();
        let mut modules = Vec::with_capacity(targets.len());
        for target in &targets {
            modules.push(module(&tensors, &mut unused, target, geometry, config.dora)?);
        }
        if let Some(name) = unused.into_iter().min() {
            return Err(AdapterError::UnknownTensor(name.to_owned()));
        }
        Ok(Adapter { hash: self.hash(), modules })
    }
}

fn check_header(tensors: &[u8], bounds: &Bounds) -> Result<(), AdapterError> {
    if tensors.len() as u64 > bounds.tensors {
        let bytes = tensors.len() as u64;
        return Err(AdapterError::TooLarge { what: TENSORS_FILE.into(), bytes, limit: bounds.tensors });
    }
    let Some(head) = tensors.first_chunk::<8>() else {
        return Err(AdapterError::Tensors("file is shorter than its header".into()));
    };
    let bytes = u64::from_le_bytes(*head);
    if bytes > bounds.header {
        return Err(AdapterError::TooLarge {
            what: "safetensors header".into(),
            bytes,
            limit: bounds.header,
        });
    }
    Ok(())
}

fn module(
    tensors: &SafeTensors<'_>,
    unused: &mut HashSet<&str>,
    target: &Target,
    geometry: &Geometry,
    dora: bool,
) -> Result<LoraModule, AdapterError> {
    let (inputs, outputs) = geometry.shape(target.projection);
    let rank = target.rank as usize;
    let mut read = |suffix: &str, shape: &[usize]| {
        let name = format!("base_model.model.{}.{suffix}", target.path);
        unused.remove(name.as_str());
        values(tensors, &name, shape)
    };
    let a = read("lora_A.weight", &[rank, inputs as usize])?;
    let b = read("lora_B.weight", &[outputs as usize, rank])?;
    let magnitude = if dora {
        let shape = [outputs as usize];
        // Older files carry the `.weight` that newer ones drop.
        Some(match read("lora_magnitude_vector", &shape) {
            Err(AdapterError::MissingTensor(_)) => read("lora_magnitude_vector.weight", &shape)?,
            found => found?,
        })
    } else {
        None
    };
    Ok(LoraModule {
        layer: target.layer,
        projection: target.projection,
        rank: target.rank,
        inputs,
        outputs,
        scale: target.scale,
        a,
        b,
        magnitude,
    })
}

fn values(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, AdapterError> {
    let view = tensors.tensor(name).map_err(|_| AdapterError::MissingTensor(name.to_owned()))?;
    if view.shape() != shape {
        return Err(AdapterError::Shape {
            name: name.to_owned(),
            expected: shape.to_vec(),
            got: view.shape().to_vec(),
        });
    }
    let values = to_f32(name, &view)?;
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(AdapterError::NonFinite(name.to_owned()))
    }
}

fn to_f32(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, AdapterError> {
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => {
            data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        Dtype::BF16 => {
            let wide = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            data.as_chunks().0.iter().map(wide).collect()
        }
        other => {
            return Err(AdapterError::DType { name: name.to_owned(), dtype: format!("{other:?}") });
        }
    })
}
