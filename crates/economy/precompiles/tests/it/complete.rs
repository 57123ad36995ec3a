//! Nothing of the interfaces is left untested.

use crate::world::{CALLED, REFUSED};
use std::collections::BTreeSet;
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement, address};

#[test]
fn every_function_is_called_and_every_error_provoked() {
    crate::guards::provoke_all();
    crate::params::provoke_all();
    crate::datanets::provoke_all();
    crate::models::provoke_all();
    crate::agents::provoke_all();
    crate::settlement::provoke_all();
    crate::attribution::provoke_all();
    crate::availability::provoke_all();
    let interfaces = [
        IDatanets::abi::contract(),
        IModels::abi::contract(),
        IAgents::abi::contract(),
        ISettlement::abi::contract(),
        IAttribution::abi::contract(),
        IParams::abi::contract(),
    ];
    let (called, refused) = (CALLED.lock().unwrap(), REFUSED.lock().unwrap());
    let mut missing = BTreeSet::new();
    for (abi, at) in interfaces.iter().zip(address::ALL) {
        let functions = abi.functions().filter(|f| !called.contains(&(at, f.selector().0)));
        missing.extend(functions.map(|function| format!("{at}: function {}", function.signature())));
        let errors = abi.errors().filter(|e| !refused.contains(&e.selector().0));
        missing.extend(errors.map(|error| format!("error {}", error.signature())));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
