"""An agent's committed batches, from events, calldata and DA."""

import pathlib

import requests

from .abi import decode, selector
from .books import HEADER
from .chain import ATTRIBUTION
from .formats import TOTALS
from .hashing import keccak256, unhex, word

HEADER_TYPE = "(uint64,uint64,bytes32,bytes32,uint32,uint32,bytes32,bytes32,uint32,bytes32)"
DEBIT_TYPE = "(bytes32,uint256,bytes32,uint128)"
TOTALS_TYPE = "(uint128,uint128,uint128,uint128,uint128,uint128)"
EVENT = f"BatchCommitted(bytes32,uint64,uint64,{HEADER_TYPE},bytes,(bytes32,uint128)[],{TOTALS_TYPE},uint64,uint128)"
EVENT_DATA = f"({HEADER_TYPE},bytes,(bytes32,uint128)[],{TOTALS_TYPE},uint64,uint128)"
CALL = f"commitBatch({HEADER_TYPE},bytes,{DEBIT_TYPE}[],bytes[],{TOTALS_TYPE})"
CALL_DATA = f"({HEADER_TYPE},bytes,{DEBIT_TYPE}[],bytes[],{TOTALS_TYPE})"


class Committed:
    """A batch as the chain has it."""

    def __init__(self, rpc, log):
        self.id = unhex(log["topics"][1])
        self.agent, self.seq = int(log["topics"][2], 16), int(log["topics"][3], 16)
        self.block, self.tx = int(log["blockNumber"], 16), log["transactionHash"]
        header, self.commitment, debits, totals, _, _ = decode(EVENT_DATA, unhex(log["data"]))
        self.header = dict(zip(HEADER, header))
        self.totals = dict(zip(TOTALS, totals))
        self.debits = [{"channel": channel, "amount": amount} for channel, amount in debits]
        self._vouchers(rpc)

    def _vouchers(self, rpc):
        """Vouchers are in the calldata, when the batch was committed by a plain call."""
        data = unhex(rpc.call("eth_getTransactionByHash", self.tx)["input"])
        if data[:4] != selector(CALL):
            return
        _, _, debits, signatures, _ = decode(CALL_DATA, data[4:])
        self.debits = [
            {"channel": d[0], "cumulative": d[1], "requestHash": d[2], "amount": d[3], "signature": signature}
            for d, signature in zip(debits, signatures)
        ]


def committed(rpc, agent: int) -> list:
    logs = rpc.logs(ATTRIBUTION, [keccak256(EVENT.encode()), None, word(agent)])
    return sorted((Committed(rpc, log) for log in logs), key=lambda batch: batch.seq)


class Blobs:
    """Batch bytes: from a folder of <batchHash>.bin, or from a proxy by commitment."""

    def __init__(self, proxy, folder):
        self.proxy, self.folder = proxy, pathlib.Path(folder) if folder else None

    def fetch(self, batch: Committed) -> bytes:
        want = batch.header["batchHash"]
        data = self._read(batch, want)
        if keccak256(data) != want:
            raise RuntimeError(f"batch {batch.seq}: the bytes are not those committed")
        return data

    def _read(self, batch: Committed, want: bytes) -> bytes:
        file = self.folder / f"{want.hex()}.bin" if self.folder else None
        if file and file.exists():
            return file.read_bytes()
        if not self.proxy or not batch.commitment:
            raise RuntimeError(f"batch {batch.seq}: no source of its bytes (commitment {batch.commitment.hex() or 'none'})")
        url = f"{self.proxy.rstrip('/')}/get/0x{batch.commitment.hex()}?commitment_mode=standard"
        answer = requests.get(url, timeout=60)
        answer.raise_for_status()
        return answer.content
