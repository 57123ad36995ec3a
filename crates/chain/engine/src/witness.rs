//! `debug_executePayload`: what it takes to execute the block that attributes describe. Fault proofs ask for it.

use alloy_primitives::B256;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    types::{ErrorObjectOwned, error::INVALID_PARAMS_CODE},
};
use op_alloy_rpc_types_engine::OpPayloadAttributes;
use tributary_evm::Witness;
use tributary_rpc::{Lane, RpcContext};

use crate::{EngineError, attributes};

/// Witnesses of blocks that are not there yet.
#[rpc(server, namespace = "debug")]
pub trait PayloadWitnessApi {
    /// Builds a block of what the attributes force into it, keeps it nowhere, and answers what executing it takes.
    #[method(name = "executePayload")]
    async fn execute_payload(
        &self,
        parent_block_hash: B256,
        attributes: OpPayloadAttributes,
    ) -> RpcResult<Witness>;
}

/// The method.
#[derive(Debug)]
pub struct PayloadWitness(RpcContext);

impl PayloadWitness {
    /// On the chain that the other methods read.
    pub const fn new(context: RpcContext) -> Self {
        Self(context)
    }
}

#[async_trait]
impl PayloadWitnessApiServer for PayloadWitness {
    async fn execute_payload(
        &self,
        parent_block_hash: B256,
        attributes: OpPayloadAttributes,
    ) -> RpcResult<Witness> {
        let attributes = attributes::decode(attributes).map_err(invalid)?;
        self.0.run(Lane::Trace, move |context| context.payload_witness(parent_block_hash, attributes)).await
    }
}

fn invalid(error: EngineError) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS_CODE, error.to_string(), None::<()>)
}
