#!/usr/bin/env python3
"""kill -9 of a node at random instants while blocks are built and imported through the Engine API, and a look into its database each time.

This script is the rollup node: it chooses heads, begins payloads, takes them, hands them to a second node, and now and then goes back some
blocks. What a fork choice was answered VALID for must be there after the kill, with its labels; `tributary db verify` must find the database
whole: it recomputes the state's root from the leaves, and checks the indices.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import requests
import rlp

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))

from devnet.genesis import CHAIN_ID, USER_KEY, Schedule, genesis  # noqa: E402
from devnet.l2 import Tributary  # noqa: E402
from eth_account import Account  # noqa: E402
from eth_utils import to_checksum_address  # noqa: E402

TIME = 1_800_000_000
TRANSACTIONS = 12
ZERO = "0x" + "00" * 32


def deposit(number: int) -> bytes:
    """The L1-attributes deposit of a Jovian block; what it says is of no matter here, but that no two are the same."""
    sender, target = "deaddeaddeaddeaddeaddeaddeaddeaddead0001", "4200000000000000000000000000000000000015"
    fields = [b"", b"", (1_000_000).to_bytes(3), b"", bytes.fromhex("3db6be2b") + bytes(174)]
    return b"\x7e" + rlp.encode([number.to_bytes(32), bytes.fromhex(sender), bytes.fromhex(target), *fields])


class Dead(Exception):
    """The node was killed in the middle of a call."""


class Driver:
    """A rollup node for one client: what it was told, and what it may rely on."""

    def __init__(self, client: Tributary, other: Tributary, dice: random.Random, reorgs: float):
        self.client, self.other, self.dice, self.reorgs = client, other, dice, reorgs
        self.account = Account.from_key(USER_KEY)
        # Head, safe and finalized as of the last answer that came; and of the last question, which may have been carried out.
        self.told = self.asked = None
        self.blocks: dict[str, tuple[int, str]] = {}
        self.calls = self.acknowledged = self.reorganised = 0

    def engine(self, method: str, *params):
        self.calls += 1
        try:
            return self.client.engine.call(method, *params)
        except (requests.RequestException, ValueError) as error:
            raise Dead(method) from error

    def choose(self, head: str, attributes: dict | None = None):
        number = self.number(head)
        safe, final = self.ancestor(head, min(3, number)), self.ancestor(head, min(12, number))
        finalized = max(final, self.told[2] if self.told else final, key=self.number)
        if self.number(safe) < self.number(finalized):
            safe = finalized
        self.asked = (head, safe, finalized)
        answer = self.engine(
            "engine_forkchoiceUpdatedV3",
            {"headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": finalized}, attributes,
        )
        assert answer["payloadStatus"]["status"] == "VALID", answer
        self.told = self.asked
        self.acknowledged += 1
        return answer["payloadId"]

    def number(self, block: str) -> int:
        return self.blocks[block][0]

    def ancestor(self, block: str, steps: int) -> str:
        for _ in range(steps):
            block = self.blocks[block][1]
        return block

    def step(self):
        """One block: begun, taken, imported, chosen."""
        head = self.told[0]
        if self.dice.random() < self.reorgs and self.number(head) - self.number(self.told[2]) > 4:
            head = self.ancestor(head, self.dice.randint(1, 3))
            self.reorganised += 1
        payload = self.choose(head, self.attributes(head))
        envelope = self.engine("engine_getPayloadV5", payload)
        block = envelope["executionPayload"]
        self.blocks[block["blockHash"]] = (int(block["blockNumber"], 16), block["parentHash"])
        params = [block, [], envelope["parentBeaconBlockRoot"], []]
        assert self.engine("engine_newPayloadV4", *params)["status"] == "VALID"
        # A node that nobody kills finds the same.
        assert self.other.engine.call("engine_newPayloadV4", *params)["status"] == "VALID"
        state = {"headBlockHash": block["blockHash"], "safeBlockHash": ZERO, "finalizedBlockHash": ZERO}
        self.other.engine.call("engine_forkchoiceUpdatedV3", state, None)
        self.choose(block["blockHash"])

    def attributes(self, parent: str) -> dict:
        number = self.number(parent) + 1
        return {
            "timestamp": hex(TIME + 2 * number), "prevRandao": "0x" + self.dice.randbytes(32).hex(),
            "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011", "withdrawals": [], "parentBeaconBlockRoot": ZERO,
            "transactions": ["0x" + deposit(self.dice.randrange(1 << 64)).hex(), *self.transfers(number)], "noTxPool": True, "gasLimit": hex(60_000_000),
            "eip1559Params": "0x000000fa00000006", "minBaseFee": 0,
        }

    def transfers(self, number: int) -> list[str]:
        """The account's transactions are the same number in each block, so that its nonce follows from the height."""
        raw = []
        for index in range(TRANSACTIONS):
            tx = {
                "chainId": CHAIN_ID, "nonce": (number - 1) * TRANSACTIONS + index, "gas": 21_000, "maxFeePerGas": 20 * 10**9,
                "maxPriorityFeePerGas": 10**6, "to": to_checksum_address("0x" + self.dice.randbytes(20).hex()), "value": 1 + index,
            }
            raw.append("0x" + self.account.sign_transaction(tx).raw_transaction.hex().removeprefix("0x"))
        return raw

    def recover(self):
        """After a kill: what was answered holds, or what was asked last."""
        labels = tuple((self.client.rpc.block(label) or {"hash": None})["hash"] for label in ("latest", "safe", "finalized"))
        assert labels[0] in (self.told[0], self.asked[0]), f"head {labels[0]}, acknowledged {self.told}, asked {self.asked}"
        for label, told, asked in zip(labels[1:], self.told[1:], self.asked[1:]):
            assert label in (told, asked) or (label is None and self.number(told) == 0), (labels, self.told, self.asked)
        # A question without an answer may have been carried out in part; from here on what is there counts.
        self.told = self.asked = tuple(label or told for label, told in zip(labels, self.told))
        number = self.number(self.told[0])
        for back in (0, 1, 7):
            if back <= number:
                want = self.ancestor(self.told[0], back)
                assert self.client.rpc.block(number - back)["hash"] == want, f"block {number - back}"
        nonce = int(self.client.rpc.call("eth_getTransactionCount", self.account.address, "latest"), 16)
        assert nonce == number * TRANSACTIONS, f"state of block {nonce // TRANSACTIONS} at block {number}"


