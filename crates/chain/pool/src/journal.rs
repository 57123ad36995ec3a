//! The file that brings local transactions back after a restart.
//!
//! A sequence of RLP byte strings, each one EIP-2718 transaction, appended as they are accepted. It is rewritten (to a
//! temporary file, then renamed) once most of it is about transactions that are gone. A torn end, left by a crash in an
//! append, is cut off.

use crate::{Origin, PooledTransaction};
use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, Encodable};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Entries beyond the live ones that are put up with before a rewrite.
const SLACK: usize = 256;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    entries: usize,
}

impl Journal {
    /// Reads what is there, and opens the file for appending after its last whole entry.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<PooledTransaction>)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (raw, whole) = whole_entries(&bytes);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        let entries = raw.len();
        let txs = raw.iter().filter_map(|raw| PooledTransaction::decode(raw, Origin::Local).ok()).collect();
        Ok((Self { path: path.to_owned(), file, entries }, txs))
    }

    /// Adds one transaction.
    pub(crate) fn append(&mut self, tx: &PooledTransaction) -> io::Result<()> {
        let mut entry = Vec::with_capacity(tx.size() + 9);
        tx.encoded().encode(&mut entry);
        self.file.write_all(&entry)?;
        self.entries += 1;
        Ok(())
    }

    /// Rewrites the file if most of it is dead.
    pub(crate) fn tidy<'a>(
        &mut self,
        live: impl Iterator<Item = &'a Arc<PooledTransaction>>,
    ) -> io::Result<()> {
        let live: Vec<_> = live.filter(|tx| tx.is_local()).collect();
        if self.entries > 2 * live.len() + SLACK {
            self.rewrite(&live)?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.rewrite(&[])
    }

    fn rewrite(&mut self, live: &[&Arc<PooledTransaction>]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut bytes = Vec::new();
        live.iter().for_each(|tx| tx.encoded().encode(&mut bytes));
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.entries = live.len();
        Ok(())
    }
}

/// The entries up to a torn end, and the length of them all. (A decoder that fails may have moved on in its input.)
fn whole_entries(bytes: &[u8]) -> (Vec<Bytes>, usize) {
    let (mut entries, mut whole) = (Vec::new(), 0);
    while let mut rest = &bytes[whole..]
        && let Ok(entry) = Bytes::decode(&mut rest)
    {
        entries.push(entry);
        whole = bytes.len() - rest.len();
    }
    (entries, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_eips::Encodable2718;
    use alloy_primitives::B256;
    use alloy_signer::SignerSync;
    use alloy_signer_local::PrivateKeySigner;
    use tributary_spec::Tx;

    fn signed(nonce: u64) -> Arc<PooledTransaction> {
        let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(3)).unwrap();
        let tx = TxEip1559 { chain_id: 1, nonce, ..TxEip1559::default() };
        let signature = key.sign_hash_sync(&tx.signature_hash()).unwrap();
        let raw = Tx::Eip1559(tx.into_signed(signature)).encoded_2718();
        Arc::new(PooledTransaction::decode(&raw, Origin::Local).unwrap())
    }

    fn nonces(txs: &[PooledTransaction]) -> Vec<u64> {
        txs.iter().map(PooledTransaction::nonce).collect()
    }

    #[test]
    fn what_is_appended_is_read_again_but_for_a_torn_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool/journal");
        let (mut journal, kept) = Journal::open(&path).unwrap();
        assert!(kept.is_empty());
        for nonce in 0..3 {
            journal.append(&signed(nonce)).unwrap();
        }
        drop(journal);
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
        let (mut journal, kept) = Journal::open(&path).unwrap();
        assert_eq!(nonces(&kept), [0, 1]);
        journal.append(&signed(7)).unwrap();
        let (_, kept) = Journal::open(&path).unwrap();
        assert_eq!(nonces(&kept), [0, 1, 7]);
    }

    #[test]
    fn a_journal_of_the_dead_is_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let live = signed(99);
        for nonce in 0..SLACK as u64 {
            journal.append(&signed(nonce)).unwrap();
        }
        journal.append(&live).unwrap();
        journal.tidy([&live].into_iter()).unwrap();
        assert_eq!(journal.entries, SLACK + 1, "not yet worth it");
        journal.append(&live).unwrap();
        journal.append(&live).unwrap();
        journal.tidy([&live].into_iter()).unwrap();
        assert_eq!(journal.entries, 1);
        journal.append(&signed(100)).unwrap();
        assert_eq!(nonces(&Journal::open(&path).unwrap().1), [99, 100]);
    }
}
