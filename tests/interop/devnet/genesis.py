"""Genesis of the L2, and op-node's rollup configuration: the recorded devnet's, with forks at times of the test's choice."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT / "testdata/opstack"

CHAIN_ID = 901
BLOCK_TIME = 2

FORKS = ["regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst"]
# What op-geth wants to be told twice.
L1_FORKS = {"canyon": "shanghai", "ecotone": "cancun", "isthmus": "prague"}

# The well-known accounts of "test test … junk".
USER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
USER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BATCHER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
BATCHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
SIGNER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
SIGNER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


@dataclass
class Schedule:
    """Seconds after genesis at which forks come; forks before the first named one are active from genesis on."""

    after: dict = field(default_factory=lambda: {"isthmus": 16, "jovian": 40, "karst": 80})

    def time(self, fork: str, genesis: int) -> int | None:
        first = min((FORKS.index(name) for name in self.after), default=len(FORKS))
        if fork in self.after:
            return None if self.after[fork] is None else genesis + self.after[fork]
        return 0 if FORKS.index(fork) < first else None


def genesis(schedule: Schedule, time: int) -> dict:
    recorded = json.loads(gzip.decompress((RECORDED / "genesis-isthmus-jovian.json.gz").read_bytes()))
    config = {key: value for key, value in recorded["config"].items() if not key.endswith("Time")}
    for fork in FORKS:
        at = schedule.time(fork, time)
        if fork == "delta" or at is None:
            continue
        config[f"{fork}Time"] = at
        if fork in L1_FORKS:
            config[f"{L1_FORKS[fork]}Time"] = at
    extra = bytes.fromhex(recorded["extraData"][2:])
    jovian = schedule.time("jovian", time)
    if jovian is not None and jovian <= time:
        # Version 1, and a minimum base fee of zero.
        extra = b"\x01" + extra[1:] + bytes(8)
    return {**recorded, "config": config, "timestamp": hex(time), "extraData": "0x" + extra.hex()}


def economy_genesis(_: Schedule, time: int) -> dict:
    """The dev chain's: every fork through Karst from the start, and the economy."""
    dev = json.loads((ROOT / "genesis/dev.json").read_text())
    return {**dev, "timestamp": hex(time)}


def rollup(schedule: Schedule, time: int, l1_block: dict, l2_hash: str, l1_chain_id: int, deposits: str, system_config: str,
           chain_id: int) -> dict:
    recorded = json.loads((RECORDED / "rollup-isthmus-jovian.json").read_text())
    for fork in FORKS:
        recorded.pop(f"{fork}_time", None)
        if (at := schedule.time(fork, time)) is not None:
            recorded[f"{fork}_time"] = at
    recorded["genesis"]["l1"] = {"hash": l1_block["hash"], "number": int(l1_block["number"], 16)}
    recorded["genesis"]["l2"] = {"hash": l2_hash, "number": 0}
    recorded["genesis"]["l2_time"] = time
    recorded["genesis"]["system_config"]["batcherAddr"] = BATCHER.lower()
    recorded.update(l1_chain_id=l1_chain_id, l2_chain_id=chain_id, deposit_contract_address=deposits, l1_system_config_address=system_config, block_time=BLOCK_TIME)
    return recorded
