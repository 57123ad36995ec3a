//! Packed weights kept on disk, so that a start reads them instead of packing them again.
//!
//! ```text
//! file: | magic | layout | weightsHash | length | sha256 of the rest | zeros to 4096 | the arena, as it is in memory |
//! ```
//! The layout is a hash of what this build makes of matrices that it makes up, so a build that packs otherwise finds nothing here. A
//! file is written beside its place and renamed; one that is cut, changed or of something else is packed anew and replaced. It is read
//! into memory of its own, on huge pages, for decoding is slower from a mapped file (docs/decisions/0013).

use crate::{
    blocks::block,
    memory::Arena,
    packed::{Layout, Packed, Shape},
};
use alloy_primitives::{B256, hex};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};
use tributary_weights::{Format, Matrix};

const MAGIC: &[u8; 8] = b"TRIBPACK";
/// Where the weights begin.
const HEADER: usize = 4096;
/// Models whose packed weights are kept.
const KEPT: usize = 2;
const SUFFIX: &str = "packed";

/// Where one model's packed weights lie.
#[derive(Clone, Debug)]
pub(crate) struct PackCache {
    folder: PathBuf,
    layout: [u8; 32],
    weights: B256,
}

impl PackCache {
    pub(crate) fn new(folder: &Path, weights: B256) -> Self {
        Self { folder: folder.to_owned(), layout: layout(), weights }
    }

    fn path(&self) -> PathBuf {
        let name = Sha256::new().chain_update(self.layout).chain_update(self.weights).finalize();
        self.folder.join(format!("{}.{SUFFIX}", hex::encode(&name[..16])))
    }

    fn header(&self, bytes: &[u8]) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend(MAGIC);
        header.extend(self.layout);
        header.extend(self.weights);
        header.extend((bytes.len() as u64).to_be_bytes());
        header.extend(Sha256::digest(bytes));
        header.resize(HEADER, 0);
        header
    }

    /// Fills `arena` if a whole and true file of just this is there.
    pub(crate) fn load(&self, arena: &mut Arena) -> bool {
        let path = self.path();
        match self.read(&path, arena.bytes_mut()) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Packed weights on disk are of no use, packing again");
                arena.bytes_mut().fill(0);
                false
            }
        }
    }

    fn read(&self, path: &Path, bytes: &mut [u8]) -> io::Result<()> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != (HEADER + bytes.len()) as u64 {
            return Err(io::Error::other("another length"));
        }
        let mut header = vec![0; HEADER];
        file.read_exact(&mut header)?;
        file.read_exact(bytes)?;
        if header == self.header(bytes) { Ok(()) } else { Err(io::Error::other("other contents")) }
    }

    /// Keeps what was packed. A disk that does not take it costs the next start its time, nothing else.
    pub(crate) fn store(&self, bytes: &[u8]) {
        let path = self.path();
        if let Err(error) = self.write(&path, bytes) {
            tracing::warn!(path = %path.display(), %error, "Packed weights cannot be kept on disk");
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(&self.header(bytes))?;
            file.write_all(bytes)?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&beside, path));
        if renamed.is_err() {
            drop(fs::remove_file(&beside));
        }
        renamed?;
        self.forget_old(path)
    }

    /// Keeps the newest files.
    fn forget_old(&self, newest: &Path) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path != newest && path.extension().is_some_and(|suffix| suffix == SUFFIX))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        files.sort_unstable();
        let surplus = (files.len() + 1).saturating_sub(KEPT);
        files[..surplus].iter().try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// What stands for this build's packing: the hash of what it makes of a matrix of each format.
fn layout() -> [u8; 32] {
    const FORMATS: [Format; 10] = [
        Format::F32,
        Format::F16,
        Format::Bf16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q8_0,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
    ];
    let mut hash = Sha256::new();
    for format in FORMATS {
        let (rows, columns) = (33, 512);
        let len = rows * columns / format.block_len() * format.block_bytes();
        // Bytes that are finite numbers in every format: exponents stay small.
        let bytes: Vec<u8> = (0..len).map(|at| (at * 37 % 61) as u8).collect();
        let Ok(matrix) = Matrix::new(format, rows, columns, bytes) else { continue };
        let shape = Shape::new(Layout::of(format), rows, columns);
        let packed = Arena::new(shape.bytes()).map(std::sync::Arc::new).and_then(|arena| {
            Packed::build(shape, &arena, 0, |row, b| block(&matrix, row, b))?;
            std::sync::Arc::into_inner(arena).ok_or(crate::CpuError::Memory(0))
        });
        hash.update(format.name());
        hash.update((shape.bytes() as u64).to_be_bytes());
        if let Ok(mut arena) = packed {
            hash.update(arena.bytes_mut());
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(fill: impl Fn(usize) -> u8) -> Arena {
        let mut arena = Arena::new(10_000).unwrap();
        arena.bytes_mut().iter_mut().enumerate().for_each(|(at, byte)| *byte = fill(at));
        arena
    }

    #[test]
    fn what_was_kept_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackCache::new(&folder.path().join("deep/er"), B256::repeat_byte(1));
        let mut empty = arena(|_| 0);
        assert!(!cache.load(&mut empty));
        cache.store(arena(|at| at as u8).bytes_mut());
        assert!(cache.load(&mut empty));
        assert_eq!(empty.bytes_mut(), arena(|at| at as u8).bytes_mut());
        let other = PackCache { weights: B256::repeat_byte(2), ..cache.clone() };
        assert!(!other.load(&mut empty));
        let rebuilt = PackCache { layout: [7; 32], ..cache.clone() };
        assert!(!rebuilt.load(&mut empty));
        // Under this one's name, but another's.
        fs::copy(cache.path(), rebuilt.path()).unwrap();
        assert!(!rebuilt.load(&mut empty));
        assert!(!cache.load(&mut Arena::new(9_999).unwrap()));
    }

    #[test]
    fn what_is_cut_or_changed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackCache::new(folder.path(), B256::repeat_byte(1));
        cache.store(arena(|at| at as u8).bytes_mut());
        let whole = fs::read(cache.path()).unwrap();
        let mut cases = vec![whole[..whole.len() - 1].to_vec(), Vec::new(), [&whole[..], &[0]].concat()];
        for at in [0, 9, 45, 75, 90, 200, HEADER, HEADER + 5000, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            cases.push(changed);
        }
        for case in cases {
            fs::write(cache.path(), &case).unwrap();
            let mut found = arena(|_| 3);
            assert!(!cache.load(&mut found));
            assert!(found.bytes_mut().iter().all(|byte| *byte == 0), "packing starts from zeros");
            cache.store(arena(|at| at as u8).bytes_mut());
            assert!(cache.load(&mut found));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_few_models_are_kept_and_a_bad_disk_hurts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        for model in 0..8 {
            PackCache::new(folder.path(), B256::repeat_byte(model)).store(arena(|at| at as u8).bytes_mut());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT);
        assert!(PackCache::new(folder.path(), B256::repeat_byte(7)).load(&mut arena(|_| 0)));
        fs::write(folder.path().join("file"), "").unwrap();
        let nowhere = PackCache::new(&folder.path().join("file"), B256::ZERO);
        nowhere.store(arena(|_| 1).bytes_mut());
        assert!(!nowhere.load(&mut arena(|_| 1)));
    }

    #[test]
    fn the_layout_is_this_builds_own() {
        assert_eq!(layout(), layout());
        assert_ne!(layout(), [0; 32]);
    }
}
