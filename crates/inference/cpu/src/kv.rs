//! The quantised key-value cache, in pages of sixteen positions.
//!
//! ```text
//! page ─> layer ─> key head ─> | keys: a weight tile, lane = position | values [16][width] i8 | value scales [16][width/32] |
//! ```
//!
//! A page is contiguous, so that giving its memory back is one call, and holds nothing of who uses it: page tables
//! belong to the engine.

use crate::{
    CpuError,
    blocks::BLOCK,
    kernels::QBlock,
    memory::Arena,
    packed::{Layout, Shape},
    simd::LANES,
};

/// Positions of a page.
pub(crate) const PAGE: usize = LANES;

/// Offsets inside one key head's part of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLayout {
    /// Width of a head.
    pub(crate) width: usize,
}

impl HeadLayout {
    fn keys(self) -> Shape {
        Shape::new(Layout::Key, PAGE, self.width)
    }

    pub(crate) fn values_at(self) -> usize {
        self.keys().tile_bytes()
    }

    pub(crate) fn value_scales_at(self) -> usize {
        self.values_at() + PAGE * self.width
    }

    pub(crate) fn bytes(self) -> usize {
        self.value_scales_at() + PAGE * (self.width / BLOCK) * size_of::<f32>()
    }
}

/// All pages.
#[derive(Debug)]
pub(crate) struct Cache {
    arena: Arena,
    head: HeadLayout,
    heads: usize,
    layers: usize,
    pages: usize,
}

impl Cache {
    /// Reserves address space; the system gives memory as pages are first written.
    pub(crate) fn new(layers: usize, heads: usize, width: usize, pages: usize) -> Result<Self, CpuError> {
        let head = HeadLayout { width };
        let bytes = layers * heads * head.bytes();
        let arena = Arena::new(bytes.checked_mul(pages).ok_or(CpuError::Memory(usize::MAX))?)?;
        Ok(Self { arena, head, heads, layers, pages })
    }

    pub(crate) const fn head(&self) -> HeadLayout {
        self.head
    }

    pub(crate) const fn pages(&self) -> usize {
        self.pages
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> usize {
        self.layers * self.heads * self.head.bytes()
    }

    /// A key head's part of a page.
    pub(crate) fn part(&self, page: u32, layer: usize, head: usize) -> *mut u8 {
        assert!(
            (page as usize) < self.pages && layer < self.layers && head < self.heads,
            "no such page part"
        );
        let offset = page as usize * self.page_bytes() + (layer * self.heads + head) * self.head.bytes();
        // SAFETY: in bounds by the check above.
        unsafe { self.arena.start().add(offset) }
    }

    /// Writes the key and value of one position.
    ///
    /// # Safety
    ///
    /// No one else may touch this part's slot.
    pub(crate) unsafe fn write(&self, part: *mut u8, slot: usize, key: &[QBlock], value: &[QBlock]) {
        let keys = self.head.keys();
        // SAFETY: offsets stay inside the part, whose slot is the caller's.
        unsafe {
            for (b, block) in key.iter().enumerate() {
                for (group, four) in block.q.as_chunks::<4>().0.iter().enumerate() {
                    let codes = four.map(|q| (q as u8) ^ 0x80);
                    let at = b * keys.code_bytes() + group * 64 + slot * 4;
                    part.add(at).cast::<[u8; 4]>().write_unaligned(codes);
                }
                part.add(keys.scales_at()).cast::<f32>().add(b * LANES + slot).write(block.scale);
            }
            for (b, block) in value.iter().enumerate() {
                let to = part.add(self.head.values_at() + slot * self.head.width + b * BLOCK);
                to.cast::<[i8; BLOCK]>().write_unaligned(block.q);
                let scales = part.add(self.head.value_scales_at()).cast::<f32>();
                scales.add(slot * value.len() + b).write(block.scale);
            }
        }
    }

    /// Gives a page's memory back to the system, as far as no other page has a part in it. The caller owns the cache, so nobody reads or
    /// writes meanwhile.
    pub(crate) fn discard(&mut self, page: u32) {
        let start = self.part(page, 0, 0) as usize;
        self.arena.discard(start - self.arena.start() as usize, self.page_bytes());
    }
}
