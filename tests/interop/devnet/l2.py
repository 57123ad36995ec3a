"""L2 clients and the rollup nodes that drive them."""

import json
import secrets
from pathlib import Path

from .genesis import BATCHER_KEY
from .process import Process, free_port, wait_until
from .rpc import Rpc

NAMESPACES = "admin,debug,eth,net,trace,txpool,web3,rpc,reth,miner,tributary"


class Client:
    """An L2 execution client: what all of them have in common."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.data = folder / name
        self.data.mkdir()
        self.secret_file = folder / f"{name}.jwt"
        self.secret = secrets.token_bytes(32)
        self.secret_file.write_text(self.secret.hex())
        self.http, self.ws, self.auth = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.rpc = Rpc(self.url)
        self.engine = Rpc(f"http://127.0.0.1:{self.auth}", self.secret)
        self.process: Process

    def start(self):
        self.process.start()
        wait_until(f"{self.name} answers", lambda: self.ready(), 60)

    def ready(self) -> bool:
        self.process.check()
        return self.rpc.number() >= 0 and self.engine.call("eth_chainId") is not None

    def restart(self):
        self.start()


class Tributary(Client):
    """Started as op-reth is."""

    def __init__(self, binary: Path, genesis: Path, folder: Path, name: str = "tributary", journal: bool = False, extra: list | None = None):
        super().__init__(name, folder)
        init = Process(f"{name}-init", [binary, "init", f"--datadir={self.data}", f"--chain={genesis}"], folder).start()
        assert init.popen.wait(60) == 0, init.tail()
        self.process = Process(name, [
            binary, "node", "--addr=127.0.0.1", "--authrpc.addr=127.0.0.1", f"--authrpc.jwtsecret={self.secret_file}",
            f"--authrpc.port={self.auth}", "--builder.deadline=2", "--builder.interval=100ms", f"--chain={genesis}", "--color=never",
            f"--datadir={self.data}", "--disable-discovery", "--http", f"--http.api={NAMESPACES}", "--http.addr=127.0.0.1",
            f"--http.port={self.http}", "--ipcdisable", f"--log.file.directory={self.data}/logs", "--log.stdout.format=json",
            "--nat=none", f"--p2p-secret-key={self.data}/p2p.key", "--port=0", "--txpool.minimum-priority-fee=1",
            *([] if journal else ["--txpool.nolocals"]),
            "--ws", f"--ws.api={NAMESPACES}", "--ws.addr=127.0.0.1", f"--ws.port={self.ws}", "-vvvv",
            *(extra or []),
        ], folder)

    def messages(self) -> list[dict]:
        """The JSON lines of its log so far."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class OpGeth(Client):
    def __init__(self, binaries: Path, genesis: Path, folder: Path, name: str = "op-geth"):
        super().__init__(name, folder)
        init = [binaries / "op-geth", "init", "--datadir", self.data, "--state.scheme", "hash", genesis]
        init = Process(f"{name}-init", init, folder).start()
        assert init.popen.wait(60) == 0, init.tail()
        self.process = Process(name, [
            binaries / "op-geth", "--datadir", self.data, "--networkid", 901, "--http", "--http.port", self.http,
            "--http.api", "eth,net,web3,debug,txpool,miner", "--authrpc.port", self.auth, "--authrpc.jwtsecret", self.secret_file,
            "--ipcdisable", "--port", 0, "--nodiscover", "--maxpeers", 0, "--gcmode", "archive", "--syncmode", "full",
            "--rollup.disabletxpoolgossip", "--state.scheme", "hash", "--cache", 128,
        ], folder)


class OpNode:
    def __init__(self, binaries: Path, folder: Path, l1, client: Client, files: dict, name: str, sequencer: bool,
                 extra: list | None = None, p2p: list | None = None):
        self.port, self.p2p_port = free_port(), free_port()
        self.rpc = Rpc(f"http://127.0.0.1:{self.port}")
        self.process = Process(name, [
            binaries / "op-node", "--l1", l1.url, "--l1.rpckind", "basic", "--l1.trustrpc", "--l1.beacon.ignore",
            "--l2", f"http://127.0.0.1:{client.auth}", "--l2.jwt-secret", client.secret_file, "--rollup.config", files["rollup"],
            "--rollup.l1-chain-config", files["l1"], "--verifier.l1-confs", 0, "--rpc.addr", "127.0.0.1", "--rpc.port", self.port, "--rpc.enable-admin", "--l1.epoch-poll-interval", "4s", "--l1.http-poll-interval", "1s",
            "--log.level", "DEBUG", *(["--p2p.disable"] if p2p is None else self.with_peers(folder / name) + p2p),
            *(["--sequencer.enabled", "--sequencer.l1-confs", 0] if sequencer else []), *(extra or []),
        ], folder)

    def start(self):
        self.process.start()
        return self

    def with_peers(self, folder: Path) -> list:
        folder.mkdir()
        return [
            "--p2p.listen.ip", "127.0.0.1", "--p2p.listen.tcp", self.p2p_port, "--p2p.advertise.ip", "127.0.0.1", "--p2p.no-discovery",
            # Its default ones have names, which it looks up although there is no discovery.
            "--p2p.bootnodes", f"enode://{'ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138' '7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f'}@127.0.0.1:1",
            "--p2p.priv.path", folder / "p2p.key", "--p2p.peerstore.path", folder / "peers", "--p2p.discovery.path", folder / "discovery",
        ]

    def multiaddress(self) -> str:
        """Where its peers find it."""
        return f"/ip4/127.0.0.1/tcp/{self.p2p_port}/p2p/{self.rpc.call('opp2p_self')['peerID']}"

    def sync_status(self) -> dict:
        return self.rpc.call("optimism_syncStatus")


def batcher(binaries: Path, folder: Path, l1, client: Client, node: OpNode) -> Process:
    return Process("batcher", [
        binaries / "op-batcher", "--l1-eth-rpc", l1.url, "--l2-eth-rpc", client.url, "--rollup-rpc", node.rpc.url,
        "--private-key", BATCHER_KEY, "--data-availability-type", "calldata", "--max-channel-duration", 2, "--poll-interval", "1s",
        "--num-confirmations", 1, "--sub-safety-margin", 4, "--rpc.port", free_port(), "--rpc.addr", "127.0.0.1",
        "--resubmission-timeout", "10s", "--txmgr.receipt-query-interval", "1s",
    ], folder)
