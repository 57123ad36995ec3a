//! Files that somebody else chose. They are looked at, opened, and looked at again, so that what was looked at is what is read. The first
//! look is for what must not even be opened: a device that acts on it, a pipe whose writer is let go by it.

use rustix::{
    fs::{Mode, OFlags, open, openat},
    io::retry_on_intr,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

/// A pipe that nobody writes to is opened all the same, a terminal does not become this process's.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// A folder on the way to a file.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, a pipe, a socket or a device.
    #[error("not a regular file")]
    Irregular,
    /// More than was asked for.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// Its size, or the size where reading stopped.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// What the path leads to is somewhere else.
    #[error("leads out of {}", .0.display())]
    Outside(PathBuf),
}

/// All of a regular file that has `limit` bytes at most. Links are followed.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    refuse_irregular(path)?;
    let file = retry_on_intr(|| open(path, READ, Mode::empty())).map_err(io::Error::from)?;
    read_opened(file, limit)
}

/// [`read`] of a file beneath a folder. Links are followed where they lead to something beneath it, too.
pub fn read_beneath(root: &Path, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let outside = || FileError::Outside(root.to_owned());
    let real_root = root.canonicalize().map_err(|_| outside())?;
    let path =
        path.canonicalize().map_err(|error| match is_below(path, root) || is_below(path, &real_root) {
            true => FileError::Io(error),
            false => outside(),
        })?;
    let inside = path.strip_prefix(&real_root).map_err(|_| outside())?;
    refuse_irregular(&path)?;
    read_opened(open_beneath(&real_root, inside)?, limit)
}

/// Whether a path that leads nowhere says by its names alone that it is beneath a folder: of others it is not told what is there.
fn is_below(path: &Path, root: &Path) -> bool {
    path.starts_with(root) && !path.components().any(|part| part == Component::ParentDir)
}

fn refuse_irregular(path: &Path) -> Result<(), FileError> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(FileError::Irregular) }
}

/// Goes down from the root name by name. A path that has been resolved goes through no links, unless it was changed since.
fn open_beneath(root: &Path, inside: &Path) -> Result<OwnedFd, FileError> {
    let (Some(folders), Some(name)) = (inside.parent(), inside.file_name()) else {
        return Err(FileError::Irregular);
    };
    let mut at = retry_on_intr(|| open(root, FOLDER, Mode::empty())).map_err(io::Error::from)?;
    for folder in folders {
        at = beneath(&at, Path::new(folder), FOLDER)?;
    }
    Ok(beneath(&at, Path::new(name), READ)?)
}

fn beneath(folder: &OwnedFd, name: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let how = how.union(OFlags::NOFOLLOW);
    retry_on_intr(|| openat(folder, name, how, Mode::empty())).map_err(io::Error::from)
}

