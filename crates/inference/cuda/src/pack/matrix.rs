//! Packing.

use super::layout::{SEGMENT, Shape, TILE};
use half::{bf16, f16};
use tributary_cpu::Block;

/// Packs what `block(row, index)` gives into `out`, which has the shape's size. Large matrices are shared out to threads.
pub fn pack(shape: Shape, out: &mut [u8], block: &(dyn Fn(usize, usize) -> Block + Sync)) {
    let (codes, rest) = out.split_at_mut(shape.scales_at());
    let (scales, rest) = rest.split_at_mut(shape.mins_at() - shape.scales_at());
    let (mins, halves) = rest.split_at_mut(shape.halves_at() - shape.mins_at());
    let threads = if shape.rows * shape.columns < 1 << 20 {
        1
    } else {
        std::thread::available_parallelism().map_or(1, usize::from)
    };
    let each = shape.tiles().div_ceil(threads).max(1);
    let parts = |section: &mut [u8]| (section.len() / shape.tiles().max(1) * each).max(1);
    let mut sections = [codes, scales, mins, halves].map(|section| {
        let size = parts(section);
        section.chunks_mut(size)
    });
    std::thread::scope(|scope| {
        for first in (0..shape.tiles()).step_by(each) {
            let [codes, scales, mins, halves] =
                sections.each_mut().map(|section| section.next().unwrap_or_default());
            let tiles = first..shape.tiles().min(first + each);
            let work = move || {
                for (index, tile) in tiles.enumerate() {
                    let mut part = Part { shape, index, codes, scales, mins, halves };
                    part.tile(tile, block);
                }
            };
            if threads == 1 {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

/// Sections of some tiles, and which of them is written.
struct Part<'a> {
    shape: Shape,
    index: usize,
    codes: &'a mut [u8],
    scales: &'a mut [u8],
    mins: &'a mut [u8],
    halves: &'a mut [u8],
}

impl Part<'_> {
    fn tile(&mut self, tile: usize, block: &(dyn Fn(usize, usize) -> Block + Sync)) {
        for lane in 0..TILE {
            let row = tile * TILE + lane;
            for b in 0..self.shape.segments() * SEGMENT {
                let inside = row < self.shape.rows && b < self.shape.blocks();
                let content = if inside { block(row, b) } else { Block::ZERO };
                if b < self.shape.blocks() {
                    self.codes(lane, b, &content);
                }
                self.scales(lane, b, &content);
            }
        }
    }

    fn codes(&mut self, row: usize, b: usize, block: &Block) {
        let layout = self.shape.layout;
        let words = layout.words();
        let columns = if layout == super::Layout::Narrow { 16 } else { 32 };
        for k in 0..columns {
            let lane = row % 8 * 4 + k % 16 / 4;
            let high = k / 16;
            let word = row / 8 + if layout.nibbles() { 0 } else { high * 2 };
            let at = (((self.index * self.shape.blocks() + b) * 32 + lane) * words + word) * 4 + k % 4;
            let code = (block.q[k] + layout.offset()) as u8;
            if !layout.nibbles() {
                self.codes[at] = code;
            } else if high == 0 {
                self.codes[at] = code & 15;
            } else {
                self.codes[at] |= code << 4;
            }
        }
    }

    fn scales(&mut self, row: usize, b: usize, block: &Block) {
        let layout = self.shape.layout;
        let at = ((self.index * self.shape.segments() + b / SEGMENT) * TILE + row) * SEGMENT + b % SEGMENT;
        write_scale(layout, self.scales, at, block.d);
        if layout.has_min() {
            write_scale(layout, self.mins, at, block.m);
        }
        if layout.halves() {
            self.halves[at * 2..at * 2 + 2].copy_from_slice(&block.scales.map(|scale| scale as u8));
        }
    }
}

fn write_scale(layout: super::Layout, section: &mut [u8], at: usize, value: f32) {
    match layout {
        super::Layout::FourWide | super::Layout::ByteWide => {
            section[at * 4..at * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        super::Layout::Float | super::Layout::Narrow => {
            section[at * 2..at * 2 + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes());
        }
        _ => section[at * 2..at * 2 + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
    }
}
