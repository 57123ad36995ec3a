//! Compiled kernels on disk.
//!
//! A file's name is the hash of what it was made from: sources, options, architecture, compiler, driver. Its first 32 bytes are
//! the hash of the rest, so that a file cut short or changed is made anew.

use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Bytes of the hash in front.
const HASH: usize = 32;

/// What an entry is made from.
#[derive(Clone, Debug)]
pub(super) struct Key<'a> {
    pub(super) digest: [u8; 32],
    pub(super) arch: &'a str,
    pub(super) nvrtc: (i32, i32),
    pub(super) driver: i32,
}

impl Key<'_> {
    fn file(&self, folder: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(self.digest);
        hash.update(format!("{} {}.{} {}", self.arch, self.nvrtc.0, self.nvrtc.1, self.driver));
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        folder.join(format!("{name}.module"))
    }
}

/// What is there and whole.
pub(super) fn load(folder: &Path, key: &Key<'_>) -> Option<Vec<u8>> {
    let mut bytes = fs::read(key.file(folder)).ok()?;
    if bytes.len() <= HASH {
        return None;
    }
    let module = bytes.split_off(HASH);
    (Sha256::digest(&module)[..] == bytes[..]).then_some(module)
}

/// Keeps a module. It appears whole or not at all.
pub(super) fn store(folder: &Path, key: &Key<'_>, module: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = key.file(folder);
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    let mut bytes = Sha256::digest(module).to_vec();
    bytes.extend(module);
    fs::write(&partial, bytes)?;
    fs::rename(&partial, &file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(arch: &str) -> Key<'_> {
        Key { digest: [7; 32], arch, nvrtc: (13, 0), driver: 13_000 }
    }

    #[test]
    fn only_what_is_whole_and_of_the_same_making_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let module: Vec<u8> = (0..200).collect();
        assert_eq!(load(folder.path(), &key("sm_90")), None);
        store(folder.path(), &key("sm_90"), &module).unwrap();
        assert_eq!(load(folder.path(), &key("sm_90")), Some(module.clone()));
        assert_eq!(load(folder.path(), &key("sm_80")), None);
        let newer = Key { driver: 13_010, ..key("sm_90") };
        assert_eq!(load(folder.path(), &newer), None);
        let file = key("sm_90").file(folder.path());
        let whole = fs::read(&file).unwrap();
        for cut in [0, 10, HASH, HASH + 1, whole.len() - 1] {
            fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(load(folder.path(), &key("sm_90")), None, "cut at {cut}");
        }
        for at in [0, HASH, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            assert_eq!(load(folder.path(), &key("sm_90")), None, "changed at {at}");
        }
        store(folder.path(), &key("sm_90"), &module).unwrap();
        assert_eq!(load(folder.path(), &key("sm_90")), Some(module));
    }
}
