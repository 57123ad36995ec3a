//! Weights as the kernels stream them.
//!
//! Sixteen rows make a tile. Inside a tile the codes of block b lie before those of block b + 1; inside a block,
//! for every four columns, the four codes of row 0, of row 1, … of row 15: 64 bytes, one load, one dot product with
//! four activations broadcast to all lanes. Lane = row, so nothing is ever summed across lanes. Four-bit
//! codes share bytes as in GGUF: column k low, column k + 16 high. Scales follow the codes of the whole tile, then
//! minima, then Q6_K's inner scales, each `[block][16 rows]`.
//!
//! ```text
//! tile t: | b0: 4 × 64 B | b1 | … | d[b0][16] d[b1][16] … | m[b0][16] … |   (rows 16t … 16t+15)
//! folded: | b0 ‖ b8 | b1 ‖ b9 | … | b16 ‖ b24 | …                           (rows 0 … 7 ‖ rows 0 … 7)
//! ```
//! An A of at most eight rows would be half padding. It is folded: lanes 8 to 15 hold the same rows eight blocks on. Eight blocks are summed
//! by themselves in any layout, so what the lanes sum side by side is added in the same order as ever.

use crate::{
    CpuError,
    blocks::{BLOCK, Block},
    memory::Arena,
    simd::LANES,
};
use half::{bf16, f16};
use std::sync::Arc;
use tributary_weights::Format;

/// How scales are stored; each holds its format's scales exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    F16,
    Bf16,
    F32,
}

/// A packed form. Several stored formats share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Q4_0: 4 bits, offset 8.
    Four,
    /// Q4_1: 4 bits and a minimum.
    FourMin,
    /// Q4_K: 4 bits and a minimum, scales multiplied out.
    FourWide,
    /// Q5_0: a byte, offset 16.
    Five,
    /// Q5_K: a byte and a minimum, scales multiplied out.
    FiveWide,
    /// Q6_K: a byte, offset 32, a scale for each half.
    Six,
    /// Q8_0: a byte, offset 128.
    Eight,
    /// Q8 of floats and of adapters: a byte, offset 128, bf16 scales.
    Float,
    /// The same of at most eight rows, folded.
    Folded,
    /// Keys in the cache: a byte, offset 128, f32 scales.
    Key,
}

impl Layout {
    pub(crate) const fn of(format: Format) -> Self {
        match format {
            Format::F32 | Format::F16 | Format::Bf16 => Self::Float,
            Format::Q4_0 => Self::Four,
            Format::Q4_1 => Self::FourMin,
            Format::Q5_0 => Self::Five,
            Format::Q8_0 => Self::Eight,
            Format::Q4K => Self::FourWide,
            Format::Q5K => Self::FiveWide,
            Format::Q6K => Self::Six,
        }
    }

    pub(crate) const fn nibbles(self) -> bool {
        matches!(self, Self::Four | Self::FourMin | Self::FourWide)
    }

    pub(crate) const fn has_min(self) -> bool {
        matches!(self, Self::FourMin | Self::FourWide | Self::FiveWide)
    }

    pub(crate) const fn halves(self) -> bool {
        matches!(self, Self::Six)
    }

    /// What is added to a value to make its code.
    pub(crate) const fn offset(self) -> i32 {
        match self {
            Self::Four => 8,
            Self::Five => 16,
            Self::Six => 32,
            Self::Eight | Self::Float | Self::Folded | Self::Key => 128,
            Self::FourMin | Self::FourWide | Self::FiveWide => 0,
        }
    }

    pub(crate) const fn scale(self) -> Scale {
        match self {
            Self::Four | Self::FourMin | Self::Five | Self::Six | Self::Eight => Scale::F16,
            Self::Float | Self::Folded => Scale::Bf16,
            Self::FourWide | Self::FiveWide | Self::Key => Scale::F32,
        }
    }

    const fn scale_bytes(self) -> usize {
        match self.scale() {
            Scale::F16 | Scale::Bf16 => 2,
            Scale::F32 => 4,
        }
    }
}

/// Blocks that are summed by themselves before they are added to what was summed before.
pub(crate) const SEGMENT: usize = 8;
/// Rows of a folded matrix, at most.
pub(crate) const HALF: usize = LANES / 2;

/// Sizes inside a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) layout: Layout,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Blocks along a row.
    pub(crate) blocks: usize,
    /// Groups of four columns stored for a block; fewer than eight only in a narrow one-block matrix.
    pub(crate) groups: usize,
}

impl Shape {
    pub(crate) fn new(layout: Layout, rows: usize, columns: usize) -> Self {
        let blocks = columns.div_ceil(BLOCK);
        let narrow = layout == Layout::Float && blocks == 1;
        Self { layout, rows, columns, blocks, groups: if narrow { columns.div_ceil(4) } else { 8 } }
    }

