//! The chain as the worker sees it.

mod node;
mod port;
mod registry;
mod view;

pub use self::{
    node::NodeChain,
    port::{ChainError, ChainPort, Head, Outcome},
    registry::Registry,
    view::RegistryView,
};
pub(crate) use self::{port::view as call_view, view::standing};
