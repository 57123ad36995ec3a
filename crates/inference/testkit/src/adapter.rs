use crate::{model::GEOMETRY, noise::Noise};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tributary_adapters::{Artifact, Projection};

/// What an adapter of the tiny model looks like.
#[derive(Clone, Debug)]
pub struct AdapterSpec {
    /// Weights are drawn from it.
    pub seed: u64,
    /// Rank.
    pub rank: u32,
    /// `lora_alpha`.
    pub alpha: u32,
    /// Layers of a block that it changes.
    pub targets: Vec<Projection>,
    /// Other ranks, by the end of a layer's path.
    pub ranks: BTreeMap<String, u32>,
    /// Whether it is a DoRA adapter.
    pub dora: bool,
    /// Fields put into, or over, the configuration.
    pub config: BTreeMap<String, Value>,
}

impl AdapterSpec {
    /// Rank 8 on every linear layer.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rank: 8,
            alpha: 16,
            targets: Projection::ALL.to_vec(),
            ranks: BTreeMap::new(),
            dora: false,
            config: BTreeMap::new(),
        }
    }

    /// Another rank.
    #[must_use]
    pub fn rank(mut self, rank: u32) -> Self {
        self.rank = rank;
        self
    }

    /// Fewer layers.
    #[must_use]
    pub fn targets(mut self, targets: &[Projection]) -> Self {
        self.targets = targets.to_vec();
        self
    }

    /// Another rank for layers whose path ends like this.
    #[must_use]
    pub fn rank_of(mut self, path: &str, rank: u32) -> Self {
        self.ranks.insert(path.to_owned(), rank);
        self
    }

    /// With a magnitude for each row.
    #[must_use]
    pub fn dora(mut self) -> Self {
        self.dora = true;
        self
    }

    /// A field of the configuration.
    #[must_use]
    pub fn config(mut self, field: &str, value: Value) -> Self {
        self.config.insert(field.to_owned(), value);
        self
    }

    fn config_json(&self) -> Value {
        let names: Vec<&str> =
            self.targets.iter().filter_map(|target| target.path().rsplit('.').next()).collect();
        let mut config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self.rank,
            "lora_alpha": self.alpha,
            "target_modules": names,
            "bias": "none",
            "use_rslora": false,
            "use_dora": self.dora,
            "rank_pattern": self.ranks,
            "fan_in_fan_out": false,
            "lora_dropout": 0.0,
            "modules_to_save": null,
        });
        for (field, value) in &self.config {
            config[field] = value.clone();
        }
        // Else the order, and with it the artifact's hash, would depend on which features other crates turn on.
        config.sort_all_objects();
        config
    }
}

/// Tensors by name: type, shape, bytes.
pub type TensorEdit = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A well-formed adapter.
pub fn artifact(spec: &AdapterSpec) -> Artifact {
    artifact_with(spec, |_| {})
}

/// An adapter whose tensors were tampered with.
pub fn artifact_with(spec: &AdapterSpec, edit: impl FnOnce(&mut TensorEdit)) -> Artifact {
    let mut noise = Noise::new(spec.seed);
    let mut tensors = TensorEdit::new();
    for layer in 0..GEOMETRY.layers {
        for projection in &spec.targets {
            let (inputs, outputs) = GEOMETRY.shape(*projection);
            let (inputs, outputs) = (inputs as usize, outputs as usize);
            let path = format!("base_model.model.model.layers.{layer}.{}", projection.path());
            let other = spec.ranks.iter().find(|(end, _)| path.ends_with(&format!(".{end}")));
            let rank = other.map_or(spec.rank, |(_, rank)| *rank) as usize;
            let a = noise.tensor(rank * inputs, 1.0 / (inputs as f32).sqrt());
            let b = noise.tensor(outputs * rank, 0.5 / (rank as f32).sqrt());
            tensors.insert(format!("{path}.lora_A.weight"), (Dtype::F32, vec![rank, inputs], a));
            tensors.insert(format!("{path}.lora_B.weight"), (Dtype::F32, vec![outputs, rank], b));
            if spec.dora {
                // About as long as the base model's rows.
                let magnitude = (0..outputs).flat_map(|_| (1.8 + noise.float(0.6)).to_le_bytes()).collect();
                tensors
                    .insert(format!("{path}.lora_magnitude_vector"), (Dtype::F32, vec![outputs], magnitude));
            }
        }
    }
    edit(&mut tensors);
    let views = tensors.iter().filter_map(|(name, (dtype, shape, bytes))| {
        Some((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).ok()?))
    });
    let bytes = safetensors::serialize(views, None).unwrap_or_default();
    Artifact::new(spec.config_json().to_string().into_bytes(), bytes)
}