    /// Of an adapter's A.
    pub(crate) fn shrinking(rank: usize, inputs: usize) -> Self {
        let folds = rank <= HALF && inputs > SEGMENT * BLOCK;
        Self::new(if folds { Layout::Folded } else { Layout::Float }, rank, inputs)
    }

    /// Blocks of a tile.
    pub(crate) const fn stored(&self) -> usize {
        let (pairs, rest) = (self.blocks / (2 * SEGMENT), self.blocks % (2 * SEGMENT));
        match self.layout {
            Layout::Folded if rest > SEGMENT => (pairs + 1) * SEGMENT,
            Layout::Folded => pairs * SEGMENT + rest,
            _ => self.blocks,
        }
    }

    /// The row and the block of it that stand in a lane of a tile's block, if any do.
    fn content(&self, tile: usize, lane: usize, stored: usize) -> Option<(usize, usize)> {
        let (row, block) = match self.layout {
            Layout::Folded => {
                let (pair, at) = (stored / SEGMENT * 2, stored % SEGMENT);
                (lane % HALF, (pair + lane / HALF) * SEGMENT + at)
            }
            _ => (tile * LANES + lane, stored),
        };
        (row < self.rows && block < self.blocks).then_some((row, block))
    }

    pub(crate) const fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Bytes of a block's codes.
    pub(crate) const fn code_bytes(&self) -> usize {
        if self.layout.nibbles() { 4 * 64 } else { self.groups * 64 }
    }

    pub(crate) const fn scales_at(&self) -> usize {
        self.stored() * self.code_bytes()
    }

    pub(crate) const fn mins_at(&self) -> usize {
        self.scales_at() + self.stored() * LANES * self.layout.scale_bytes()
    }

    pub(crate) const fn halves_at(&self) -> usize {
        self.mins_at()
            + if self.layout.has_min() { self.blocks * LANES * self.layout.scale_bytes() } else { 0 }
    }

    pub(crate) const fn tile_bytes(&self) -> usize {
        let end = self.halves_at() + if self.layout.halves() { self.blocks * 2 * LANES } else { 0 };
        // Tiles of one block are so short that a whole line for each would be a fifth for nothing.
        end.next_multiple_of(if self.blocks == 1 { 32 } else { 64 })
    }

    pub(crate) const fn bytes(&self) -> usize {
        (self.tiles() * self.tile_bytes()).next_multiple_of(64)
    }
}

/// A packed matrix in an arena.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) shape: Shape,
    arena: Arc<Arena>,
    offset: usize,
}

impl Packed {
    /// Packs what `block(row, index)` gives into `arena` at `offset`, of which no one else writes or reads this part.
    pub(crate) fn build(
        shape: Shape,
        arena: &Arc<Arena>,
        offset: usize,
        block: impl Fn(usize, usize) -> Block,
    ) -> Result<Self, CpuError> {
        let packed = Self::at(shape, arena, offset)?;
        // SAFETY: in bounds by `at`, and this part of the arena is the caller's alone.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(packed.arena.start().add(offset), shape.bytes()) };
        for (index, tile) in bytes.chunks_exact_mut(shape.tile_bytes()).take(shape.tiles()).enumerate() {
            for lane in 0..LANES {
                for b in 0..shape.stored() {
                    let content = shape.content(index, lane, b).map_or(Block::ZERO, |(row, b)| block(row, b));
                    shape.write(tile, lane, b, &content);
                }
            }
        }
        Ok(packed)
    }

