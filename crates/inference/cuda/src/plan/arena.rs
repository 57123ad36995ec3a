//! One allocation, divided into regions.

/// Regions begin at multiples of this, and at least this much lies between two.
const ALIGN: u64 = 256;

/// A part of an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// For messages.
    pub name: &'static str,
    /// From the arena's start.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether kernels only read it.
    pub constant: bool,
}

/// A plan of an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arena {
    regions: Vec<Region>,
    bytes: u64,
}

impl Arena {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { regions: Vec::new(), bytes: 0 }
    }

    /// Adds a region that kernels write; gives its offset.
    pub fn add(&mut self, name: &'static str, bytes: usize) -> u64 {
        self.push(name, bytes, false)
    }

    /// Adds a region that only the host writes.
    pub fn constant(&mut self, name: &'static str, bytes: usize) -> u64 {
        self.push(name, bytes, true)
    }

    fn push(&mut self, name: &'static str, bytes: usize, constant: bool) -> u64 {
        let (offset, bytes) = (self.bytes, bytes as u64);
        self.regions.push(Region { name, offset, bytes, constant });
        self.bytes = (offset + bytes).next_multiple_of(ALIGN) + ALIGN;
        offset
    }

    /// The regions, ascending.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Size of the allocation.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}
