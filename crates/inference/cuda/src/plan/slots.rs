//! Which adapters are in device memory, and where.

use std::collections::{BTreeMap, HashMap};

/// Places begin at multiples of this.
const ALIGN: u64 = 256;

/// Where an adapter is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is there, at this offset.
    Resident(u64),
    /// It is to be copied to this offset; those with these ids are there no more.
    Placed {
        /// Offset in the arena.
        offset: u64,
        /// Who had to go.
        evicted: Vec<u64>,
    },
    /// There is no room beside those in use.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    offset: u64,
    bytes: u64,
    users: usize,
    used: u64,
}

/// An arena of adapters by id: first fit, the least recently used without users makes way.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Free ranges by offset, none empty, no two adjacent.
    free: BTreeMap<u64, u64>,
    held: HashMap<u64, Held>,
    capacity: u64,
    clock: u64,
}

impl Slots {
    /// An empty arena.
    pub fn new(capacity: u64) -> Self {
        let capacity = capacity / ALIGN * ALIGN;
        let free = (capacity > 0).then_some((0, capacity)).into_iter().collect();
        Self { free, held: HashMap::new(), capacity, clock: 0 }
    }

    /// Bytes there are.
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Adapters there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives a user an adapter; unless the answer is [`Placement::Full`], he has to [`release`](Self::release) it.
    pub fn acquire(&mut self, id: u64, bytes: u64) -> Placement {
        self.clock += 1;
        if let Some(held) = self.held.get_mut(&id) {
            held.users += 1;
            held.used = self.clock;
            return Placement::Resident(held.offset);
        }
        let bytes = bytes.max(1).next_multiple_of(ALIGN);
        let mut evicted = Vec::new();
        let offset = loop {
            if let Some(offset) = self.fit(bytes) {
                break offset;
            }
            if !self.could_fit(bytes) {
                return Placement::Full;
            }
            let oldest =
                self.held.iter().filter(|(_, held)| held.users == 0).min_by_key(|(_, held)| held.used);
            let Some(oldest) = oldest.map(|(id, _)| *id) else { return Placement::Full };
            self.remove(oldest);
            evicted.push(oldest);
        };
        self.held.insert(id, Held { offset, bytes, users: 1, used: self.clock });
        Placement::Placed { offset, evicted }
    }

    /// Where an adapter is, if it is there.
    pub fn offset(&self, id: u64) -> Option<u64> {
        self.held.get(&id).map(|held| held.offset)
    }

    /// Takes a user away.
    pub fn release(&mut self, id: u64) {
        if let Some(held) = self.held.get_mut(&id) {
            held.users = held.users.saturating_sub(1);
        }
    }

    /// Takes the first free range that is large enough.
    fn fit(&mut self, bytes: u64) -> Option<u64> {
        let (offset, size) = self.free.iter().find(|(_, size)| **size >= bytes).map(|(o, s)| (*o, *s))?;
        self.free.remove(&offset);
        if size > bytes {
            self.free.insert(offset + bytes, size - bytes);
        }
        Some(offset)
    }

    /// Whether there would be room if all without users were gone, so that nobody is sent away for nothing.
    fn could_fit(&self, bytes: u64) -> bool {
        let mut used: Vec<(u64, u64)> =
            self.held.values().filter(|held| held.users > 0).map(|held| (held.offset, held.bytes)).collect();
        used.sort_unstable();
        used.push((self.capacity, 0));
        let mut start = 0;
        used.iter().any(|(offset, size)| {
            let fits = offset - start >= bytes;
            start = offset + size;
            fits
        })
    }

    fn remove(&mut self, id: u64) {
        let Some(held) = self.held.remove(&id) else { return };
        let (mut offset, mut bytes) = (held.offset, held.bytes);
        if let Some((before, size)) = self.free.range(..offset).next_back().map(|(o, s)| (*o, *s))
            && before + size == offset
        {
            self.free.remove(&before);
            (offset, bytes) = (before, bytes + size);
        }
        if let Some(size) = self.free.remove(&(offset + bytes)) {
            bytes += size;
        }
        self.free.insert(offset, bytes);
    }

    /// Offset, size and users of everything there, for tests of what must hold.
    pub fn contents(&self) -> Vec<(u64, u64, u64, usize)> {
        self.held.iter().map(|(id, held)| (*id, held.offset, held.bytes, held.users)).collect()
    }
}
