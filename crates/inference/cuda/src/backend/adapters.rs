//! Adapters on the device: who has which, what is on its way.

use super::prepare::Prepared;
use crate::{
    CopyId, Device, DeviceError, Tier,
    plan::{Arena, Placement, Slots},
};
use std::collections::HashMap;
use tributary_adapters::Geometry;
use tributary_engine::{Admission, LoraPart, SeqId};

/// An arena of adapters. What finds no room there is read from host memory, slowly, rather than waited for.
#[derive(Debug)]
pub(super) struct DeviceAdapters {
    base: u64,
    slots: Slots,
    loading: HashMap<u64, CopyId>,
    /// Copies whose adapters were sent away before they were done.
    orphans: Vec<CopyId>,
    held: HashMap<SeqId, Vec<u64>>,
    geometry: Geometry,
    tier: Tier,
}

impl DeviceAdapters {
    pub(super) fn new(
        device: &mut dyn Device,
        bytes: u64,
        geometry: Geometry,
        tier: Tier,
    ) -> Result<Self, DeviceError> {
        let mut arena = Arena::new();
        let offset = arena.constant("adapters", bytes as usize);
        let base = device.allocate(&arena)? + offset;
        let slots = Slots::new(bytes);
        let (loading, held) = (HashMap::new(), HashMap::new());
        Ok(Self { base, slots, loading, orphans: Vec::new(), held, geometry, tier })
    }

    /// An adapter in this backend's form.
    pub(super) fn prepared<'a>(&self, part: &'a LoraPart) -> Option<&'a Prepared> {
        let prepared = part.prepared.as_any().downcast_ref::<Prepared>();
        prepared.filter(|prepared| prepared.fits(&self.geometry, self.tier))
    }

    /// Sees that a sequence's adapters come to the device, and says whether they are there. Ones of other backends are left to
    /// the step to refuse.
    pub(super) fn admit(
        &mut self,
        device: &mut dyn Device,
        seq: SeqId,
        lora: &[LoraPart],
    ) -> Result<Admission, DeviceError> {
        self.settle(device)?;
        if !self.held.contains_key(&seq) {
            let mut held = Vec::with_capacity(lora.len());
            for part in lora {
                if let Some(prepared) = self.prepared(part)
                    && self.acquire(device, prepared)?
                {
                    held.push(prepared.id);
                }
            }
            self.held.insert(seq, held);
        }
        let waits = self.held[&seq].iter().any(|id| self.loading.contains_key(id));
        Ok(if waits { Admission::Loading } else { Admission::Ready })
    }

    /// Whether there was room.
    fn acquire(&mut self, device: &mut dyn Device, prepared: &Prepared) -> Result<bool, DeviceError> {
        match self.slots.acquire(prepared.id, prepared.host.bytes().len() as u64) {
            Placement::Resident(_) => Ok(true),
            Placement::Full => Ok(false),
            Placement::Placed { offset, evicted } => {
                self.orphans.extend(evicted.iter().filter_map(|id| self.loading.remove(id)));
                let copy = device.stage(&prepared.host, self.base + offset)?;
                self.loading.insert(prepared.id, copy);
                Ok(true)
            }
        }
    }

    /// Forgets copies that are done.
    fn settle(&mut self, device: &mut dyn Device) -> Result<(), DeviceError> {
        let mut failed = Ok(());
        let mut waits = |copy: &CopyId| match device.staged(*copy) {
            Ok(done) => !done,
            Err(error) => {
                failed = Err(error);
                true
            }
        };
        self.loading.retain(|_, copy| waits(copy));
        self.orphans.retain(|copy| waits(copy));
        failed
    }

    pub(super) fn release(&mut self, seq: SeqId) {
        for id in self.held.remove(&seq).unwrap_or_default() {
            self.slots.release(id);
        }
    }

    /// Where kernels find an adapter: on the device if it has arrived, else where the host keeps it.
    pub(super) fn address(&self, prepared: &Prepared) -> u64 {
        match self.slots.offset(prepared.id) {
            Some(offset) if !self.loading.contains_key(&prepared.id) => self.base + offset,
            _ => prepared.host.address(),
        }
    }
}
