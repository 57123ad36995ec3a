//! Blocks made elsewhere: check, execute, compare.

use tributary_spec::{Header, OpHardfork, RecoveredBlock, SealedHeader};
use tributary_state::StateRef;

use crate::{
    ExecutedBlock, Executor, ImportError, InvalidBlock,
    header::{check_body, check_header, check_transactions_root},
    run::{BlockRun, RunError},
    seal::Outcome,
};

impl Executor {
    /// Checks a block against its parent, executes it on the parent's state and compares everything the header
    /// claims. The block is valid exactly if this returns `Ok`.
    pub fn import(
        &self,
        parent: &SealedHeader,
        block: RecoveredBlock,
        state: StateRef,
    ) -> Result<ExecutedBlock, ImportError> {
        self.check_but_root(parent, &block)?;
        // What the root does not bind is executed in vain, and refused all the same.
        let (outcome, root) =
            rayon::join(|| self.execute(&block, &state), || check_transactions_root(&block));
        root.map_err(InvalidBlock::from)?;
        let outcome = outcome?;
        self.compare(block.header(), &outcome)?;
        Ok(outcome.into_executed(block))
    }

    /// The checks of [`import`](Self::import) that need no execution.
    pub fn check(&self, parent: &SealedHeader, block: &RecoveredBlock) -> Result<(), InvalidBlock> {
        self.check_but_root(parent, block)?;
        Ok(check_transactions_root(block)?)
    }

    fn check_but_root(&self, parent: &SealedHeader, block: &RecoveredBlock) -> Result<(), InvalidBlock> {
        check_header(self.spec(), parent, block.header())?;
        Ok(check_body(self.spec(), parent, block)?)
    }

    fn execute(&self, block: &RecoveredBlock, state: &StateRef) -> Result<Outcome, ImportError> {
        let header = block.header();
        let mut run = BlockRun::new(self, self.evm_env(header), StateRef::clone(state));
        run.begin(header.parent_hash, header.parent_beacon_block_root)
            .map_err(|error| import_error(error, 0, block))?;
        for (index, tx) in block.recovered().enumerate() {
            run.execute(tx).map_err(|error| import_error(error, index, block))?;
        }
        Ok(Outcome::compute(self.spec(), header.timestamp, state, run.finish())?)
    }

    fn compare(&self, header: &Header, outcome: &Outcome) -> Result<(), InvalidBlock> {
        if outcome.gas_used != header.gas_used {
            return Err(InvalidBlock::GasUsed { computed: outcome.gas_used, claimed: header.gas_used });
        }
        let jovian = self.spec().forks().active(OpHardfork::Jovian, header.timestamp);
        let claimed = header.blob_gas_used.unwrap_or_default();
        if jovian && outcome.da_footprint != claimed {
            return Err(InvalidBlock::DaFootprint { computed: outcome.da_footprint, claimed });
        }
        if outcome.receipts_root != header.receipts_root {
            let (computed, claimed) = (outcome.receipts_root, header.receipts_root);
            return Err(InvalidBlock::ReceiptsRoot { computed, claimed });
        }
        if outcome.logs_bloom != header.logs_bloom {
            let (computed, claimed) = (Box::new(outcome.logs_bloom), Box::new(header.logs_bloom));
            return Err(InvalidBlock::LogsBloom { computed, claimed });
        }
        if outcome.state_root != header.state_root {
            let (computed, claimed) = (outcome.state_root, header.state_root);
            return Err(InvalidBlock::StateRoot { computed, claimed });
        }
        match (outcome.withdrawals_root, header.withdrawals_root) {
            (Some(computed), Some(claimed)) if computed != claimed => {
                Err(InvalidBlock::WithdrawalsRoot { computed, claimed })
            }
            _ => Ok(()),
        }
    }
}

fn import_error(error: RunError, index: usize, block: &RecoveredBlock) -> ImportError {
    match error {
        RunError::Tx(fault) => {
            let hash = block.transactions().get(index).map(|tx| tx.tx_hash()).unwrap_or_default();
            InvalidBlock::Transaction { index, hash, fault }.into()
        }
        RunError::State(error) => ImportError::State(error),
        RunError::Internal(error) => ImportError::Internal(error),
    }
}
