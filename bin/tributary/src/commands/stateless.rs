//! `tributary stateless`: a block executed without a node.

use std::path::{Path, PathBuf};

use alloy_primitives::{Bytes, hex};
use clap::Args;
use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::{Value, json};
use tributary_evm::{ExecutedBlock, Executor, Witness};
use tributary_spec::{Block, RecoveredBlock};

use crate::{
    args::ChainArgs,
    files::read_bounded,
    output::{pairs, print},
};

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 30;

/// Execute a block from its witness alone: no node, no database. Everything is checked against the block's parent hash.
#[derive(Debug, Args)]
pub(crate) struct StatelessCommand {
    #[command(flatten)]
    chain: ChainArgs,
    /// The block in RLP: bytes, hex, or the answer of debug_getRawBlock.
    #[arg(long, value_name = "FILE")]
    block: PathBuf,
    /// The answer of debug_executionWitness.
    #[arg(long, value_name = "FILE")]
    witness: PathBuf,
    /// Refuse a block that may use more gas: whoever made it chose how long it runs.
    #[arg(long, value_name = "GAS", default_value_t = 1_000_000_000)]
    max_gas: u64,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl StatelessCommand {
    pub(crate) fn run(self) -> Result<()> {
        let (executed, witness) = self.execute()?;
        let header = executed.block.header();
        let transactions = executed.block.transactions().len();
        let shown = json!({
            "number": header.number, "hash": header.hash(), "stateRoot": header.state_root,
            "receiptsRoot": header.receipts_root, "gasUsed": header.gas_used, "transactions": transactions,
            "nodes": witness.state.len(), "codes": witness.codes.len(), "headers": witness.headers.len(),
        });
        print(self.json, &shown, |_| {
            pairs([
                ("block", format!("{} {}", header.number, header.hash())),
                ("state root", header.state_root.to_string()),
                ("receipts root", header.receipts_root.to_string()),
                ("gas used", header.gas_used.to_string()),
                ("transactions", transactions.to_string()),
                ("trie nodes", witness.state.len().to_string()),
            ])
        })
    }

    fn execute(&self) -> Result<(ExecutedBlock, Witness)> {
        let spec = self.chain.load_rules()?;
        let block = read_block(&self.block).wrap_err_with(|| format!("--block {}", self.block.display()))?;
        let witness =
            read_witness(&self.witness).wrap_err_with(|| format!("--witness {}", self.witness.display()))?;
        let gas = block.header().gas_limit;
        ensure!(gas <= self.max_gas, "the block's gas limit is {gas}, more than --max-gas {}", self.max_gas);
        let executed = Executor::new(spec).execute_stateless(block, &witness)?;
        Ok((executed, witness))
    }
}

/// What a node answered, with or without the envelope of JSON-RPC.
fn answer(json: &[u8]) -> Result<Value> {
    let mut json: Value = serde_json::from_slice(json)?;
    match json.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Ok(json),
    }
}

fn read_witness(path: &Path) -> Result<Witness> {
    Ok(serde_json::from_value(answer(&read_bounded(path, MAX_FILE)?)?)?)
}

fn read_block(path: &Path) -> Result<RecoveredBlock> {
    let bytes = read_bounded(path, MAX_FILE)?;
    let rlp = match bytes.first() {
        // A list in RLP begins with a byte that begins no text.
        Some(0xc0..) => bytes,
        Some(b'{' | b'"') => serde_json::from_value::<Bytes>(answer(&bytes)?)?.to_vec(),
        Some(_) => hex::decode(bytes.trim_ascii())?,
        None => bail!("the file is empty"),
    };
    let block: Block = alloy_rlp::decode_exact(&rlp).map_err(|error| eyre!("no block: {error}"))?;
    Ok(RecoveredBlock::recover(block)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{B64, B256};
    use tributary_evm::BuildAttributes;
    use tributary_spec::{BlockBody, ChainSpec};
    use tributary_state::MemoryState;

    use super::*;

    #[test]
    fn a_block_is_executed_from_two_files() {
        let spec = ChainSpec::dev();
        let (executor, parent) = (Executor::new(Arc::clone(&spec)), spec.genesis_header());
        let attributes = BuildAttributes {
            timestamp: parent.timestamp + 2,
            gas_limit: parent.gas_limit,
            parent_beacon_block_root: Some(B256::ZERO),
            eip1559_params: Some(B64::ZERO),
            min_base_fee: Some(0),
            ..BuildAttributes::default()
        };
        let state = Arc::new(MemoryState::from_alloc(&spec.genesis().alloc));
        let (built, mut witness) = executor.payload_witness(parent, attributes, state, &|_| None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let command = StatelessCommand {
            chain: ChainArgs { chain: "dev".to_owned() },
            block: folder.path().join("block"),
            witness: folder.path().join("witness.json"),
            max_gas: parent.gas_limit,
            json: false,
        };
        let write = |witness: &Witness| {
            let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": witness });
            std::fs::write(&command.witness, answer.to_string()).unwrap();
        };
        std::fs::write(&command.block, built.block.rlp()).unwrap();
        write(&witness);
        assert_eq!(command.execute().unwrap().0.block, built.block);

        witness.state.pop();
        write(&witness);
        let error = format!("{:#}", command.execute().unwrap_err());
        assert!(error.starts_with("the witness does not carry the block: trie node"), "{error}");
        std::fs::write(&command.witness, "[]").unwrap();
        assert!(command.execute().is_err());
        write(&witness);
        let frugal = StatelessCommand { max_gas: parent.gas_limit - 1, ..command };
        assert!(frugal.execute().unwrap_err().to_string().contains("--max-gas"));
    }

    #[test]
    fn a_block_is_read_in_each_of_its_forms() {
        let header = ChainSpec::dev().genesis_header().inner().clone();
        let body = BlockBody { withdrawals: Some(Default::default()), ..BlockBody::default() };
        let block = RecoveredBlock::recover(Block::new(header, body)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("block");
        let text = hex::encode_prefixed(block.rlp());
        for form in [
            block.rlp(),
            text.clone().into_bytes(),
            format!("{text}\n").into_bytes(),
            json!(text).to_string().into_bytes(),
            json!({ "jsonrpc": "2.0", "id": 1, "result": text }).to_string().into_bytes(),
        ] {
            std::fs::write(&file, form).unwrap();
            assert_eq!(read_block(&file).unwrap(), block);
        }
        for bad in [&b""[..], b"0x1", b"\xc0", b"{}", b"nothing"] {
            std::fs::write(&file, bad).unwrap();
            assert!(read_block(&file).is_err(), "{bad:?}");
        }
        assert!(read_block(folder.path()).is_err());
    }
}
