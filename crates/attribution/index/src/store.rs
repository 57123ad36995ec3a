//! A folder of segments: opened when they are sound, built when they are not there.

use crate::build::build;
use crate::document::{Document, Identity};
use crate::error::IndexError;
use crate::pinned::{PinSpec, Pinned};
use crate::segment::Segment;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Fetches the tokens of a contribution.
pub type LoadTokens<'a> =
    dyn FnMut(&Document) -> Result<Vec<u32>, Box<dyn std::error::Error + Send + Sync>> + 'a;

const SUFFIX: &str = "seg";
const TEMPORARY: &str = ".building-";

/// A folder of segments.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    open: Mutex<HashMap<Identity, Weak<Segment>>>,
}

impl Store {
    /// Opens the folder, making it when it is not there, and clears what an interrupted build left.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, IndexError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(IndexError::io(&folder))?;
        for entry in fs::read_dir(&folder).map_err(IndexError::io(&folder))? {
            let entry = entry.map_err(IndexError::io(&folder))?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_file(entry.path()).map_err(IndexError::io(entry.path()))?;
            }
        }
        Ok(Self { folder, open: Mutex::default() })
    }

    /// Makes an epoch searchable: opens its segments, building those that are missing or damaged from the
    /// tokens that `load` fetches.
    ///
    /// # Errors
    /// When tokens cannot be had or are not those on chain, or the disk refuses.
    pub fn pin(&self, spec: &PinSpec, load: &mut LoadTokens<'_>) -> Result<Pinned, IndexError> {
        let segments = groups(&spec.epochs)
            .iter()
            .map(|documents| self.segment(spec.datanet, documents, load))
            .collect::<Result<_, _>>()?;
        Ok(Pinned::new(spec, segments))
    }

    /// The segment over these contributions.
    ///
    /// # Errors
    /// As [`Self::pin`].
    pub fn segment(
        &self,
        datanet: u64,
        documents: &[Document],
        load: &mut LoadTokens<'_>,
    ) -> Result<Arc<Segment>, IndexError> {
        let identity = Identity::of(documents);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = open.get(&identity).and_then(Weak::upgrade) {
            return Ok(segment);
        }
        let path = self.path(datanet, identity);
        let segment = match open_sound(&path, identity) {
            Ok(segment) => segment,
            Err(error) => {
                if error.is_corrupt() {
                    tracing::warn!(target: "index", %error, "segment is damaged, building it anew");
                }
                self.build(&path, documents, load)?;
                open_sound(&path, identity)?
            }
        };
        let segment = Arc::new(segment);
        open.retain(|_, segment| segment.strong_count() > 0);
        open.insert(identity, Arc::downgrade(&segment));
        Ok(segment)
    }

    /// Where a segment's file is.
    #[must_use]
    pub fn path(&self, datanet: u64, identity: Identity) -> PathBuf {
        self.folder.join(format!("{datanet}-{}.{SUFFIX}", identity.short()))
    }

    /// Removes the files of segments that none of these pins reads and that are not open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep(&self, keep: &[PinSpec]) -> Result<usize, IndexError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: Vec<PathBuf> = Vec::new();
        for spec in keep {
            let of_spec = groups(&spec.epochs);
            kept.extend(of_spec.iter().map(|group| self.path(spec.datanet, Identity::of(group))));
        }
        let in_use: Vec<String> = open
            .iter()
            .filter(|(_, segment)| segment.strong_count() > 0)
            .map(|(identity, _)| format!("-{}.{SUFFIX}", identity.short()))
            .collect();
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder).map_err(IndexError::io(&self.folder))? {
            let path = entry.map_err(IndexError::io(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let used = kept.contains(&path) || in_use.iter().any(|suffix| name.ends_with(suffix));
            if name.ends_with(SUFFIX) && !used {
                fs::remove_file(&path).map_err(IndexError::io(&path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Writes a segment beside its place and renames it into it.
    fn build(
        &self,
        path: &Path,
        documents: &[Document],
        load: &mut LoadTokens<'_>,
    ) -> Result<(), IndexError> {
        let mut loaded = Vec::with_capacity(documents.len());
        for document in documents {
            let tokens = load(document)
                .map_err(|source| IndexError::Load { contribution: document.contribution, source })?;
            loaded.push((*document, tokens));
        }
        let bytes = build(loaded)?;
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&self.folder)
            .map_err(IndexError::io(&self.folder))?;
        file.write_all(&bytes).map_err(IndexError::io(path))?;
        file.as_file().sync_all().map_err(IndexError::io(path))?;
        file.persist(path).map_err(|error| IndexError::Io { path: path.to_owned(), source: error.error })?;
        sync_folder(&self.folder)
    }
}

fn open_sound(path: &Path, identity: Identity) -> Result<Segment, IndexError> {
    let segment = Segment::open(path)?;
    if segment.identity() == identity {
        Ok(segment)
    } else {
        Err(IndexError::Corrupt { path: path.to_owned(), why: "built from other contributions" })
    }
}

/// A rename is only safe once the folder is.
fn sync_folder(folder: &Path) -> Result<(), IndexError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(IndexError::io(folder))
}

/// Joins the contributions of successive epochs into few groups: a group is joined with the one before when
/// that is not more than twice its size. So there are about log₂ of them, and a new epoch mostly leaves the
/// large ones as they were.
fn groups(epochs: &[Vec<Document>]) -> Vec<Vec<Document>> {
    let size = |group: &[Document]| group.iter().map(|document| u64::from(document.tokens)).sum::<u64>();
    let mut groups: Vec<Vec<Document>> = Vec::new();
    for epoch in epochs.iter().filter(|epoch| !epoch.is_empty()) {
        let mut last = epoch.clone();
        while let Some(before) = groups.pop_if(|before| size(before) <= 2 * size(&last)) {
            last = [before, last].concat();
        }
        groups.push(last);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn a_thousand_epochs_make_few_groups_that_hold_everything() {
        let epochs: Vec<Vec<Document>> = (0..1_000u64)
            .map(|at| {
                let tokens = 1 + (at * 7_919 % 500) as u32;
                vec![Document { contribution: at, commit_block: at, tokens, tokens_root: B256::ZERO }]
            })
            .collect();
        let grouped = groups(&epochs);
        assert!(grouped.len() < 20, "{}", grouped.len());
        assert_eq!(grouped.concat(), epochs.concat());
        assert!(groups(&[Vec::new()]).is_empty());
    }
}
