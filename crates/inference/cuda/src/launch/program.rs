//! The launches of a step, from the model's addresses and the bucket.
//!
//! ```text
//! embed ─> [ norm ─> q k v ─> rotate ─> attend ─> o ─> norm ─> gate up ─> activate ─> down ]×layers ─> norm of wanted ─> head ─> tokens
//! ```

use super::{
    Kernel, Launch,
    group::{Adapters, Linears},
    params::{ActivateParams, AttendParams, ChooseParams, EmbedParams, Matrix, NormParams, RotateParams},
};
use crate::{
    Tier,
    pack::Layout,
    plan::{Bucket, Sections},
};

/// Word of the header with the number of tokens.
const TOKENS: u32 = 0;
/// Word of the header with the number of wanted positions.
const WANTED: u32 = 1;
/// Threads of a block of `rms_norm`.
const NORM_THREADS: u32 = 256;
/// Heads of a block of `rotate`, blocks of 32 of a block of `activate`.
const ROTATE_WARPS: u32 = 4;
const ACTIVATE_WARPS: u32 = 8;
const ATTEND_THREADS: u32 = 128;
/// Segments, and tasks, of a block of the fast tier's attention.
const ATTEND_WARPS: u32 = 4;
/// Threads of a block of `choose_tokens`.
pub(crate) const CHOOSE_THREADS: u32 = 512;

/// Where a layer's weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerMap {
    /// Scale of the norm before attention.
    pub attention_norm: u64,
    /// Queries, keys, values; outputs side by side.
    pub qkv: [Matrix; 3],
    /// Attention's output.
    pub o: [Matrix; 1],
    /// Scale of the norm before the feed-forward layer.
    pub mlp_norm: u64,
    /// Gate and up, side by side.
    pub gate_up: [Matrix; 2],
    /// Down.
    pub down: [Matrix; 1],
}

/// Where a model is, and its sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelMap {
    /// Embedding rows.
    pub embedding: Matrix,
    /// Blocks.
    pub layers: Vec<LayerMap>,
    /// Scale of the last norm.
    pub norm: u64,
    /// What makes logits.
    pub head: Matrix,
    /// Cosines and sines, `[position][cos … | sin …]`.
    pub cos_sin: u64,
    /// The cache's pages, `[page][layer][head]`.
    pub cache: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Bytes of a key head's part of a page's layer.
    pub head_bytes: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the feed-forward layer.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// ε of the norms.
    pub eps: f32,
    /// f32(1/√width).
    pub scale: f32,
    /// Which kernels run.
    pub tier: Tier,
}

/// Where a step's buffers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after what it holds")]
pub struct Buffers {
    pub metadata: u64,
    pub x: u64,
    pub y: u64,
    pub qkv: u64,
    pub gate_up: u64,
    pub codes: u64,
    pub scales: u64,
    pub weighted: u64,
    pub queries: u64,
    pub query_scales: u64,
    pub plain: u64,
    pub plain_scales: u64,
    pub logits: u64,
    pub ids: u64,
    pub u: u64,
    pub scores: u64,
    pub most: u64,
    pub sums: u64,
    pub totals: u64,
}

/// The launches of any step that fits the bucket.
pub fn launches(model: &ModelMap, buffers: &Buffers, bucket: &Bucket) -> Vec<Launch> {
    let mut program = Program { model, b: buffers, bucket, s: Sections::new(bucket), out: Vec::new() };
    if bucket.tokens > 0 {
        program.step();
    }
    program.out
}

struct Program<'a> {
    model: &'a ModelMap,
    b: &'a Buffers,
    bucket: &'a Bucket,
    s: Sections,
    out: Vec<Launch>,
}

/// A vector's blocks, rounded up to whole segments, in blocks.
const fn padded(width: u32) -> u32 {
    width.div_ceil(256) * 8
}

