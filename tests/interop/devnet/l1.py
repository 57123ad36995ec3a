"""The L1: geth --dev, with a contract that does nothing but emit deposits."""

from pathlib import Path

from .genesis import SIGNER
from .process import Process, free_port, wait_until
from .rpc import Rpc

BLOCK_TIME = 2

# keccak256("TransactionDeposited(address,address,uint256,bytes)")
DEPOSITED = "b3813568d9991fc951961fcb4c784893574240a28925604d09fc577c55bb7c32"

# Logs calldata[32:] with the topics (event, caller, calldata[:32], version 0). The derivation reads nothing but the log.
RUNTIME = bytes.fromhex("60203603" "80" "6020" "6000" "37" "6000" "600035" "33" "7f" + DEPOSITED + "84" "6000" "a4" "00")
INIT = bytes([0x60, len(RUNTIME), 0x80, 0x60, 0x0B, 0x60, 0, 0x39, 0x60, 0, 0xF3]) + RUNTIME


# Has nothing but a storage slot: keccak256("systemconfig.unsafeblocksigner") - 1, the address whose blocks op-nodes believe.
SIGNER_SLOT = "65a7ed542fb37fe237fdfbdd70b31598523fe5b32879e307bae27a0bd9581c08"
SYSTEM_CONFIG = bytes.fromhex("73" + SIGNER.removeprefix("0x") + "7f" + SIGNER_SLOT + "55" "60006000f3")


class L1:
    """An L1 with an unlocked rich account, wherever it runs."""

    def __init__(self, url: str):
        self.url, self.rpc = url, Rpc(url)
        self.rich = self.deposits = self.system_config = None

    def deploy(self):
        """The two contracts, as soon as there are blocks."""
        wait_until("L1 makes blocks", lambda: self.rpc.number() >= 2)
        self.rich = self.rpc.call("eth_accounts")[0]
        self.deposits = self.send({"data": "0x" + INIT.hex()})["contractAddress"]
        self.system_config = self.send({"data": "0x" + SYSTEM_CONFIG.hex()})["contractAddress"]

    def send(self, tx: dict) -> dict:
        """A transaction of the rich account; waits for its receipt."""
        tx_hash = self.rpc.call("eth_sendTransaction", {"from": self.rich, "gas": hex(3_000_000), **tx})
        receipt = wait_until("L1 transaction", lambda: self.rpc.receipt(tx_hash), 30)
        assert receipt["status"] == "0x1", receipt
        return receipt

    def fund(self, address: str, ether: int):
        self.send({"to": address, "value": hex(ether * 10**18), "gas": hex(21_000)})

    def deposit(self, to: str, mint: int = 0, value: int = 0, gas: int = 100_000, data: bytes = b"", create: bool = False) -> dict:
        """A deposit of the rich account, as the portal would emit it."""
        opaque = mint.to_bytes(32) + value.to_bytes(32) + gas.to_bytes(8) + bytes([create]) + data
        padded = opaque + bytes(-len(opaque) % 32)
        target = bytes(12) + bytes.fromhex(to.removeprefix("0x"))
        calldata = target + (32).to_bytes(32) + len(opaque).to_bytes(32) + padded
        return self.send({"to": self.deposits, "data": "0x" + calldata.hex()})

    def chain_config(self) -> dict:
        """What op-node wants to know of this L1. Forks it has not heard of are left out."""
        config = self.rpc.call("admin_nodeInfo")["protocols"]["eth"]["config"]
        return {"config": {key: value for key, value in config.items() if key not in ("bogotaTime", "amsterdamTime")}}


class DevL1(L1):
    """geth --dev, in a process of ours."""

    def __init__(self, binaries: Path, folder: Path):
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.process = Process("l1", [
            binaries / "geth", "--dev", "--dev.period", BLOCK_TIME, "--datadir", folder / "l1", "--http", "--http.port", self.port,
            "--http.api", "eth,net,web3,debug,admin", "--ipcdisable", "--port", 0, "--authrpc.port", free_port(), "--nodiscover",
            "--gcmode", "archive", "--cache", 128,
        ], folder)

    def start(self):
        self.process.start()
        self.deploy()
