//! Keys, and transactions signed with them.

mod client;
mod keys;
mod keystore;
mod revert;

pub(crate) use self::{
    client::Client,
    keys::{dev_signer, load_signer, new_keystore},
    revert::explain_revert,
};
