use candle_core::{Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tributary_adapters::{Adapter, Geometry, Projection};

use crate::TrainError;

/// A and B of one linear layer while they are trained.
#[derive(Debug)]
pub(crate) struct LoraVars {
    pub(crate) layer: usize,
    pub(crate) projection: Projection,
    /// (rank, inputs).
    pub(crate) a: Var,
    /// (outputs, rank).
    pub(crate) b: Var,
}

/// The trained part of a model: one pair of matrices for every linear layer of every block.
#[derive(Debug)]
pub struct LoraWeights {
    rank: usize,
    alpha: f64,
    modules: Vec<LoraVars>,
}

impl LoraWeights {
    /// A uniform in ±1/√inputs (PEFT's default), B zero: the model starts unchanged.
    pub(crate) fn new(geometry: &Geometry, rank: usize, alpha: f64, seed: u64) -> Result<Self, TrainError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut modules = Vec::with_capacity(geometry.layers as usize * Projection::ALL.len());
        for layer in 0..geometry.layers as usize {
            for projection in Projection::ALL {
                let (inputs, outputs) = geometry.shape(projection);
                let bound = f64::from(inputs).sqrt().recip() as f32;
                let a: Vec<f32> =
                    (0..rank * inputs as usize).map(|_| rng.random_range(-bound..bound)).collect();
                let a = Var::from_tensor(&Tensor::from_vec(a, (rank, inputs as usize), &Device::Cpu)?)?;
                let b = Var::zeros((outputs as usize, rank), candle_core::DType::F32, &Device::Cpu)?;
                modules.push(LoraVars { layer, projection, a, b });
            }
        }
        Ok(Self { rank, alpha, modules })
    }

    /// The matrices of an adapter as its files hold them, to continue from or to score with.
    ///
    /// # Errors
    /// [`TrainError::Input`] when it is not what this trainer makes: every linear layer, one rank, one scale, no DoRA.
    pub fn from_adapter(adapter: &Adapter, geometry: &Geometry) -> Result<Self, TrainError> {
        let unlike = |what: &str| {
            TrainError::Input(format!("the adapter {what}; this trainer makes no such adapters"))
        };
        let first = adapter.modules.first().ok_or_else(|| unlike("is empty"))?;
        let mut modules = Vec::with_capacity(adapter.modules.len());
        for layer in 0..geometry.layers {
            for projection in Projection::ALL {
                let module =
                    adapter.module(layer, projection).ok_or_else(|| unlike("leaves out linear layers"))?;
                if module.rank != first.rank || module.scale != first.scale || module.magnitude.is_some() {
                    return Err(unlike("has several ranks or scales, or is a DoRA"));
                }
                let (rank, inputs, outputs) =
                    (module.rank as usize, module.inputs as usize, module.outputs as usize);
                let a = Var::from_tensor(&Tensor::from_slice(&module.a, (rank, inputs), &Device::Cpu)?)?;
                let b = Var::from_tensor(&Tensor::from_slice(&module.b, (outputs, rank), &Device::Cpu)?)?;
                modules.push(LoraVars { layer: layer as usize, projection, a, b });
            }
        }
        let rank = first.rank as usize;
        Ok(Self { rank, alpha: f64::from(first.scale) * rank as f64, modules })
    }

    /// The rank of every module.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// PEFT's `lora_alpha`.
    #[must_use]
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    /// What B·A is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    pub(crate) fn modules(&self) -> &[LoraVars] {
        &self.modules
    }

    pub(crate) fn module(&self, layer: usize, projection: Projection) -> Option<&LoraVars> {
        self.modules.get(layer * Projection::ALL.len() + projection as usize)
    }

    pub(crate) fn vars(&self) -> Vec<Var> {
        self.modules.iter().flat_map(|module| [module.a.clone(), module.b.clone()]).collect()
    }
}
