//! Where a value is: a slot of a contract, and in it a run of bytes.

use crate::gas;
use crate::host::Halt;
use crate::machine::Machine;
use alloy_primitives::{Address, B256, U256, keccak256};

/// A storage slot of one of the contracts; also the place where a struct begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) contract: Address,
    pub(crate) key: U256,
}

impl Slot {
    /// The `n`-th slot of a contract.
    pub(crate) const fn root(contract: Address, n: u64) -> Self {
        Self { contract, key: U256::from_limbs([n, 0, 0, 0]) }
    }

    /// The slot `n` further on; slots wrap as in Solidity.
    pub(crate) fn word(self, n: u64) -> Self {
        Self { contract: self.contract, key: self.key.wrapping_add(U256::from(n)) }
    }

    /// The slot that `field` of the struct beginning here is in.
    pub(crate) fn of(self, field: Field) -> Self {
        self.word(field.word)
    }
}

/// A field of a struct, or of a contract: the slot it is in and its bytes there, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    word: u64,
    shift: usize,
    bits: usize,
}

impl Field {
    pub(crate) const fn new(word: u64, offset: usize, bytes: usize) -> Self {
        Self { word, shift: offset * 8, bits: if bytes > 32 { 256 } else { bytes * 8 } }
    }

    fn mask(self) -> U256 {
        if self.bits == 256 { U256::MAX } else { (U256::ONE << self.bits) - U256::ONE }
    }

    /// The field's value in its slot's word.
    pub(crate) fn get(self, word: U256) -> U256 {
        (word >> self.shift) & self.mask()
    }

    pub(crate) fn u64(self, word: U256) -> u64 {
        self.get(word).as_limbs()[0]
    }

    /// Fields read by this are at most four bytes wide.
    pub(crate) fn u32(self, word: U256) -> u32 {
        (self.get(word).as_limbs()[0] & 0xffff_ffff) as u32
    }

    pub(crate) fn u128(self, word: U256) -> u128 {
        low_u128(self.get(word))
    }

    pub(crate) fn flag(self, word: U256) -> bool {
        !self.get(word).is_zero()
    }

    pub(crate) fn address(self, word: U256) -> Address {
        to_address(self.get(word))
    }

    /// The word with the field replaced; bits that do not fit are cut, so callers check first.
    pub(crate) fn put(self, word: U256, value: impl ToWord) -> U256 {
        let mask = self.mask();
        (word & !(mask << self.shift)) | ((value.to_word() & mask) << self.shift)
    }

    pub(crate) fn put_address(self, word: U256, address: Address) -> U256 {
        self.put(word, address.into_word())
    }
}

/// The low 128 bits.
pub(crate) fn low_u128(value: U256) -> u128 {
    let limbs = value.as_limbs();
    u128::from(limbs[0]) | (u128::from(limbs[1]) << 64)
}

/// The low 160 bits.
pub(crate) fn to_address(value: U256) -> Address {
    Address::from_word(B256::from(value))
}

/// A value as the word that holds it.
pub(crate) trait ToWord {
    fn to_word(self) -> U256;
}

macro_rules! to_word {
    ($($int:ty),*) => { $( impl ToWord for $int {
        fn to_word(self) -> U256 {
            U256::from(self)
        }
    } )* };
}

to_word!(u8, u32, u64, u128);

impl ToWord for U256 {
    fn to_word(self) -> U256 {
        self
    }
}

impl ToWord for B256 {
    fn to_word(self) -> U256 {
        self.into()
    }
}

/// A mapping's key, as the word that is hashed.
pub(crate) trait ToKey {
    fn to_key(&self) -> B256;
}

impl ToKey for u64 {
    fn to_key(&self) -> B256 {
        B256::from(U256::from(*self))
    }
}

impl ToKey for Address {
    fn to_key(&self) -> B256 {
        self.into_word()
    }
}

impl ToKey for B256 {
    fn to_key(&self) -> B256 {
        *self
    }
}

impl Machine<'_> {
    /// Reads a whole slot.
    pub(crate) fn load(&mut self, slot: Slot) -> Result<U256, Halt> {
        self.host.sload(slot.contract, slot.key)
    }

    /// Writes a whole slot.
    pub(crate) fn store(&mut self, slot: Slot, value: U256) -> Result<(), Halt> {
        self.host.sstore(slot.contract, slot.key, value)
    }

    /// The word that `field` of the struct at `base` is in.
    pub(crate) fn word(&mut self, base: Slot, field: Field) -> Result<U256, Halt> {
        self.load(base.of(field))
    }

    pub(crate) fn u64(&mut self, base: Slot, field: Field) -> Result<u64, Halt> {
        self.word(base, field).map(|word| field.u64(word))
    }

    pub(crate) fn u128(&mut self, base: Slot, field: Field) -> Result<u128, Halt> {
        self.word(base, field).map(|word| field.u128(word))
    }

    pub(crate) fn address(&mut self, base: Slot, field: Field) -> Result<Address, Halt> {
        self.word(base, field).map(|word| field.address(word))
    }

    pub(crate) fn b256(&mut self, base: Slot, field: Field) -> Result<B256, Halt> {
        self.word(base, field).map(B256::from)
    }

    /// Replaces one field and leaves its neighbours in the slot.
    pub(crate) fn set(&mut self, base: Slot, field: Field, value: impl ToWord) -> Result<(), Halt> {
        let slot = base.of(field);
        if field.bits == 256 {
            return self.store(slot, value.to_word());
        }
        let word = self.load(slot)?;
        self.store(slot, field.put(word, value))
    }

    /// The slot of `mapping[key]`: hash(key ‖ slot).
    pub(crate) fn entry(&mut self, mapping: Slot, key: impl ToKey) -> Result<Slot, Halt> {
        self.charge(gas::keccak(64))?;
        let mut bytes = [0u8; 64];
        bytes[..32].copy_from_slice(key.to_key().as_slice());
        bytes[32..].copy_from_slice(&mapping.key.to_be_bytes::<32>());
        Ok(Slot { contract: mapping.contract, key: keccak256(bytes).into() })
    }

    /// The slot where the items of the dynamic array at `slot` begin: hash(slot).
    pub(crate) fn items(&mut self, slot: Slot) -> Result<Slot, Halt> {
        self.charge(gas::keccak(32))?;
        Ok(Slot { contract: slot.contract, key: keccak256(slot.key.to_be_bytes::<32>()).into() })
    }

    /// The length of the dynamic array at `slot`.
    pub(crate) fn length(&mut self, slot: Slot) -> Result<u64, Halt> {
        self.load(slot).map(|word| word.as_limbs()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_keeps_its_neighbours() {
        let (low, middle, high) = (Field::new(0, 0, 20), Field::new(0, 20, 8), Field::new(0, 28, 4));
        let word = low.put_address(U256::MAX, Address::repeat_byte(7));
        let word = middle.put(word, 5u64);
        let word = high.put(word, 9u32);
        assert_eq!(low.address(word), Address::repeat_byte(7));
        assert_eq!(middle.u64(word), 5);
        assert_eq!(high.u32(word), 9);
    }

    #[test]
    fn a_field_cuts_what_does_not_fit() {
        let field = Field::new(0, 1, 1);
        assert_eq!(field.put(U256::ZERO, 0x1ffu64), U256::from(0xff00));
    }
}
