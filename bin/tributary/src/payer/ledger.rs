//! The books of a channel on disk, shared by every process of this user that pays from it.
//!
//! A change is made under an OS lock on a file beside the books: read, change, write to a new file, sync, rename, sync the folder. A voucher
//! is signed only after the books that promise it are on disk, so a crash forgets no promise.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use eyre::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::books::Books;
use crate::files::read_bounded;

/// Largest file of books: so many open requests have less.
const MAX_FILE: u64 = 1 << 20;
/// The layout of the file.
const VERSION: u32 = 1;

/// Which channel: an id alone may come again on a chain that was begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelName {
    pub(super) chain_id: u64,
    pub(super) genesis: B256,
    pub(super) channel: B256,
    /// The block in which it was opened.
    pub(super) opening: B256,
}

impl ChannelName {
    fn file(&self) -> String {
        let Self { chain_id, genesis, channel, opening } = self;
        let short = |hash: &B256| alloy_primitives::hex::encode(&hash[..8]);
        format!("{chain_id}-{}/{channel}-{}", short(genesis), short(opening))
    }
}

#[derive(Serialize, Deserialize)]
struct Page {
    version: u32,
    #[serde(flatten)]
    name: ChannelName,
    #[serde(flatten)]
    books: Books,
}

/// Where the books of a channel are.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    name: ChannelName,
    path: PathBuf,
}

impl Ledger {
    /// The ledger of a channel in a folder of ledgers.
    pub(super) fn new(folder: &Path, name: ChannelName) -> Self {
        let path = folder.join(name.file() + ".json");
        Self { name, path }
    }

    /// Begins the books where there are none, from what the chain says was settled.
    pub(super) fn begin(&self, settled: u128) -> Result<()> {
        self.locked(|| match self.read()? {
            Some(_) => Ok(()),
            None => self.write(&Books::new(settled)),
        })
    }

    /// The books, if this machine has any.
    pub(super) fn read(&self) -> Result<Option<Books>> {
        let bytes = match read_bounded(&self.path, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).wrap_err_with(|| self.what()),
        };
        let page: Page = serde_json::from_slice(&bytes).wrap_err_with(|| self.what())?;
        ensure!(page.version == VERSION, "{} has version {}", self.what(), page.version);
        ensure!(page.name == self.name, "{} is of another channel", self.what());
        Ok(Some(page.books))
    }

    /// Changes the books; what is refused changes nothing. On disk when this returns.
    pub(super) fn update<T, E>(
        &self,
        change: impl FnOnce(&mut Books) -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        self.locked(|| {
            let mut books = self.read()?.ok_or_else(|| eyre::eyre!("{} went away", self.what()))?;
            let before = books.clone();
            let done = change(&mut books);
            if done.is_ok() && books != before {
                self.write(&books)?;
            }
            Ok(done)
        })
    }

    fn what(&self) -> String {
        format!("the channel's ledger {}", self.path.display())
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new("."))
    }

    fn locked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder()).wrap_err_with(|| self.what())?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .wrap_err_with(|| self.what())?;
        lock.lock().wrap_err_with(|| self.what())?;
        // Released when the file is closed, however this ends.
        work()
    }

    fn write(&self, books: &Books) -> Result<()> {
        let page = Page { version: VERSION, name: self.name, books: books.clone() };
        let text = serde_json::to_string_pretty(&page)?;
        self.replace(text.as_bytes()).wrap_err_with(|| format!("{} cannot be written", self.what()))
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(self.folder())?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::super::books::OnChain;
    use super::*;
    use std::{convert::Infallible, os::unix::fs::PermissionsExt};

    const CHAIN: OnChain = OnChain { deposited: 1 << 90, settled: 0 };

    fn name(opening: u8) -> ChannelName {
        let hash = B256::repeat_byte;
        ChannelName { chain_id: 901, genesis: hash(1), channel: hash(2), opening: hash(opening) }
    }

    fn promise(ledger: &Ledger, request: B256, max_fee: u128) -> u128 {
        ledger.update(|books| books.promise(request, max_fee, None, CHAIN, &mut None, 1)).unwrap().unwrap()
    }

    #[test]
    fn books_stay_and_belong_to_one_opening() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path(), name(3));
        assert_eq!(ledger.read().unwrap(), None);
        ledger.begin(70).unwrap();
        assert_eq!(promise(&ledger, B256::ZERO, 5), 75);
        ledger.begin(0).unwrap();
        let again = Ledger::new(folder.path(), name(3)).read().unwrap().unwrap();
        assert_eq!((again.used(), again.outstanding(), again.highest()), (70, 5, 75));
        let other = Ledger::new(folder.path(), name(4));
        assert_eq!(other.read().unwrap(), None, "the same id, opened anew");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&ledger.path), mode(ledger.folder())), (0o600, 0o700));
    }

    #[test]
    fn what_is_refused_is_not_written_and_a_spoilt_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path(), name(3));
        ledger.begin(0).unwrap();
        let refused: Result<(), &str> = ledger
            .update(|books| {
                books.catch(B256::ZERO, "not written".into());
                Err("no")
            })
            .unwrap();
        assert_eq!(refused, Err("no"));
        assert_eq!(ledger.read().unwrap(), Some(Books::new(0)));
        let good = fs::read_to_string(&ledger.path).unwrap();
        for bad in ["", "{", &good.replace("\"version\": 1", "\"version\": 2"), &good.replace("901", "902")] {
            fs::write(&ledger.path, bad).unwrap();
            assert!(ledger.begin(0).is_err(), "{bad}");
            assert!(ledger.update(|_| Ok::<_, Infallible>(())).is_err(), "{bad}");
        }
    }

    /// A write that a crash left half-done is in another file.
    #[test]
    fn a_half_written_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path(), name(3));
        ledger.begin(9).unwrap();
        fs::write(ledger.path.with_extension("new"), "{\"vers").unwrap();
        assert_eq!(promise(&ledger, B256::ZERO, 1), 10);
        assert_eq!(ledger.read().unwrap().unwrap().highest(), 10);
    }

    /// Each has a lock of its own on the file, as processes have.
    #[test]
    fn many_at_once_lose_no_promise() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::new(folder.path(), name(3)).begin(0).unwrap();
        std::thread::scope(|scope| {
            for payer in 0..4_u8 {
                let ledger = Ledger::new(folder.path(), name(3));
                scope.spawn(move || {
                    for n in 0..25_u8 {
                        let mut request = B256::repeat_byte(payer);
                        request[0] = n;
                        let cap = promise(&ledger, request, 10);
                        let settle = |books: &mut Books| {
                            books.receipt(request, 3);
                            Ok::<_, Infallible>(books.used())
                        };
                        let used = ledger.update(settle).unwrap().unwrap();
                        // Four caps at most are in flight.
                        assert!(used >= 3 && cap <= used + 37, "{cap} {used}");
                    }
                });
            }
        });
        let books = Ledger::new(folder.path(), name(3)).read().unwrap().unwrap();
        assert_eq!((books.used(), books.outstanding()), (4 * 25 * 3, 0));
    }
}
