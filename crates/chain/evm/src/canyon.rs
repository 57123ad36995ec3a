//! Canyon's irregular state change: create2deployer gets its code before the first transaction of the block at Canyon's
//! time.

use alloy_primitives::{B256, Bytes, b256, map::AddressMap};
use revm::{Database, DatabaseCommit, state::Bytecode};
use tributary_spec::{ForkSchedule, OpHardfork, predeploys::CREATE2_DEPLOYER};

const CODE: &[u8] = include_bytes!("create2_deployer.bin");
const CODE_HASH: B256 = b256!("b0550b5b431e30d38000efb7107aaa0ade03d48a7198a140edda9d27134468b2");

/// Deploys in the block whose time *equals* Canyon's, as op-geth does. A chain that skips that second never gets it.
pub(crate) fn deploy_create2<DB>(forks: &ForkSchedule, timestamp: u64, db: &mut DB) -> Result<(), DB::Error>
where
    DB: Database + DatabaseCommit,
{
    if forks.time(OpHardfork::Canyon) != Some(timestamp) {
        return Ok(());
    }
    let mut info = db.basic(CREATE2_DEPLOYER)?.unwrap_or_default();
    info.code_hash = CODE_HASH;
    info.code = Some(Bytecode::new_raw(Bytes::from_static(CODE)));
    let mut account: revm::state::Account = info.into();
    account.mark_touch();
    db.commit(AddressMap::from_iter([(CREATE2_DEPLOYER, account)]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::database::{EmptyDB, State};
    use tributary_spec::FORKS;

    fn deployed(timestamp: u64) -> bool {
        let mut times = [Some(0); FORKS.len()];
        times[2..].fill(None);
        times[2] = Some(100);
        let forks = ForkSchedule::new(times).unwrap();
        let mut db = State::builder().with_database(EmptyDB::default()).with_bundle_update().build();
        deploy_create2(&forks, timestamp, &mut db).unwrap();
        db.basic(CREATE2_DEPLOYER).unwrap().is_some_and(|account| account.code_hash == CODE_HASH)
    }

    #[test]
    fn the_code_is_the_one_of_the_specs() {
        assert_eq!(alloy_primitives::keccak256(CODE), CODE_HASH);
    }

    /// alloy-op-evm deploys whenever Canyon was not active two seconds before, so also at 101.
    #[test]
    fn only_at_canyons_very_second() {
        assert!(!deployed(99));
        assert!(deployed(100));
        assert!(!deployed(101));
        assert!(!deployed(102));
    }
}
