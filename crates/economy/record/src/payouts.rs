//! An agent's cumulative payouts: one leaf an account, in the order of first credit.

use crate::constants::DEPTH_WIDE;
use crate::decimal::Decimal;
use crate::merkle::{MultiproofError, Tree, TreeError, empty, multi_proof_indices, multi_root, payout_leaf};
use crate::record::Payee;
use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, hash_map::Entry};

/// What an account is to be credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The account.
    pub account: Address,
    /// By how much, above zero.
    pub amount: u128,
}

/// Why credits could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// An account's payouts exceed 128 bits.
    #[error("the payouts of {0} overflow")]
    Overflow(Address),
    /// More than 2³² accounts.
    #[error("the payout tree is full")]
    Full,
    /// A witness that does not lead to the root it claims to open.
    #[error("the witness does not open the payout root")]
    Witness,
    /// A witness without the leaf that a payee claims.
    #[error("the witness lacks the payout leaf {0}")]
    Missing(u32),
    /// The witness's proof is malformed.
    #[error(transparent)]
    Proof(#[from] MultiproofError),
}

impl From<TreeError> for LedgerError {
    fn from(_: TreeError) -> Self {
        Self::Full
    }
}

/// A payout tree that takes credits: the whole one, or the part that a witness opens.
pub trait Ledger {
    /// The root now.
    fn root(&self) -> B256;
    /// Accounts now.
    fn n_accounts(&self) -> u32;
    /// Credits accounts, new ones taking the next indices in the order given, and returns what each got by
    /// ascending index. `claimed` are the indices that the record names: a witness must open those that exist.
    ///
    /// # Errors
    /// When an amount overflows or the witness does not show what it must.
    fn credit(&mut self, credits: &[Credit], claimed: &[u32]) -> Result<Vec<Payee>, LedgerError>;
}

/// The whole payout tree of an agent. Serialised as its accounts alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Vec<(Address, Decimal)>", try_from = "Vec<(Address, Decimal)>")]
pub struct PayoutTree {
    accounts: Vec<(Address, u128)>,
    index: HashMap<Address, u32>,
    tree: Tree,
    journal: Vec<(u32, Option<u128>)>,
}

impl PartialEq for PayoutTree {
    fn eq(&self, other: &Self) -> bool {
        self.accounts == other.accounts
    }
}

impl Eq for PayoutTree {}

impl Default for PayoutTree {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            index: HashMap::new(),
            tree: Tree::empty(DEPTH_WIDE),
            journal: Vec::new(),
        }
    }
}

impl From<PayoutTree> for Vec<(Address, Decimal)> {
    fn from(tree: PayoutTree) -> Self {
        tree.accounts.into_iter().map(|(account, sum)| (account, Decimal(sum))).collect()
    }
}

impl TryFrom<Vec<(Address, Decimal)>> for PayoutTree {
    type Error = LedgerError;

    fn try_from(accounts: Vec<(Address, Decimal)>) -> Result<Self, LedgerError> {
        let accounts: Vec<(Address, u128)> =
            accounts.into_iter().map(|(account, sum)| (account, sum.0)).collect();
        let leaves = accounts
            .iter()
            .zip(0u32..)
            .map(|((account, sum), index)| payout_leaf(index, *account, U256::from(*sum)))
            .collect();
        let index: HashMap<Address, u32> =
            accounts.iter().zip(0u32..).map(|((account, _), index)| (*account, index)).collect();
        if index.len() != accounts.len() {
            return Err(LedgerError::Witness);
        }
        Ok(Self { tree: Tree::new(DEPTH_WIDE, leaves)?, accounts, index, journal: Vec::new() })
    }
}

impl PayoutTree {
    /// An account's place and all it was ever credited.
    #[must_use]
    pub fn account(&self, account: Address) -> Option<(u32, u128)> {
        let index = *self.index.get(&account)?;
        Some((index, self.accounts[index as usize].1))
    }

    /// All accounts with what they were credited, by index.
    #[must_use]
    pub fn accounts(&self) -> &[(Address, u128)] {
        &self.accounts
    }

    /// The siblings of the leaf at `index`, for a claim.
    ///
    /// # Errors
    /// When no account has that index.
    pub fn proof(&self, index: u32) -> Result<Vec<B256>, TreeError> {
        self.tree.proof(u64::from(index))
    }

    /// What a contract needs to take the step that credits these accounts.
    ///
    /// # Errors
    /// When the tree is full.
    pub fn witness(&self, accounts: &[Address]) -> Result<PayoutWitness, LedgerError> {
        let mut leaves = BTreeMap::new();
        let mut fresh: Vec<Address> = Vec::new();
        for account in accounts {
            match self.account(*account) {
                Some((index, cumulative)) => {
                    leaves.insert(index, (*account, cumulative));
                }
                None if !fresh.contains(account) => fresh.push(*account),
                None => {}
            }
        }
        let n_accounts = self.n_accounts();
        let places = places(&leaves, n_accounts, fresh.len())?;
        Ok(PayoutWitness { root: self.root(), n_accounts, leaves, proof: self.tree.multi_proof(&places)? })
    }

    /// A point to [`Self::rollback`] to.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Undoes all credits since the mark.
    ///
    /// # Errors
    /// Never in practice: the places it restores were there before.
    pub fn rollback(&mut self, mark: usize) -> Result<(), LedgerError> {
        while self.journal.len() > mark {
            let Some((index, before)) = self.journal.pop() else { break };
            match before {
                Some(cumulative) => self.set(index, cumulative)?,
                None => {
                    if let Some((account, _)) = self.accounts.pop() {
                        self.index.remove(&account);
                    }
                    self.tree.pop();
                }
            }
        }
        Ok(())
    }