def verify(binary: pathlib.Path, client: Tributary, chain: pathlib.Path):
    command = [binary, "db", "verify", f"--datadir={client.data}", f"--chain={chain}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"db verify: {done.stdout}{done.stderr}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tributary", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--reorgs", type=float, default=0.15, help="part of the blocks that begin another branch")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 32)
    dice = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kills-"))
    chain = folder / "genesis.json"
    chain.write_text(json.dumps(genesis(Schedule({}), TIME)))
    binary = args.tributary.resolve()
    client, other = (Tributary(binary, chain, folder, name) for name in ("killed", "witness"))
    started = time.monotonic()
    try:
        for node in (client, other):
            node.start()
        driver = Driver(client, other, dice, args.reorgs)
        first = client.rpc.block(0)["hash"]
        driver.blocks[first] = (0, ZERO)
        driver.choose(first)
        for kill in range(args.kills):
            timer = threading.Timer(dice.uniform(0.02, 0.9), client.process.kill)
            timer.start()
            try:
                while True:
                    driver.step()
            except Dead:
                pass
            timer.join()
            verify(binary, client, chain)
            client.restart()
            driver.recover()
            if kill % 20 == 19:
                print(f"  {kill + 1} kills, block {driver.number(driver.told[0])}, {driver.acknowledged} heads acknowledged", flush=True)
        client.process.stop()
        verify(binary, client, chain)
        client.restart()
        driver.recover()
    except BaseException:
        print(f"kills: FAILED with --seed {seed}; files: {folder}\n{client.process.tail(20)}", file=sys.stderr)
        raise
    finally:
        client.process.kill()
        other.process.kill()
    shutil.rmtree(folder)
    print(
        f"kills: {args.kills} in {time.monotonic() - started:.0f} s; {driver.acknowledged} heads acknowledged, none lost; "
        f"{driver.reorganised} reorganisations; the database whole each time"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
