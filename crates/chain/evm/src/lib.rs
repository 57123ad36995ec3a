#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod build;
mod canyon;
mod economy;
mod error;
mod estimate;
mod evm;
mod executor;
mod header;
mod import;
mod l1_fee;
mod precompiles;
mod run;
mod sandbox;
mod seal;
mod simulate;
mod witness;

pub use alloy_op_evm::{OpEvmContext, OpTx};
pub use op_revm::{OpHaltReason, OpSpecId, OpTransactionError};

pub use build::{BuildAttributes, Built, DaCaps, MAX_BLOCK_BYTES, Rejection, TransactionSource};
pub use error::{
    AttributesError, BodyError, BuildError, CallError, EstimateError, HeaderError, ImportError, InvalidBlock,
    Severity, TxFault,
};
pub use evm::{TributaryEvm, TributaryEvmFactory, tx_env};
pub use executor::{Env, Executor, NextBlock};
pub use l1_fee::{L1Fees, estimated_da_size};
pub use sandbox::{BlockDb, FeeMode, Sandbox};
pub use seal::ExecutedBlock;
pub use simulate::{SimulatedBlock, Simulator};
pub use witness::{Ancestors, StatelessError, Witness, WitnessBuildError};
