//! An adapter's folder, as it has to be before anybody pays to register it.

use std::path::Path;

use alloy_primitives::B256;
use eyre::{Context, Result, ensure};
use tributary_adapters::{Artifact, Bounds, CONFIG_FILE, Geometry, PeftConfig, TENSORS_FILE};

/// What is registered of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckedAdapter {
    pub(crate) artifact: B256,
    pub(crate) rank: u32,
}

/// Reads an artifact and loads it as a worker would: one that no worker can serve is not worth its transaction.
pub(crate) fn read_adapter(folder: &Path, geometry: &Geometry) -> Result<CheckedAdapter> {
    for name in [CONFIG_FILE, TENSORS_FILE] {
        let path = folder.join(name);
        let found = std::fs::symlink_metadata(&path).wrap_err_with(|| path.display().to_string())?;
        ensure!(found.is_file(), "{}: not a regular file", path.display());
    }
    let bounds = Bounds::default();
    let loaded = || {
        let artifact = Artifact::read(folder, &bounds)?;
        artifact.parse(geometry, &bounds)?;
        let rank = PeftConfig::parse(artifact.config())?.r;
        Ok::<_, tributary_adapters::AdapterError>(CheckedAdapter { artifact: artifact.hash(), rank })
    };
    loaded().wrap_err_with(|| format!("{} cannot be served", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_testkit::{AdapterSpec, GEOMETRY, artifact};

    fn written(config: &[u8], tensors: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG_FILE), config).unwrap();
        std::fs::write(folder.path().join(TENSORS_FILE), tensors).unwrap();
        folder
    }

    fn fault(folder: &Path) -> String {
        format!("{:#}", read_adapter(folder, &GEOMETRY).unwrap_err())
    }

    #[test]
    fn what_a_worker_could_not_load_is_refused_by_name() {
        let good = artifact(&AdapterSpec::new(1));
        let folder = written(good.config(), good.tensors());
        let read = read_adapter(folder.path(), &GEOMETRY).unwrap();
        assert_eq!(read, CheckedAdapter { artifact: good.hash(), rank: 8 });

        let half = &good.tensors()[..good.tensors().len() / 2];
        assert!(fault(written(good.config(), half).path()).contains(TENSORS_FILE));
        assert!(fault(written(good.config(), b"").path()).contains(TENSORS_FILE));
        assert!(fault(written(b"", good.tensors()).path()).contains(CONFIG_FILE));
        let mut nan = good.tensors().to_vec();
        let end = nan.len() - 4;
        nan[end..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(fault(written(good.config(), &nan).path()).contains("not finite"));
        let wider = Geometry { hidden: GEOMETRY.hidden * 2, ..GEOMETRY };
        assert!(format!("{:#}", read_adapter(folder.path(), &wider).unwrap_err()).contains("has shape"));

        let linked = tempfile::tempdir().unwrap();
        for name in [CONFIG_FILE, TENSORS_FILE] {
            std::os::unix::fs::symlink(folder.path().join(name), linked.path().join(name)).unwrap();
        }
        assert!(fault(linked.path()).contains("not a regular file"));
        assert!(fault(Path::new("/nowhere")).contains(CONFIG_FILE));
    }
}