    /// Forgets how to roll back; call it when what was credited is there to stay.
    pub fn settle(&mut self) {
        self.journal.clear();
    }

    fn set(&mut self, index: u32, cumulative: u128) -> Result<(), LedgerError> {
        let entry = &mut self.accounts[index as usize];
        entry.1 = cumulative;
        let leaf = payout_leaf(index, entry.0, U256::from(cumulative));
        Ok(self.tree.put(u64::from(index), leaf)?)
    }

    fn add(&mut self, credit: &Credit) -> Result<u32, LedgerError> {
        if let Some((index, before)) = self.account(credit.account) {
            let sum = before.checked_add(credit.amount).ok_or(LedgerError::Overflow(credit.account))?;
            self.set(index, sum)?;
            self.journal.push((index, Some(before)));
            return Ok(index);
        }
        let index = u32::try_from(self.accounts.len()).map_err(|_| LedgerError::Full)?;
        self.accounts.push((credit.account, 0));
        self.index.insert(credit.account, index);
        self.set(index, credit.amount)?;
        self.journal.push((index, None));
        Ok(index)
    }
}

impl Ledger for PayoutTree {
    fn root(&self) -> B256 {
        self.tree.root()
    }

    fn n_accounts(&self) -> u32 {
        self.accounts.len() as u32
    }

    fn credit(&mut self, credits: &[Credit], _claimed: &[u32]) -> Result<Vec<Payee>, LedgerError> {
        let mark = self.mark();
        let mut payees = Vec::with_capacity(credits.len());
        for credit in credits {
            match self.add(credit) {
                Ok(index) => payees.push(Payee { index, account: credit.account, amount: credit.amount }),
                Err(error) => {
                    self.rollback(mark)?;
                    return Err(error);
                }
            }
        }
        payees.sort_by_key(|payee| payee.index);
        Ok(payees)
    }
}

/// The part of a payout tree that one record's step touches: old leaves under one multiproof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutWitness {
    /// The root before the step.
    pub root: B256,
    /// Accounts before the step.
    pub n_accounts: u32,
    /// Existing leaves: index → (account, cumulative).
    pub leaves: BTreeMap<u32, (Address, u128)>,
    /// Shared siblings of those leaves and of the next free places.
    pub proof: Vec<B256>,
}

impl PayoutWitness {
    fn hashes(&self, fresh: usize) -> Result<Vec<(u64, B256)>, LedgerError> {
        Ok(places(&self.leaves, self.n_accounts, fresh)?
            .into_iter()
            .map(|place| {
                let leaf = u32::try_from(place)
                    .ok()
                    .and_then(|index| self.leaves.get(&index).map(|(account, sum)| (index, account, sum)))
                    .map_or(empty(0), |(index, account, sum)| payout_leaf(index, *account, U256::from(*sum)));
                (place, leaf)
            })
            .collect())
    }

    fn open(&self, fresh: usize) -> Result<(), LedgerError> {
        if self.leaves.keys().any(|index| *index >= self.n_accounts) {
            return Err(LedgerError::Witness);
        }
        let root = multi_root(DEPTH_WIDE, &self.hashes(fresh)?, &self.proof)?;
        if root == self.root { Ok(()) } else { Err(LedgerError::Witness) }
    }
}

impl Ledger for PayoutWitness {
    fn root(&self) -> B256 {
        self.root
    }

    fn n_accounts(&self) -> u32 {
        self.n_accounts
    }

    fn credit(&mut self, credits: &[Credit], claimed: &[u32]) -> Result<Vec<Payee>, LedgerError> {
        let unopened = |index: &&u32| **index < self.n_accounts && !self.leaves.contains_key(index);
        if let Some(index) = claimed.iter().find(unopened) {
            return Err(LedgerError::Missing(*index));
        }
        let mut index_of: HashMap<Address, u32> =
            self.leaves.iter().map(|(index, (account, _))| (*account, *index)).collect();
        let mut fresh = Vec::new();
        for credit in credits {
            if let Entry::Vacant(place) = index_of.entry(credit.account) {
                let index = self.n_accounts.checked_add(fresh.len() as u32).ok_or(LedgerError::Full)?;
                place.insert(index);
                fresh.push((index, credit.account));
            }
        }
        self.open(fresh.len())?;
        let added = fresh.len();
        self.leaves.extend(fresh.into_iter().map(|(index, account)| (index, (account, 0))));
        let mut payees = Vec::with_capacity(credits.len());
        for credit in credits {
            let index = index_of[&credit.account];
            let Some((_, sum)) = self.leaves.get_mut(&index) else { return Err(LedgerError::Witness) };
            *sum = sum.checked_add(credit.amount).ok_or(LedgerError::Overflow(credit.account))?;
            payees.push(Payee { index, account: credit.account, amount: credit.amount });
        }
        self.n_accounts += added as u32;
        let leaves = self.hashes(0)?;
        self.root = multi_root(DEPTH_WIDE, &leaves, &self.proof)?;
        payees.sort_by_key(|payee| payee.index);
        Ok(payees)
    }
}

/// Existing places and the next free ones, ascending.
fn places(
    leaves: &BTreeMap<u32, (Address, u128)>,
    n_accounts: u32,
    fresh: usize,
) -> Result<Vec<u64>, LedgerError> {
    let first = u64::from(n_accounts);
    let mut places: Vec<u64> = leaves.keys().map(|index| u64::from(*index)).collect();
    places.extend(first..first + fresh as u64);
    multi_proof_indices(DEPTH_WIDE, &places)?;
    Ok(places)
}
