//! What the economy needs in a chain's genesis.

use crate::params::{PARAMS, Param, ParamSpec, check_rules};
use crate::storage::versioned;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use std::collections::BTreeMap;
use tributary_abi::address;

/// INVALID: a call that reached the code would revert; `extcodesize` is not zero.
const CODE: Bytes = Bytes::from_static(&[0xfe]);

/// Why no genesis can be made of these values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The governor or the treasury is the zero address.
    #[error("{0} must not be the zero address")]
    ZeroAddress(&'static str),
    /// A name that is no parameter's.
    #[error("there is no parameter {0}")]
    UnknownParam(String),
    /// A value outside of its range.
    #[error("{name} is {value}, outside of its range")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// The value asked for.
        value: u128,
    },
    /// The values break a rule that joins several.
    #[error("the parameters break the rule {0}")]
    Inconsistent(String),
}

/// The values that a genesis begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisParams {
    /// Who may set parameters.
    pub governor: Address,
    /// Who gets registration fees and what nobody earned.
    pub treasury: Address,
    /// Short windows are allowed, and the first values are those of a dev chain.
    pub dev: bool,
    /// Values that differ from the defaults, by name.
    pub overrides: BTreeMap<String, u128>,
}

impl GenesisParams {
    /// The defaults of a dev chain.
    #[must_use]
    pub const fn dev(governor: Address, treasury: Address) -> Self {
        Self { governor, treasury, dev: true, overrides: BTreeMap::new() }
    }

    fn value(&self, spec: &ParamSpec) -> Result<U256, GenesisError> {
        let account = match spec.name {
            "governor" => Some(self.governor),
            "treasury" => Some(self.treasury),
            _ => None,
        };
        if let Some(account) = account {
            let word = U256::from_be_bytes(account.into_word().0);
            return if account.is_zero() { Err(GenesisError::ZeroAddress(spec.name)) } else { Ok(word) };
        }
        let first = if self.dev { spec.dev } else { spec.live };
        let value = self.overrides.get(spec.name).copied().unwrap_or(first);
        let (min, max) = spec.range();
        if (min..=max).contains(&U256::from(value)) {
            Ok(U256::from(value))
        } else {
            Err(GenesisError::OutOfRange { name: spec.name, value })
        }
    }

    fn check(&self) -> Result<(), GenesisError> {
        if let Some(name) = self.overrides.keys().find(|name| !PARAMS.iter().any(|spec| spec.name == **name))
        {
            return Err(GenesisError::UnknownParam(name.clone()));
        }
        let broken = check_rules(self.dev, |param: Param| {
            self.value(param.spec()).map(|value| value.saturating_to::<u128>())
        })?;
        match broken {
            Some(rule) => {
                let name = rule.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
                Err(GenesisError::Inconsistent(name))
            }
            None => Ok(()),
        }
    }
}

/// The six accounts: nonce 1 and a byte of code each, so that they are never empty, and the first parameters in the
/// storage of the last.
///
/// # Errors
/// When the parameters are outside of their ranges or break a rule.
pub fn accounts(params: &GenesisParams) -> Result<Vec<(Address, GenesisAccount)>, GenesisError> {
    params.check()?;
    let mut storage = BTreeMap::new();
    for spec in PARAMS {
        let (length, first) = versioned::first_words(params.value(spec)?);
        // `history[key]` of the first variable is an array: its length, and behind its hash the items.
        let list = keccak256([spec.key().as_slice(), &[0; 32]].concat());
        storage.insert(list, B256::from(length));
        storage.insert(keccak256(list), B256::from(first));
    }
    Ok(address::ALL
        .into_iter()
        .map(|account| {
            let storage = (account == address::PARAMS).then(|| storage.clone());
            let genesis =
                GenesisAccount { nonce: Some(1), code: Some(CODE), storage, ..GenesisAccount::default() };
            (account, genesis)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEONE: Address = Address::repeat_byte(7);

    fn live() -> GenesisParams {
        GenesisParams { dev: false, ..GenesisParams::dev(SOMEONE, SOMEONE) }
    }

    #[test]
    fn six_accounts_that_are_not_empty() {
        for params in [GenesisParams::dev(SOMEONE, SOMEONE), live()] {
            let accounts = accounts(&params).unwrap();
            assert_eq!(accounts.len(), 6);
            assert!(accounts.iter().all(|(_, a)| a.nonce == Some(1) && a.code.as_ref() == Some(&CODE)));
            assert_eq!(accounts[5].1.storage.as_ref().unwrap().len(), PARAMS.len() * 2);
        }
    }

    #[test]
    fn refuses_what_set_would_refuse() {
        let with = |name: &str, value| {
            let mut params = live();
            params.overrides.insert(name.to_owned(), value);
            accounts(&params).unwrap_err()
        };
        assert_eq!(with("challengeWindow", 5), GenesisError::Inconsistent("challengeWindow".into()));
        assert_eq!(with("betaBps", 10_001), GenesisError::OutOfRange { name: "betaBps", value: 10_001 });
        assert_eq!(with("beta", 1), GenesisError::UnknownParam("beta".into()));
        let nobody = GenesisParams { treasury: Address::ZERO, ..live() };
        assert_eq!(accounts(&nobody).unwrap_err(), GenesisError::ZeroAddress("treasury"));
    }
}
