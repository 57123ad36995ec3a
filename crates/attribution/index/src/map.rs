//! The one unsafe line of this crate: mapping a file.

use memmap2::Mmap;
use std::fs::File;

/// Maps a segment file.
#[expect(unsafe_code, reason = "a file can only be mapped by an unsafe call")]
pub(crate) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the bytes must not change beneath the map. Segment files are created under a temporary name,
    // synced, renamed into place and from then on never opened for writing; replacing one renames another file
    // over it, which leaves the mapped inode as it was. Every read is bounds-checked and takes any byte values.
    unsafe { Mmap::map(file) }
}
