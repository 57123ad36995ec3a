//! The committed file is what the code makes, and a chain can start from it.

use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
use tributary_genesis::{DEV_ACCOUNTS, DEV_GOVERNOR, dev_genesis};
use tributary_spec::{ChainSpec, DEV_GENESIS, OpHardfork};

#[test]
fn the_committed_file_is_up_to_date() {
    let made = dev_genesis().unwrap();
    assert!(made == DEV_GENESIS, "run `cargo run -p tributary-genesis` and commit genesis/dev.json");
}

#[test]
fn the_dev_chain_starts_at_karst_with_the_economy_awake() {
    let spec = ChainSpec::dev();
    let time = spec.genesis_header().timestamp;
    assert_eq!(spec.chain_id(), 161_299);
    assert_eq!(spec.forks().latest(time), OpHardfork::Karst);
    assert!(spec.economy.active_at(time) && spec.economy.dev);
    assert!(!spec.economy.disputes_active_at(u64::MAX));
    assert_eq!(spec.governor(), DEV_GOVERNOR);
}

#[test]
fn dev_accounts_are_those_of_the_mnemonic() {
    for (index, address) in DEV_ACCOUNTS.into_iter().enumerate() {
        let wallet = MnemonicBuilder::<English>::default()
            .phrase("test test test test test test test test test test test junk")
            .index(index as u32)
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(wallet.address(), address);
    }
}
