//! Brings waiting payloads in once their parent is there, on a thread of its own.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use parking_lot::{Condvar, Mutex};
use tributary_spec::RecoveredBlock;
use tributary_tree::{Chain, PayloadStatus, TreeError};

use crate::{EngineError, buffer::Buffer};

/// Imports blocks, those that wait included. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Linker {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    parents: Option<mpsc::Sender<B256>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    chain: Chain,
    buffer: Mutex<Buffer>,
    /// A block left the buffer.
    left: Condvar,
    /// One import at a time: the same block twice would be executed twice.
    importing: Mutex<()>,
}

impl Linker {
    pub(crate) fn start(chain: Chain) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            chain,
            buffer: Mutex::default(),
            left: Condvar::new(),
            importing: Mutex::new(()),
        });
        let (parents, arrivals) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("engine-linker".into())
            .spawn(move || {
                for parent in arrivals {
                    theirs.link(parent);
                }
            })
            .map_err(|error| EngineError::Internal(format!("the linker's thread did not start: {error}")))?;
        Ok(Self { shared, parents: Some(parents), thread: Some(thread) })
    }

    /// Imports a block of so many bytes, or keeps it until its parent comes.
    pub(crate) fn import(&self, block: RecoveredBlock, bytes: usize) -> Result<PayloadStatus, TreeError> {
        let (hash, parent) = (block.hash(), block.parent_hash());
        let kept = if self.shared.knows(parent)? { None } else { Some(block.clone()) };
        let status = self.shared.import(block)?;
        match (&status, kept) {
            (PayloadStatus::Syncing, Some(block)) => {
                self.shared.buffer.lock().insert(block, bytes);
                // The parent may have come meanwhile, and found nobody waiting.
                if self.shared.knows(parent)? {
                    self.arrived(parent);
                }
            }
            _ => self.arrived(hash),
        }
        Ok(status)
    }

    /// Links what waits for a block that is known now.
    pub(crate) fn arrived(&self, hash: B256) {
        if self.shared.buffer.lock().children(hash).is_empty() {
            return;
        }
        if let Some(parents) = &self.parents
            && parents.send(hash).is_err()
        {
            tracing::error!(target: "engine", "The linker's thread has ended");
        }
    }

    /// Waits until a waiting block was imported. False if it is not waiting, if an ancestor is missing, or if it takes too
    /// long.
    pub(crate) fn wait_for(&self, hash: B256, patience: Duration) -> Result<bool, TreeError> {
        let deadline = Instant::now() + patience;
        let Some(missing) = self.shared.buffer.lock().missing_ancestor(hash) else { return Ok(false) };
        if !self.shared.knows(missing)? {
            return Ok(false);
        }
        self.arrived(missing);
        let mut buffer = self.shared.buffer.lock();
        while buffer.contains(hash) {
            if self.shared.left.wait_until(&mut buffer, deadline).timed_out() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The missing block under a head that is not known, with its number if a child of it waits.
    pub(crate) fn missing(&self, head: B256) -> (B256, Option<u64>) {
        let buffer = self.shared.buffer.lock();
        let Some(missing) = buffer.missing_ancestor(head) else { return (head, None) };
        let child = buffer.children(missing).first().and_then(|child| buffer.get(*child));
        (missing, child.and_then(|child| child.number().checked_sub(1)))
    }

    /// Forgets waiting blocks at or beneath a finalized one.
    pub(crate) fn finalized(&self, number: u64) {
        self.shared.buffer.lock().prune(number);
    }
}

/// Whoever drops the engine may open the chain's files again at once.
impl Drop for Linker {
    fn drop(&mut self) {
        self.parents.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(target: "engine", "The linker's thread panicked");
        }
    }
}

impl Shared {
    fn knows(&self, hash: B256) -> Result<bool, TreeError> {
        Ok(self.chain.header_by_hash(hash)?.is_some())
    }

    fn import(&self, block: RecoveredBlock) -> Result<PayloadStatus, TreeError> {
        let _one_at_a_time = self.importing.lock();
        self.chain.import(block)
    }

    /// Imports the descendants of a known block, nearest first. Descendants of an invalid one become known as such.
    fn link(&self, parent: B256) {
        let mut known = vec![parent];
        let mut linked = 0;
        while let Some(parent) = known.pop() {
            let children = self.buffer.lock().children(parent);
            for hash in children {
                let Some(block) = self.buffer.lock().get(hash) else { continue };
                match self.import(block) {
                    Ok(PayloadStatus::Syncing) => continue,
                    Ok(PayloadStatus::Valid) => linked += 1,
                    Ok(PayloadStatus::Invalid { reason, .. }) => {
                        tracing::warn!(target: "engine", %hash, reason, "Invalid payload among those that waited");
                    }
                    Err(error) => {
                        tracing::error!(target: "engine", %hash, %error, "Waiting payload not imported");
                        return;
                    }
                }
                self.buffer.lock().remove(hash);
                self.left.notify_all();
                known.push(hash);
            }
        }
        if linked > 0 {
            tracing::info!(target: "engine", linked, "Waiting payloads imported");
        }
    }
}