impl Program<'_> {
    fn meta(&self, section: u32) -> u64 {
        self.b.metadata + u64::from(section) * 4
    }

    /// Launches the tier's form of a kernel.
    fn push(&mut self, kernel: Kernel, grid: [u32; 3], threads: u32, params: Vec<u8>) {
        let kernel = self.model.tier.kernel(kernel);
        self.out.push(Launch { kernel, grid, threads, params });
    }

    /// Bytes from one vector to the next.
    const fn stride(&self, width: u32) -> u32 {
        if self.model.tier.is_fast() { width * 2 } else { padded(width) * 32 }
    }

    fn step(&mut self) {
        self.embed();
        for index in 0..self.model.layers.len() {
            let layer = self.model.layers[index];
            let at = index as u32;
            self.norm(layer.attention_norm, index > 0, false);
            let qkv = (self.model.heads + 2 * self.model.kv_heads) * self.model.head_dim;
            self.linear(&layer.qkv, at, Some(0), self.b.qkv, qkv);
            self.rotate(at);
            self.attend(at);
            self.linear(&layer.o, at, Some(3), self.b.y, self.model.hidden);
            self.norm(layer.mlp_norm, true, false);
            self.linear(&layer.gate_up, at, Some(4), self.b.gate_up, 2 * self.model.intermediate);
            self.activate();
            self.linear(&layer.down, at, Some(6), self.b.y, self.model.hidden);
        }
        if self.bucket.wanted > 0 {
            self.norm(self.model.norm, !self.model.layers.is_empty(), true);
            self.linear(&[self.model.head], 0, None, self.b.logits, self.model.head.rows);
        }
        if self.bucket.choices > 0 {
            self.choose();
        }
    }

    fn choose(&mut self) {
        let params = ChooseParams {
            header: self.b.metadata,
            choices: self.meta(self.s.choices),
            chosen: self.meta(self.s.chosen),
            logits: self.b.logits,
            ids: self.b.ids,
            vocab: self.model.head.rows,
            pad: 0,
        };
        self.push(Kernel::ChooseTokens, [self.bucket.choices, 1, 1], CHOOSE_THREADS, params.bytes());
    }

    fn embed(&mut self) {
        let params = EmbedParams {
            matrix: self.model.embedding,
            header: self.b.metadata,
            ids: self.meta(self.s.ids),
            x: self.b.x,
            width: self.model.hidden,
            pad: 0,
        };
        self.push(Kernel::EmbedTokens, [self.bucket.tokens, 1, 1], 256, params.bytes());
    }

    fn norm(&mut self, weight: u64, residual: bool, last: bool) {
        let width = self.model.hidden;
        let params = NormParams {
            header: self.b.metadata,
            x: self.b.x,
            y: if residual { self.b.y } else { 0 },
            weight,
            codes: self.b.codes,
            scales: self.b.scales,
            weighted: self.b.weighted,
            plain: if last { self.b.plain } else { 0 },
            plain_scales: if last { self.b.plain_scales } else { 0 },
            gather: if last { self.meta(self.s.wanted) } else { 0 },
            row_of: self.meta(self.s.rows),
            failed: self.meta(self.s.failed),
            raw: 0,
            count_word: if last { WANTED } else { TOKENS },
            width,
            stride: self.stride(width),
            scale_stride: padded(width),
            eps: self.model.eps,
            pad: 0,
        };
        let count = if last { self.bucket.wanted } else { self.bucket.tokens };
        self.push(Kernel::RmsNorm, [count, 1, 1], NORM_THREADS, params.bytes());
    }

    fn linear(
        &mut self,
        matrices: &[Matrix],
        layer: u32,
        projection: Option<u32>,
        out: u64,
        out_stride: u32,
    ) {
        let adapters = Adapters {
            header: self.b.metadata,
            groups: self.meta(self.s.groups),
            entries: self.meta(self.s.entries),
            places: self.meta(self.s.places),
            row_of: self.meta(self.s.rows),
            failed: self.meta(self.s.failed),
            u: self.b.u,
            scaled: if self.bucket.scaled > 0 { self.meta(self.s.scaled) } else { 0 },
        };
        let head = projection.is_none();
        if matrices[0].layout == Layout::Eight as u32 {
            self.eights(matrices[0].blocks * Layout::Eight.block() as u32);
        }
        let linears = Linears {
            matrices,
            layer,
            projection,
            codes: self.b.codes,
            scales: self.b.scales,
            weighted: self.b.weighted,
            out,
            out_stride,
            vectors: if head { self.bucket.wanted } else { self.bucket.tokens },
            count_word: if head { WANTED } else { TOKENS },
        };
        linears.push(&adapters, self.bucket, &mut self.out);
    }

    /// The vectors to e4m3, beside what they are in bf16.
    fn eights(&mut self, width: u32) {
        let params = ActivateParams {
            header: self.b.metadata,
            gate_up: self.b.codes,
            scales: self.b.scales,
            weighted: self.b.weighted,
            width,
            in_stride: self.stride(width),
            stride: width,
            scale_stride: width.div_ceil(256),
            ..ActivateParams::default()
        };
        let grid = [width.div_ceil(256).div_ceil(ACTIVATE_WARPS), self.bucket.tokens, 1];
        self.push(Kernel::Fast8Quantize, grid, 32 * ACTIVATE_WARPS, params.bytes());
    }

    fn rotate(&mut self, layer: u32) {
        let m = self.model;
        let params = RotateParams {
            header: self.b.metadata,
            qkv: self.b.qkv,
            cos_sin: m.cos_sin,
            positions: self.meta(self.s.positions),
            slots: self.meta(self.s.slots),
            row_of: self.meta(self.s.rows),
            failed: self.meta(self.s.failed),
            queries: self.b.queries,
            query_scales: self.b.query_scales,
            raw: 0,
            cache: m.cache,
            page_bytes: m.page_bytes,
            layer_offset: self.layer_offset(layer),
            heads: m.heads,
            kv_heads: m.kv_heads,
            width: m.head_dim,
            head_bytes: m.head_bytes,
        };
        let grid = [self.bucket.tokens, (m.heads + 2 * m.kv_heads).div_ceil(ROTATE_WARPS), 1];
        self.push(Kernel::Rotate, grid, 32 * ROTATE_WARPS, params.bytes());
    }

    fn layer_offset(&self, layer: u32) -> u64 {
        u64::from(layer) * u64::from(self.model.kv_heads) * u64::from(self.model.head_bytes)
    }

    fn attend(&mut self, layer: u32) {
        let (m, b, bucket) = (self.model, self.b, *self.bucket);
        let width = m.heads * m.head_dim;
        let split = AttendParams {
            header: b.metadata,
            work: self.meta(self.s.splits),
            positions: self.meta(self.s.positions),
            table_of: self.meta(self.s.tables),
            pages: self.meta(self.s.pages),
            row_of: self.meta(self.s.rows),
            failed: self.meta(self.s.failed),
            queries: b.queries,
            query_scales: b.query_scales,
            cache: m.cache,
            page_bytes: m.page_bytes,
            layer_offset: self.layer_offset(layer),
            scores: b.scores,
            most: b.most,
            sums: b.sums,
            totals: b.totals,
            codes: b.codes,
            scales: b.scales,
            weighted: b.weighted,
            raw: 0,
            heads: m.heads,
            kv_heads: m.kv_heads,
            width: m.head_dim,
            head_bytes: m.head_bytes,
            stride: self.stride(width),
            scale_stride: padded(width),
            segments: bucket.segments,
            scale: m.scale,
        };
        let fast = m.tier.is_fast();
        if bucket.splits > 0 {
            let grid = [bucket.segments, m.kv_heads, bucket.splits];
            if fast {
                let grid = [bucket.segments.div_ceil(ATTEND_WARPS), m.kv_heads, bucket.splits];
                self.push(Kernel::FastAttendSplit, grid, ATTEND_THREADS, split.bytes());
            } else {
                self.push(Kernel::AttendScores, grid, ATTEND_THREADS, split.bytes());
                self.push(Kernel::AttendValues, grid, ATTEND_THREADS, split.bytes());
            }
            self.push(Kernel::AttendCombine, [m.heads, bucket.splits, 1], ATTEND_THREADS, split.bytes());
        }
        if bucket.tiles > 0 {
            let tile = AttendParams { work: self.meta(self.s.tiles), ..split };
            let blocks = if fast { bucket.tiles.div_ceil(ATTEND_WARPS) } else { bucket.tiles };
            self.push(Kernel::AttendTile, [blocks, m.heads, 1], ATTEND_THREADS, tile.bytes());
        }
    }

    fn activate(&mut self) {
        let width = self.model.intermediate;
        let params = ActivateParams {
            header: self.b.metadata,
            gate_up: self.b.gate_up,
            codes: self.b.codes,
            scales: self.b.scales,
            weighted: self.b.weighted,
            row_of: self.meta(self.s.rows),
            failed: self.meta(self.s.failed),
            raw: 0,
            width,
            in_stride: 2 * width,
            stride: self.stride(width),
            scale_stride: padded(width),
        };
        let grid = [(width / 32).div_ceil(ACTIVATE_WARPS), self.bucket.tokens, 1];
        self.push(Kernel::Activate, grid, 32 * ACTIVATE_WARPS, params.bytes());
    }
}
