//! The machines through a real EVM and, call by call, the same in memory.

mod agents;
mod attribution;
mod availability;
mod complete;
mod datanets;
mod fixture;
mod forge;
mod gas;
mod guards;
mod layout;
mod models;
mod params;
mod property;
mod reader;
mod reference;
mod settlement;
mod world;
