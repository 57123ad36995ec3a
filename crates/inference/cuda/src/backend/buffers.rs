//! A step's memory on the device: what depends on the limits is there from the start, what depends on the step grows.

use crate::{
    Device, DeviceError, Tier,
    launch::{Buffers, ModelMap},
    plan::{Arena, Bucket, Sections},
};

/// A buffer that grows.
#[derive(Clone, Copy, Debug, Default)]
struct Growing {
    address: u64,
    bytes: u64,
}

impl Growing {
    /// Whether it had to move.
    fn ensure(
        &mut self,
        device: &mut dyn Device,
        name: &'static str,
        bytes: usize,
    ) -> Result<bool, DeviceError> {
        if bytes as u64 <= self.bytes {
            return Ok(false);
        }
        let bytes = bytes.next_power_of_two().max(1 << 12);
        if self.bytes > 0 {
            device.free(self.address);
        }
        *self = Self::default();
        let mut arena = Arena::new();
        let offset = arena.add(name, bytes);
        *self = Self { address: device.allocate(&arena)? + offset, bytes: bytes as u64 };
        Ok(true)
    }
}

/// All buffers of steps.
#[derive(Debug)]
pub(super) struct Workspace {
    fixed: Buffers,
    metadata: Growing,
    logits: Growing,
    ids: Growing,
    u: Growing,
    scores: Growing,
    most: Growing,
    sums: Growing,
    totals: Growing,
}

impl Workspace {
    pub(super) fn new(device: &mut dyn Device, model: &ModelMap, tokens: usize) -> Result<Self, DeviceError> {
        let (hidden, wide) = (model.hidden as usize, model.intermediate as usize);
        let query = (model.heads * model.head_dim) as usize;
        let keys = (model.kv_heads * model.head_dim) as usize;
        let widest = hidden.max(wide).max(query).next_multiple_of(256);
        let mut arena = Arena::new();
        let mut floats = |name, width: usize| arena.add(name, tokens * width * 4);
        let [x, y] = ["x", "y"].map(|name| floats(name, hidden));
        let qkv = floats("qkv", query + 2 * keys);
        let gate_up = floats("gate_up", 2 * wide);
        // Bytes of a value that goes into a product; the fast tier's are bf16, and in e4m3 beside it.
        let value = if model.tier.is_fast() { 2 } else { 1 };
        let weighted = floats("weighted", if model.tier == Tier::FastFp8 { widest / 4 } else { widest / 32 });
        let scales = floats("scales", widest / 32);
        let query_scales = floats("query_scales", query / 32);
        let plain_scales = floats("plain_scales", hidden / 32);
        let codes = arena.add("codes", tokens * widest * value);
        let queries = arena.add("queries", tokens * query * value);
        let plain = arena.add("plain", tokens * hidden);
        let base = device.allocate(&arena)?;
        let fixed = Buffers {
            x: base + x,
            y: base + y,
            qkv: base + qkv,
            gate_up: base + gate_up,
            codes: base + codes,
            scales: base + scales,
            weighted: base + weighted,
            queries: base + queries,
            query_scales: base + query_scales,
            plain: base + plain,
            plain_scales: base + plain_scales,
            ..Buffers::default()
        };
        let none = Growing::default();
        let (metadata, logits, ids, u) = (none, none, none, none);
        Ok(Self { fixed, metadata, logits, ids, u, scores: none, most: none, sums: none, totals: none })
    }

    /// Room for any step of a bucket. True if something moved, so that programs made before are void.
    pub(super) fn ensure(
        &mut self,
        device: &mut dyn Device,
        model: &ModelMap,
        bucket: &Bucket,
    ) -> Result<bool, DeviceError> {
        let words = Sections::new(bucket).end as usize;
        let ranks = bucket.rank_tiles as usize * 16;
        let split = bucket.splits as usize * model.heads as usize * bucket.segments as usize;
        let vocabularies = |count: u32| count as usize * model.head.rows as usize;
        let needs = [
            (&mut self.metadata, "metadata", words),
            (&mut self.logits, "logits", vocabularies(bucket.wanted)),
            (&mut self.ids, "ids", vocabularies(bucket.choices)),
            (&mut self.u, "u", 3 * bucket.entries() as usize * ranks),
            (&mut self.scores, "scores", if model.tier.is_fast() { 0 } else { split * 64 }),
            (&mut self.most, "most", split),
            (&mut self.sums, "sums", split * model.head_dim as usize),
            (&mut self.totals, "totals", split),
        ];
        let mut moved = false;
        for (growing, name, floats) in needs {
            moved |= growing.ensure(device, name, floats * 4)?;
        }
        Ok(moved)
    }

    pub(super) const fn buffers(&self) -> Buffers {
        Buffers {
            metadata: self.metadata.address,
            logits: self.logits.address,
            ids: self.ids.address,
            u: self.u.address,
            scores: self.scores.address,
            most: self.most.address,
            sums: self.sums.address,
            totals: self.totals.address,
            ..self.fixed
        }
    }
}
