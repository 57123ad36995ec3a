//! KV pages: who holds them, and which of them hold a prefix that others may share.

mod pages;
mod prefix;

pub(crate) use pages::PagePool;
pub(crate) use prefix::{PrefixChain, PrefixKey};