    /// The same for Q8 of floats: `block` writes the codes of a block and gives the bits of its scale.
    pub(crate) fn build_floats(
        shape: Shape,
        arena: &Arc<Arena>,
        offset: usize,
        block: impl Fn(usize, usize, &mut [u8; BLOCK]) -> u16,
    ) -> Result<Self, CpuError> {
        if !matches!(shape.layout, Layout::Float | Layout::Folded) {
            return Err(CpuError::Memory(0));
        }
        let packed = Self::at(shape, arena, offset)?;
        // SAFETY: `at` checked the bounds, and this part of the arena is the caller's alone.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(packed.arena.start().add(offset), shape.bytes()) };
        for (index, tile) in bytes.chunks_exact_mut(shape.tile_bytes()).take(shape.tiles()).enumerate() {
            let mut codes = [0; BLOCK];
            for lane in 0..LANES {
                for b in 0..shape.stored() {
                    let content = shape.content(index, lane, b);
                    let scale = content.map_or(0, |(row, b)| block(row, b, &mut codes));
                    if scale == 0 {
                        // All zeros, as codes are stored.
                        codes = [128; BLOCK];
                    }
                    for g in 0..shape.groups {
                        let at = b * shape.code_bytes() + g * 64 + lane * 4;
                        tile[at..at + 4].copy_from_slice(&codes[g * 4..g * 4 + 4]);
                    }
                    let at = shape.scales_at() + (b * LANES + lane) * 2;
                    tile[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
            }
        }
        Ok(packed)
    }

    /// What lies packed in `arena` at `offset`.
    pub(crate) fn at(shape: Shape, arena: &Arc<Arena>, offset: usize) -> Result<Self, CpuError> {
        if !offset.is_multiple_of(64) || offset.checked_add(shape.bytes()).is_none_or(|end| end > arena.len())
        {
            return Err(CpuError::Memory(shape.bytes()));
        }
        Ok(Self { shape, arena: Arc::clone(arena), offset })
    }

    /// Where it begins in its arena.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// An arena of its own.
    pub(crate) fn alone(shape: Shape, block: impl Fn(usize, usize) -> Block) -> Result<Self, CpuError> {
        Self::build(shape, &Arc::new(Arena::new(shape.bytes())?), 0, block)
    }

    /// The first byte of a tile.
    #[inline]
    pub(crate) fn tile(&self, index: usize) -> *const u8 {
        debug_assert!(index < self.shape.tiles());
        // SAFETY: `build` checked that all tiles lie in the arena.
        unsafe { self.arena.start().add(self.offset + index * self.shape.tile_bytes()) }
    }

    /// A row as the embedding defines it, of a matrix that is not folded: rn(d·q), with a minimum fma(d, q, m); Q6_K's q is scale · code.
    pub(crate) fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        // SAFETY: the tile's bytes are initialised and never written after `build`.
        let tile = unsafe { std::slice::from_raw_parts(self.tile(row / LANES), self.shape.tile_bytes()) };
        for (b, values) in out.chunks_exact_mut(BLOCK).enumerate() {
            self.shape.read(tile, row % LANES, b).dequantize(self.shape.layout.has_min(), values);
        }
    }
}

impl Shape {
    /// Where the code of column `k` of a block lies, and its shift.
    fn code_at(&self, lane: usize, b: usize, k: usize) -> (usize, u32) {
        let (column, shift) = if self.layout.nibbles() { (k % 16, k / 16 * 4) } else { (k, 0) };
        (b * self.code_bytes() + column / 4 * 64 + lane * 4 + column % 4, shift as u32)
    }

    fn write(&self, tile: &mut [u8], lane: usize, b: usize, block: &Block) {
        for k in 0..self.groups * 4 {
            let (at, shift) = self.code_at(lane, b, k);
            let code = (i32::from(block.q[k]) + self.layout.offset()) as u8;
            if shift == 0 {
                tile[at] = code;
            } else {
                tile[at] |= code << shift;
            }
        }
        let at = b * LANES + lane;
        self.write_scale(tile, self.scales_at(), at, block.d);
        if self.layout.has_min() {
            self.write_scale(tile, self.mins_at(), at, block.m);
        }
        if self.layout.halves() {
            for half in 0..2 {
                tile[self.halves_at() + (b * 2 + half) * LANES + lane] = block.scales[half] as u8;
            }
        }
    }

    fn write_scale(&self, tile: &mut [u8], base: usize, index: usize, value: f32) {
        let at = base + index * self.layout.scale_bytes();
        match self.layout.scale() {
            Scale::F16 => tile[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
            Scale::Bf16 => tile[at..at + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
            Scale::F32 => tile[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        }
    }

    fn read_scale(&self, tile: &[u8], base: usize, index: usize) -> f32 {
        let at = base + index * self.layout.scale_bytes();
        match self.layout.scale() {
            Scale::F16 => f16::from_le_bytes([tile[at], tile[at + 1]]).to_f32(),
            Scale::Bf16 => bf16::from_le_bytes([tile[at], tile[at + 1]]).to_f32(),
            Scale::F32 => f32::from_le_bytes([tile[at], tile[at + 1], tile[at + 2], tile[at + 3]]),
        }
    }

    /// The inverse of [`write`](Self::write).
    pub(crate) fn read(&self, tile: &[u8], lane: usize, b: usize) -> Block {
        let mut block = Block::ZERO;
        for k in 0..self.groups * 4 {
            let (at, shift) = self.code_at(lane, b, k);
            let mask = if self.layout.nibbles() { 15 } else { 255 };
            block.q[k] = (i32::from(tile[at] >> shift & mask) - self.layout.offset()) as i16;
        }
        let at = b * LANES + lane;
        block.d = self.read_scale(tile, self.scales_at(), at);
        if self.layout.has_min() {
            block.m = self.read_scale(tile, self.mins_at(), at);
        }
        if self.layout.halves() {
            block.scales = [0, 1].map(|half| tile[self.halves_at() + (b * 2 + half) * LANES + lane] as i8);
        }
        block
    }
}
