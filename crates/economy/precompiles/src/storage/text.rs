//! `string` in storage: up to 31 bytes in the slot itself, longer ones behind it.

use super::Slot;
use crate::gas;
use crate::host::Halt;
use crate::machine::Machine;
use alloy_primitives::U256;

/// The most bytes a text in storage can have; what is longer was never written here.
const MAX_BYTES: u64 = 1 << 16;

impl Machine<'_> {
    /// Reads a text.
    pub(crate) fn text(&mut self, slot: Slot) -> Result<String, Halt> {
        let head = self.load(slot)?;
        let bytes = if head.bit(0) { self.long_text(slot, head)? } else { short_text(head) };
        String::from_utf8(bytes).map_err(|_| Halt::Fatal("a stored text is not UTF-8".to_owned()))
    }

    fn long_text(&mut self, slot: Slot, head: U256) -> Result<Vec<u8>, Halt> {
        let length = (head >> 1usize).saturating_to::<u64>();
        if length > MAX_BYTES {
            return Err(Halt::Fatal("a stored text is longer than any that is written".to_owned()));
        }
        let first = self.items(slot)?;
        let mut bytes = Vec::with_capacity(length as usize + 31);
        for n in 0..length.div_ceil(32) {
            bytes.extend_from_slice(&self.load(first.word(n))?.to_be_bytes::<32>());
        }
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    /// Writes a text, clearing what a longer one left behind.
    pub(crate) fn set_text(&mut self, slot: Slot, text: &str) -> Result<(), Halt> {
        let old = tail_words(self.load(slot)?);
        let bytes = text.as_bytes();
        let new = if bytes.len() < 32 { 0 } else { gas::words(bytes.len()) };
        if bytes.len() < 32 {
            let mut word = [0u8; 32];
            word[..bytes.len()].copy_from_slice(bytes);
            word[31] = (bytes.len() as u8) << 1;
            self.store(slot, U256::from_be_bytes(word))?;
        } else {
            self.store(slot, U256::from(bytes.len() * 2 + 1))?;
        }
        if old.max(new) == 0 {
            return Ok(());
        }
        let first = self.items(slot)?;
        for (chunk, n) in bytes.chunks(32).zip(0..new) {
            let mut word = [0u8; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(first.word(n), U256::from_be_bytes(word))?;
        }
        for n in new..old {
            self.store(first.word(n), U256::ZERO)?;
        }
        Ok(())
    }
}

fn short_text(head: U256) -> Vec<u8> {
    let word = head.to_be_bytes::<32>();
    let length = usize::from(word[31] >> 1).min(31);
    word[..length].to_vec()
}

fn tail_words(head: U256) -> u64 {
    if head.bit(0) { (head >> 1usize).saturating_to::<u64>().min(MAX_BYTES).div_ceil(32) } else { 0 }
}
