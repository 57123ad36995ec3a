//! The blobs: files in a folder, or memory when there is none.

use super::config::DerivationError;
use crate::error::DaError;
use alloy_primitives::{B256, hex};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SUFFIX: &str = ".blob";
const MAGIC: [u8; 8] = *b"TRIBBLB1";

/// A stored blob.
#[derive(Debug, Clone)]
struct Blob {
    put_at: SystemTime,
    /// Put while an expiration was set: only those are ever swept.
    expires: bool,
    error: Option<DerivationError>,
    /// In memory; `None` when it is in its file.
    payload: Option<Bytes>,
}

/// What a key leads to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Payload(Bytes),
    Error(DerivationError),
}

/// All blobs, by keccak256 of the certificate's RLP.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: Option<PathBuf>,
    blobs: HashMap<B256, Blob>,
}

impl Blobs {
    /// Opens the folder and takes in the blobs it holds; a file that is none is left alone and logged.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, DaError> {
        let mut blobs = HashMap::new();
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|error| disk(folder, &error))?;
            for entry in std::fs::read_dir(folder).map_err(|error| disk(folder, &error))? {
                let path = entry.map_err(|error| disk(folder, &error))?.path();
                let Some(key) = key_of(&path) else { continue };
                match read_file(&path) {
                    Some((blob, _)) => {
                        blobs.insert(key, blob);
                    }
                    None => tracing::warn!(target: "da", path = %path.display(), "not a sound blob file"),
                }
            }
        }
        Ok(Self { folder, blobs })
    }

    /// Stores a payload under its certificate's key.
    pub(super) fn put(
        &mut self,
        key: B256,
        payload: Bytes,
        expires: bool,
        error: Option<DerivationError>,
    ) -> Result<(), DaError> {
        let mut blob = Blob { put_at: SystemTime::now(), expires, error, payload: None };
        match &self.folder {
            Some(folder) => write_file(folder, key, &blob, &payload)?,
            None => blob.payload = Some(payload),
        }
        self.blobs.insert(key, blob);
        Ok(())
    }

    pub(super) fn get(&self, key: B256) -> Option<Found> {
        let blob = self.blobs.get(&key)?;
        if let Some(error) = &blob.error {
            return Some(Found::Error(error.clone()));
        }
        match &blob.payload {
            Some(payload) => Some(Found::Payload(payload.clone())),
            None => {
                read_file(&path(self.folder.as_deref()?, key)).map(|(_, payload)| Found::Payload(payload))
            }
        }
    }

    /// Drops what is older than the expiration in force now, of what was put while there was one.
    pub(super) fn sweep(&mut self, expiration: Duration) {
        let now = SystemTime::now();
        let expired =
            |blob: &Blob| blob.expires && now.duration_since(blob.put_at).unwrap_or_default() >= expiration;
        let gone: Vec<B256> =
            self.blobs.iter().filter(|(_, blob)| expired(blob)).map(|(key, _)| *key).collect();
        for key in gone {
            self.blobs.remove(&key);
            if let Some(folder) = &self.folder {
                let path = path(folder, key);
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(target: "da", %error, path = %path.display(), "expired blob stays");
                }
            }
        }
    }
}

fn disk(path: &Path, error: &std::io::Error) -> DaError {
    DaError::Memstore(format!("{}: {error}", path.display()))
}

fn path(folder: &Path, key: B256) -> PathBuf {
    folder.join(format!("{}{SUFFIX}", hex::encode(key)))
}

fn key_of(path: &Path) -> Option<B256> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    Some(B256::from_slice(&hex::decode(name).ok().filter(|key| key.len() == 32)?))
}

/// magic 8 · put at, ms u64 · expires u8 · code u8 · message length u32 · message · payload
fn write_file(folder: &Path, key: B256, blob: &Blob, payload: &[u8]) -> Result<(), DaError> {
    let target = path(folder, key);
    let millis = blob.put_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let message = blob.error.as_ref().map_or("", |error| &error.message);
    let mut head = MAGIC.to_vec();
    head.extend(millis.to_le_bytes());
    head.extend([u8::from(blob.expires), blob.error.as_ref().map_or(0, |error| error.code)]);
    head.extend((message.len() as u32).to_le_bytes());
    head.extend(message.as_bytes());
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(&head)?;
        file.write_all(payload)?;
        file.as_file().sync_data()?;
        file.persist(&target).map_err(|error| error.error)
    });
    written.map(|_| ()).map_err(|error| disk(&target, &error))
}

fn read_file(path: &Path) -> Option<(Blob, Bytes)> {
    let file = Bytes::from(std::fs::read(path).ok()?);
    let head: &[u8; 22] = file.first_chunk()?;
    if head[..8] != MAGIC {
        return None;
    }
    let millis = u64::from_le_bytes(*head[8..].first_chunk()?);
    let (expires, code) = (head[16] == 1, head[17]);
    let length = u32::from_le_bytes(*head[18..].first_chunk()?) as usize;
    let message = String::from_utf8(file.get(22..22usize.checked_add(length)?)?.to_vec()).ok()?;
    let error = (code != 0).then_some(DerivationError { code, message });
    let put_at = UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
    Some((Blob { put_at, expires, error, payload: None }, file.slice(22 + length..)))
}
