//! Buffers that threads fill in parts.

use std::cell::UnsafeCell;

/// A buffer of which several threads may each write a part of their own.
pub(super) struct Shared<T>(Box<[UnsafeCell<T>]>);

// SAFETY: access to the contents is unsafe, and its contract rules out data races.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.0.len())
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn new(value: T, len: usize) -> Self {
        Self((0..len).map(|_| UnsafeCell::new(value.clone())).collect())
    }

    /// Makes it at least `len` long.
    pub(super) fn grow(&mut self, value: T, len: usize) {
        if self.0.len() < len {
            *self = Self::new(value, len);
        }
    }
}

impl<T> Shared<T> {
    /// A pointer to element `at`, valid to the end of the buffer.
    pub(super) fn at(&self, at: usize) -> *mut T {
        UnsafeCell::raw_get(self.0[at..].as_ptr())
    }

    /// A part to write.
    ///
    /// # Safety
    ///
    /// While it is borrowed, nobody else reads or writes this part.
    #[expect(clippy::mut_from_ref, reason = "parts are disjoint by the contract")]
    pub(super) unsafe fn part_mut(&self, start: usize, len: usize) -> &mut [T] {
        let cells = &self.0[start..start + len];
        // SAFETY: in bounds by the slicing above; alone by the contract.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), len) }
    }

    /// A part to read.
    ///
    /// # Safety
    ///
    /// While it is borrowed, nobody writes this part.
    pub(super) unsafe fn part(&self, start: usize, len: usize) -> &[T] {
        let cells = &self.0[start..start + len];
        // SAFETY: in bounds by the slicing above; not written by the contract.
        unsafe { std::slice::from_raw_parts(UnsafeCell::raw_get(cells.as_ptr()), len) }
    }
}
