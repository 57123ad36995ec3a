//! A block in memory.

use std::sync::{Arc, OnceLock};
use tributary_evm::ExecutedBlock;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader};
use tributary_state::Layer;

/// An executed block with what it did to the state, in the form that lies over other states.
#[derive(Debug, Clone)]
pub(crate) struct Node(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    executed: Arc<ExecutedBlock>,
    layer: Arc<Layer>,
    /// Copies that readers share, made when the first one asks.
    block: OnceLock<Arc<RecoveredBlock>>,
    receipts: OnceLock<Arc<Vec<Receipt>>>,
}

impl Node {
    pub(crate) fn new(executed: Arc<ExecutedBlock>) -> Self {
        let layer = layer_of(&executed);
        Self::with_layer(executed, layer)
    }

    pub(crate) fn with_layer(executed: Arc<ExecutedBlock>, layer: Layer) -> Self {
        let layer = Arc::new(layer);
        Self(Arc::new(Parts { executed, layer, block: OnceLock::new(), receipts: OnceLock::new() }))
    }

    pub(crate) fn executed(&self) -> &Arc<ExecutedBlock> {
        &self.0.executed
    }

    pub(crate) fn layer(&self) -> &Arc<Layer> {
        &self.0.layer
    }

    pub(crate) fn header(&self) -> &SealedHeader {
        self.0.executed.block.header()
    }

    pub(crate) fn number(&self) -> u64 {
        self.header().number
    }

    pub(crate) fn block(&self) -> Arc<RecoveredBlock> {
        self.0.block.get_or_init(|| Arc::new(self.0.executed.block.clone())).clone()
    }

    pub(crate) fn receipts(&self) -> Arc<Vec<Receipt>> {
        self.0.receipts.get_or_init(|| Arc::new(self.0.executed.receipts.clone())).clone()
    }
}

/// What a block did to the state.
pub(crate) fn layer_of(executed: &ExecutedBlock) -> Layer {
    Layer::new(&executed.hashed, &executed.trie)
}

/// A block read back from the store, without what it did.
pub(crate) fn stored(block: RecoveredBlock, receipts: Vec<Receipt>) -> ExecutedBlock {
    ExecutedBlock {
        block,
        receipts,
        bundle: Default::default(),
        hashed: Default::default(),
        trie: Default::default(),
    }
}
