//! Operations with exactly the backward pass that LoRA needs.
//!
//! candle's fused operations (`softmax_last_dim`, `rms_norm`, `rope`) have no backward pass and end a gradient without a
//! word; its `matmul` computes the gradient of a frozen weight too, which is two thirds of a training step. These compute
//! gradients for what is trained and for what leads to it, and nothing else. Each is checked against finite differences.
//!
//! All work on contiguous `f32` tensors on the CPU, rows in parallel; none depends on the number of threads.

mod attention;
mod linear;
mod loss;
mod norm;
mod rope;
mod swiglu;

pub(crate) use attention::CausalSoftmax;
pub(crate) use linear::{FrozenLinear, LoraLinear};
pub(crate) use loss::CrossEntropy;
pub(crate) use norm::RmsNorm;
pub(crate) use rope::{Rope, RopeTable};
pub(crate) use swiglu::SwiGlu;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The elements of a contiguous `f32` tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected a contiguous f32 tensor"),
    }
}

/// Runs `f` on the elements of a contiguous `f32` tensor on the CPU.
fn with_floats<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(floats(storage, layout)?),
        _ => bail!("training runs on the CPU"),
    }
}

/// The length of a row: the last dimension.
fn width(layout: &Layout) -> Result<usize> {
    match layout.dims().last() {
        Some(&width) if width > 0 => Ok(width),
        _ => bail!("expected rows that are not empty"),
    }
}

#[cfg(test)]
mod check {
    //! Gradients against central differences.

    use candle_core::{Device, Result, Tensor, Var};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    pub(super) fn random(seed: u64, shape: &[usize]) -> Var {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Compares d(Σ wᵢ·f(x)ᵢ)/dx with central differences in every element of every variable.
    pub(super) fn gradients(vars: &[&Var], f: impl Fn() -> Result<Tensor>) {
        let probe = random(99, f().unwrap().dims());
        let value = || -> Result<Tensor> { (f()? * probe.as_tensor().detach())?.sum_all() };
        let grads = value().unwrap().backward().unwrap();
        for (number, var) in vars.iter().enumerate() {
            let analytic = grads
                .get(var.as_tensor())
                .expect("a gradient")
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            let start = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let at = |i: usize, delta: f32| {
                let mut moved = start.clone();
                moved[i] += delta;
                var.set(&Tensor::from_vec(moved, var.dims(), &Device::Cpu).unwrap()).unwrap();
                f64::from(value().unwrap().to_scalar::<f32>().unwrap())
            };
            for (i, wanted) in analytic.iter().enumerate() {
                let numeric = (at(i, 1e-2) - at(i, -1e-2)) / 2e-2;
                let wanted = f64::from(*wanted);
                let error = (numeric - wanted).abs();
                assert!(
                    error < 2e-3 + 1e-2 * wanted.abs(),
                    "variable {number}, element {i}: {wanted} against {numeric}"
                );
            }
            var.set(&Tensor::from_vec(start, var.dims(), &Device::Cpu).unwrap()).unwrap();
        }
    }
}
