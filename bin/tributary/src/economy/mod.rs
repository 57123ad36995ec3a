//! What a wallet does on chain, step by step: the by-hand commands and the demo share it.

mod adapter;
mod agent;
mod artifact;
mod channel;
mod claim;
mod datanet;
mod documents;

pub(crate) use self::{
    adapter::{AdapterSpec, base_model, find_model, register_adapter, register_base},
    agent::register_agent,
    artifact::read_adapter,
    channel::{Closing, close_channel, open_channel},
    claim::{claim_all, collect},
    datanet::{contribute, create_datanet, find_datanet, param, seal},
    documents::{MAX_DOCUMENT, Prepared, file_uri, prepare},
};
