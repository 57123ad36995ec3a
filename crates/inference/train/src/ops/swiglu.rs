use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{floats, width};

/// silu(gate)·up.
pub(crate) struct SwiGlu;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = width(gate_layout)?;
        let (gate, up) = (floats(gate, gate_layout)?, floats(up, up_layout)?);
        let mut y = vec![0f32; gate.len()];
        y.par_chunks_mut(width).zip(gate.par_chunks(width)).zip(up.par_chunks(width)).for_each(
            |((y, gate), up)| {
                y.iter_mut().zip(gate).zip(up).for_each(|((y, g), u)| *y = g * sigmoid(*g) * u);
            },
        );
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let to_gate = gate.apply_op3_no_bwd(up, &grad, &ToGate)?;
        let to_up = gate.apply_op2_no_bwd(&grad, &Self)?;
        Ok((Some(to_gate), Some(to_up)))
    }
}

/// d/dgate = g·up·σ·(1 + gate·(1 − σ)).
struct ToGate;

impl CustomOp3 for ToGate {
    fn name(&self) -> &'static str {
        "swiglu-backward"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = width(gate_layout)?;
        let (gate, up, grad) =
            (floats(gate, gate_layout)?, floats(up, up_layout)?, floats(grad, grad_layout)?);
        let mut out = vec![0f32; gate.len()];
        let rows = out.par_chunks_mut(width).zip(gate.par_chunks(width));
        rows.zip(up.par_chunks(width)).zip(grad.par_chunks(width)).for_each(|(((out, gate), up), grad)| {
            for (((out, x), up), g) in out.iter_mut().zip(gate).zip(up).zip(grad) {
                let s = sigmoid(*x);
                *out = g * up * s * (1.0 + x * (1.0 - s));
            }
        });
        Ok((CpuStorage::F32(out), gate_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{gradients, random};

    #[test]
    fn gradients_agree_with_differences() {
        let (gate, up) = (random(1, &[3, 5]), random(2, &[3, 5]));
        gradients(&[&gate, &up], || gate.apply_op2(&up, SwiGlu));
    }
}
