//! Blobs, in memory or in a folder: one file each, written whole or not at all.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Bytes, hex};
use parking_lot::Mutex;

/// What a certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// A payload.
    Payload(Bytes),
    /// An answer of 418.
    Error(u8, String),
}

/// A blob's entry: when it was put, and whether it may expire at all.
#[derive(Clone, Debug)]
struct Entry {
    put_at: u64,
    expires: bool,
    /// `None`: in the folder.
    stored: Option<Stored>,
}

#[derive(Debug)]
pub(super) struct Blobs {
    folder: Option<PathBuf>,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

/// Before the content of a blob's file: time put, whether it expires, the error code or 0.
const HEADER: usize = 10;

impl Blobs {
    /// Blobs in memory only.
    pub(super) fn in_memory() -> Self {
        Self { folder: None, entries: Mutex::default() }
    }

    /// Blobs in a folder; those already there are kept.
    pub(super) fn in_folder(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut entries = HashMap::new();
        for file in fs::read_dir(&folder)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(key) = hex::decode_to_array::<_, 32>(name) else {
                // A file that was not renamed into place before a crash.
                fs::remove_file(&path)?;
                continue;
            };
            let content = fs::read(&path)?;
            if let Some((put_at, expires)) = header(&content) {
                entries.insert(key, Entry { put_at, expires, stored: None });
            }
        }
        Ok(Self { folder: Some(folder), entries: Mutex::new(entries) })
    }

    pub(super) fn put(&self, key: [u8; 32], stored: Stored, expires: bool) -> io::Result<()> {
        let put_at = now();
        let kept = match &self.folder {
            None => Some(stored),
            Some(folder) => {
                write(folder, key, put_at, expires, &stored)?;
                None
            }
        };
        self.entries.lock().insert(key, Entry { put_at, expires, stored: kept });
        Ok(())
    }

    pub(super) fn get(&self, key: [u8; 32]) -> io::Result<Option<Stored>> {
        let Some(entry) = self.entries.lock().get(&key).cloned() else { return Ok(None) };
        match (entry.stored, &self.folder) {
            (Some(stored), _) => Ok(Some(stored)),
            (None, Some(folder)) => Ok(decode(&fs::read(folder.join(hex::encode(key)))?)),
            (None, None) => Ok(None),
        }
    }

    /// Drops what is older than `expiration`; at zero, everything that was put to expire.
    pub(super) fn sweep(&self, expiration: Duration) {
        let limit = now().saturating_sub(expiration.as_millis().try_into().unwrap_or(u64::MAX));
        let mut entries = self.entries.lock();
        entries.retain(|key, entry| {
            let keep = !entry.expires || !expiration.is_zero() && entry.put_at > limit;
            if let (false, Some(folder)) = (keep, &self.folder) {
                let _ = fs::remove_file(folder.join(hex::encode(key)));
            }
            keep
        });
    }
}

fn write(
    folder: &std::path::Path,
    key: [u8; 32],
    put_at: u64,
    expires: bool,
    stored: &Stored,
) -> io::Result<()> {
    let (code, content) = match stored {
        Stored::Payload(payload) => (0, payload.as_ref()),
        Stored::Error(code, message) => (*code, message.as_bytes()),
    };
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend_from_slice(&put_at.to_be_bytes());
    bytes.push(u8::from(expires));
    bytes.push(code);
    bytes.extend_from_slice(content);
    let name = hex::encode(key);
    let temporary = folder.join(format!("{name}.new"));
    let mut file = fs::File::create(&temporary)?;
    io::Write::write_all(&mut file, &bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    fs::File::open(folder)?.sync_all()
}

fn header(content: &[u8]) -> Option<(u64, bool)> {
    let put_at = u64::from_be_bytes(content.get(..8)?.try_into().ok()?);
    Some((put_at, *content.get(8)? != 0))
}

fn decode(content: &[u8]) -> Option<Stored> {
    let code = *content.get(9)?;
    let rest = content.get(HEADER..)?;
    Some(match code {
        0 => Stored::Payload(Bytes::copy_from_slice(rest)),
        code => Stored::Error(code, String::from_utf8_lossy(rest).into_owned()),
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