fn read_opened(file: OwnedFd, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = File::from(file);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileError::Irregular);
    }
    if metadata.len() > limit {
        return Err(FileError::TooLarge { bytes: metadata.len(), limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // It may grow while it is read, and files of /proc do not say how long they are.
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    let bytes = content.len() as u64;
    if bytes > limit { Err(FileError::TooLarge { bytes, limit }) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::symlink,
        process::Command,
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };
    use tempfile::{TempDir, tempdir};

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// What `read` gives, unless it waits.
    fn at_once<T: Send>(read: impl FnOnce() -> T + Send) -> T {
        let (done, outcome) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || done.send(read()));
            match outcome.recv_timeout(Duration::from_secs(60)) {
                Ok(outcome) => outcome,
                Err(_) => {
                    eprintln!("a file was waited for");
                    std::process::exit(1)
                }
            }
        })
    }

    #[test]
    fn only_regular_files_are_read_and_no_more_than_the_bound() {
        let folder = tempdir().unwrap();
        let (file, fifo) = (folder.path().join("file"), folder.path().join("fifo"));
        fs::write(&file, "12345").unwrap();
        pipe(&fifo);
        symlink(&file, folder.path().join("link")).unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&folder.path().join("link"), 5).unwrap(), b"12345");
        assert!(matches!(read(&file, 4), Err(FileError::TooLarge { bytes: 5, limit: 4 })));
        // It says that it has no bytes at all.
        assert!(matches!(read(Path::new("/proc/self/maps"), 4), Err(FileError::TooLarge { .. })));
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
            assert!(matches!(at_once(|| read(path, 5)), Err(FileError::Irregular)), "{}", path.display());
        }
        let absent = read(&folder.path().join("absent"), 5);
        assert!(matches!(absent, Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }

    /// A root with a file of its own, and a file outside.
    fn rooted() -> (TempDir, TempDir) {
        let (root, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), "inside").unwrap();
        fs::write(elsewhere.path().join("file"), "outside").unwrap();
        (root, elsewhere)
    }

    #[test]
    fn links_lead_anywhere_beneath_the_root_and_nowhere_else() {
        let (root, elsewhere) = rooted();
        let at = |path: &str| root.path().join(path);
        symlink("../a/b/file", at("a/up")).unwrap();
        symlink("b/file", at("a/relative")).unwrap();
        symlink(at("a/b/file"), at("a/absolute")).unwrap();
        symlink(at("a"), at("folder")).unwrap();
        for path in ["a/b/file", "a/relative", "a/absolute", "folder/b/file", "a/../a/b/file", "folder/up"] {
            assert_eq!(read_beneath(root.path(), &at(path), 9).unwrap(), b"inside", "{path}");
        }
        symlink(elsewhere.path().join("file"), at("a/out")).unwrap();
        symlink(elsewhere.path(), at("away")).unwrap();
        for path in ["a/out", "away/file"] {
            let refused = read_beneath(root.path(), &at(path), 9);
            assert!(matches!(&refused, Err(FileError::Outside(_))), "{path}: {refused:?}");
        }
        let file = elsewhere.path().join("file");
        assert!(matches!(read_beneath(root.path(), &file, 9), Err(FileError::Outside(_))));
        assert!(matches!(read_beneath(&at("absent"), &file, 9), Err(FileError::Outside(_))));
        // What there is elsewhere is nobody's business.
        let absent = read_beneath(root.path(), &elsewhere.path().join("absent"), 9);
        assert!(matches!(absent, Err(FileError::Outside(_))), "{absent:?}");
        let absent = read_beneath(root.path(), &at("../absent"), 9);
        assert!(matches!(absent, Err(FileError::Outside(_))), "{absent:?}");
        assert!(matches!(read_beneath(root.path(), &at("absent"), 9), Err(FileError::Io(_))));
        assert!(matches!(read_beneath(root.path(), root.path(), 9), Err(FileError::Irregular)));
        pipe(&at("pipe"));
        let piped = at_once(|| read_beneath(root.path(), &at("pipe"), 9));
        assert!(matches!(piped, Err(FileError::Irregular)));
    }

    /// Whoever exchanges files and folders while they are read gains nothing by it.
    #[test]
    fn what_was_looked_at_is_what_is_read() {
        let (root, elsewhere) = rooted();
        let at = |path: &str| root.path().join(path);
        symlink(elsewhere.path().join("file"), at("out")).unwrap();
        pipe(&at("pipe"));
        fs::write(at("good"), "inside").unwrap();
        symlink(elsewhere.path(), at("away")).unwrap();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    for kind in ["out", "good", "pipe"] {
                        let staged = at("staged");
                        fs::hard_link(at(kind), &staged).unwrap();
                        fs::rename(staged, at("a/b/file")).unwrap();
                        drop(fs::remove_file(at("staged")));
                    }
                    fs::rename(at("a/b"), at("a/c")).unwrap();
                    symlink(elsewhere.path(), at("a/b")).unwrap();
                    fs::remove_file(at("a/b")).unwrap();
                    fs::rename(at("a/c"), at("a/b")).unwrap();
                }
            });
            let attempts: Vec<_> = (0..3_000)
                .map(|_| {
                    // Where links may lead anywhere, nothing is waited for either.
                    drop(at_once(|| read(&at("a/b/file"), 9)));
                    at_once(|| read_beneath(root.path(), &at("a/b/file"), 9))
                })
                .collect();
            ended.store(true, Ordering::Relaxed);
            let contents: Vec<_> = attempts.into_iter().flatten().collect();
            assert!(!contents.is_empty() && contents.iter().all(|content| content == b"inside"));
        });
    }
}
