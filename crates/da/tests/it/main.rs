//! The memstore by its REST contract, and the client against it and against worse servers.

mod client;
mod contract;
mod formats;
mod support;
