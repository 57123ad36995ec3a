//! Packed forms and their sizes.
//!
//! ```text
//! | codes [tile][block][32 lanes][words] | scales [tile][segment][16 rows][8] | minima likewise | inner scales [..][8][2] |
//! ```
//!
//! Sixteen rows make a tile, eight blocks of 32 columns a segment; `kernels/linear.cuh` says which lane has what.

use tributary_weights::Format;

/// Rows of a tile.
pub const TILE: usize = 16;
/// Blocks of a segment.
pub(crate) const SEGMENT: usize = 8;

/// A packed form; the numbers are those of `kernels/params.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Layout {
    /// Q4_0: 4 bits, offset 8.
    Four = 0,
    /// Q4_1: 4 bits and a minimum.
    FourMin = 1,
    /// Q4_K: 4 bits and a minimum, scales multiplied out to f32.
    FourWide = 2,
    /// Q5_0 and Q8_0: a signed byte, f16 scales.
    Byte = 3,
    /// Q5_K: a byte and a minimum, scales multiplied out to f32.
    ByteWide = 4,
    /// Q6_K: a signed byte, an inner scale for each half.
    Six = 5,
    /// Q8 of floats and of adapters: a signed byte, bf16 scales.
    Float = 6,
    /// The same of one block of at most sixteen columns: only those are stored.
    Narrow = 7,
    /// The fast tier's: bf16, no blocks but chunks of sixteen columns.
    Brain = 8,
    /// e4m3 with an f32 scale for each row, in chunks of 32 columns.
    Eight = 9,
}

impl Layout {
    /// Of a stored format.
    pub const fn of(format: Format) -> Self {
        match format {
            Format::F32 | Format::F16 | Format::Bf16 => Self::Float,
            Format::Q4_0 => Self::Four,
            Format::Q4_1 => Self::FourMin,
            Format::Q5_0 | Format::Q8_0 => Self::Byte,
            Format::Q4K => Self::FourWide,
            Format::Q5K => Self::ByteWide,
            Format::Q6K => Self::Six,
        }
    }

    /// Whether it is a form of the fast tier.
    pub(crate) const fn is_fast(self) -> bool {
        matches!(self, Self::Brain | Self::Eight)
    }

    /// Columns of a block, or of a chunk.
    pub const fn block(self) -> usize {
        if matches!(self, Self::Brain) { 16 } else { 32 }
    }

    pub(crate) const fn nibbles(self) -> bool {
        matches!(self, Self::Four | Self::FourMin | Self::FourWide)
    }

    pub(crate) const fn has_min(self) -> bool {
        matches!(self, Self::FourMin | Self::FourWide | Self::ByteWide)
    }

    pub(crate) const fn halves(self) -> bool {
        matches!(self, Self::Six)
    }

    /// Bytes of a scale.
    pub(crate) const fn scale_bytes(self) -> usize {
        if matches!(self, Self::FourWide | Self::ByteWide) { 4 } else { 2 }
    }

    /// Words of a lane for each block or chunk.
    pub(crate) const fn words(self) -> usize {
        if self.nibbles() || matches!(self, Self::Narrow) { 2 } else { 4 }
    }

    /// What is added to a value to make its code.
    pub(crate) const fn offset(self) -> i16 {
        if matches!(self, Self::Four) { 8 } else { 0 }
    }
}

/// Sizes of a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its form.
    pub layout: Layout,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
}

impl Shape {
    /// Blocks of a row, the last one padded with zeros.
    pub const fn blocks(&self) -> usize {
        self.columns.div_ceil(self.layout.block())
    }

    /// Tiles of sixteen rows, the last one padded with zeros.
    pub const fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Segments of a row, 256 columns each.
    pub const fn segments(&self) -> usize {
        self.columns.div_ceil(32).div_ceil(SEGMENT)
    }

    /// Bytes of the codes.
    pub const fn code_bytes(&self) -> usize {
        self.tiles() * self.blocks() * 32 * 4 * self.layout.words()
    }

    const fn scale_section(&self) -> usize {
        if self.layout.is_fast() {
            let rows = if matches!(self.layout, Layout::Eight) { self.tiles() * TILE * 4 } else { 0 };
            return rows.next_multiple_of(256);
        }
        self.tiles() * self.segments() * TILE * SEGMENT * self.layout.scale_bytes()
    }

    /// Where scales begin.
    pub const fn scales_at(&self) -> usize {
        self.code_bytes()
    }

    /// Where minima begin, if there are any.
    pub const fn mins_at(&self) -> usize {
        self.scales_at() + self.scale_section()
    }

    /// Where inner scales begin, if there are any.
    pub const fn halves_at(&self) -> usize {
        self.mins_at() + if self.layout.has_min() { self.scale_section() } else { 0 }
    }

    /// Bytes of everything; every section is a multiple of 256.
    pub const fn bytes(&self) -> usize {
        let halves =
            if self.layout.halves() { self.tiles() * self.segments() * TILE * SEGMENT * 2 } else { 0 };
        self.halves_at() + halves
    }
}
