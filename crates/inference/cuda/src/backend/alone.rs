//! An adapter of one layer in ordinary memory, for the self-test.

use super::prepare::{Bases, ENTRY, Prepared, Quantizer};
use crate::{DeviceError, HostBytes, HostMemory};
use alloy_primitives::B256;
use std::sync::Arc;
use tributary_adapters::{Adapter, Geometry, LoraModule, Projection};
use tributary_engine::Preparer;

/// A change of `q_proj`.
pub(super) fn module_of(a: &[f32], b: &[f32], inputs: usize, outputs: usize) -> Option<LoraModule> {
    let size = |value: usize| u32::try_from(value).ok();
    Some(LoraModule {
        layer: 0,
        projection: Projection::Q,
        rank: size(a.len() / inputs)?,
        inputs: size(inputs)?,
        outputs: size(outputs)?,
        scale: 1.0,
        a: a.to_vec(),
        b: b.to_vec(),
        magnitude: None,
    })
}

/// An adapter of this module, as a backend prepares it.
pub(super) fn packed_adapter(module: LoraModule, bases: Bases) -> Option<Vec<u8>> {
    let (inputs, outputs) = (module.inputs, module.outputs);
    let geometry = Geometry { layers: 1, hidden: inputs, intermediate: inputs, query: outputs, key: outputs };
    let quantizer = Quantizer {
        geometry,
        tier: crate::Tier::Deterministic,
        bases: Arc::new(bases),
        memory: Arc::new(Plain),
    };
    let prepared = quantizer.prepare(&Adapter { hash: B256::ZERO, modules: vec![module] }, 1.0).ok()?;
    Some(prepared.as_any().downcast_ref::<Prepared>()?.host.bytes().to_vec())
}

/// The gains of the first module of an adapter's directory.
pub(super) fn gains(adapter: &[u8], outputs: usize) -> Vec<f32> {
    let at = &adapter[ENTRY - 8..ENTRY - 4];
    let at = u32::from_le_bytes([at[0], at[1], at[2], at[3]]) as usize;
    let float = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
    adapter[at..at + outputs * 4].as_chunks::<4>().0.iter().map(float).collect()
}

/// Ordinary memory, for adapters that are copied from there at once.
#[derive(Debug)]
struct Plain;

#[derive(Debug)]
struct PlainBytes(Vec<u8>);

impl HostMemory for Plain {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn HostBytes>, DeviceError> {
        Ok(Box::new(PlainBytes(vec![0; bytes])))
    }
}

impl HostBytes for PlainBytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn address(&self) -> u64 {
        0
    }
}
