"""The whole stack, put together."""

import json
import shutil
import tempfile
from pathlib import Path

from .genesis import BATCHER, Schedule, genesis, rollup
from .l1 import DevL1
from .l2 import Client, OpGeth, OpNode, Tributary, batcher
from .process import Process, wait_until


class Devnet:
    """L1, one sequencer with its batcher, and as many verifiers as a scenario starts. Use as a context."""

    def __init__(self, tributary: Path, binaries: Path, keep: bool = False):
        self.tributary, self.binaries, self.keep = tributary, binaries, keep
        self.folder = Path(tempfile.mkdtemp(prefix="interop-"))
        self.files = {name: self.folder / f"{name}.json" for name in ("genesis", "rollup", "l1")}
        self.running: list[Process] = []
        self.l1 = DevL1(binaries, self.folder)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        for process in reversed(self.running):
            process.kill()
        if failure:
            for process in self.running:
                print(f"---- {process.name}: last words\n{process.tail(15)}")
            print(f"logs: {self.folder}")
        if not failure and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        for data in filter(Path.is_dir, self.folder.glob("*")):
            # Databases are large and of no use without their processes.
            shutil.rmtree(data, ignore_errors=True)

    def another(self) -> "Devnet":
        """A second one, with an L1 of its own."""
        return Devnet(self.tributary, self.binaries, self.keep)

    def watch(self, process: Process) -> Process:
        self.running.append(process)
        return process

    def start_l1(self, schedule: Schedule, age: int = 0, make=genesis):
        """L1, the deposit contract, and a genesis at the newest L1 block; or one that is so many seconds old, at the first.

        `make` gives the genesis of a schedule and a time.
        """
        self.watch(self.l1.process)
        self.l1.start()
        self.l1.fund(BATCHER, 1_000)
        anchor = self.l1.rpc.block("earliest" if age else "latest")
        time = int(self.l1.rpc.block("latest")["timestamp"], 16) - age
        made = make(schedule, time)
        self.chain_id = made["config"]["chainId"]
        self.files["genesis"].write_text(json.dumps(made))
        chain_id = int(self.l1.rpc.call("eth_chainId"), 16)
        self.files["l1"].write_text(json.dumps(self.l1.chain_config()))
        self.schedule, self.genesis_time = schedule, time
        self.anchor, self.l1_chain_id = anchor, chain_id

    def start_client(self, client: Client) -> Client:
        self.watch(client.process)
        client.start()
        if not self.files["rollup"].exists():
            config = rollup(
                self.schedule, self.genesis_time, self.anchor, client.rpc.block(0)["hash"], self.l1_chain_id, self.l1.deposits,
                self.l1.system_config, self.chain_id,
            )
            self.files["rollup"].write_text(json.dumps(config))
        return client

    def start_tributary(self, name: str = "tributary", journal: bool = False, extra: list | None = None) -> Tributary:
        """`journal`: transactions sent to it survive its death."""
        return self.start_client(Tributary(self.tributary, self.files["genesis"], self.folder, name, journal, extra))

    def start_op_geth(self) -> OpGeth:
        return self.start_client(OpGeth(self.binaries, self.files["genesis"], self.folder))

    def start_op_node(self, client: Client, sequencer: bool, extra: list | None = None, p2p: list | None = None) -> OpNode:
        """`p2p`: with peers, told so much about them."""
        name = f"op-node-{client.name}"
        node = OpNode(self.binaries, self.folder, self.l1, client, self.files, name, sequencer, extra, p2p)
        self.watch(node.process)
        node.start()
        wait_until(f"{name} answers", lambda: node.sync_status() is not None, 60)
        return node

    def start_batcher(self, client: Client, node: OpNode) -> Process:
        return self.watch(batcher(self.binaries, self.folder, self.l1, client, node)).start()

    def check(self):
        """All processes live."""
        for process in self.running:
            process.check()

    def stop(self, process: Process):
        """Stops one on purpose; it need not live any more."""
        self.running.remove(process)
        process.stop()

    def wait_for(self, what: str, holds, timeout: float):
        """wait_until, and every process goes on living meanwhile."""
        def ask():
            self.check()
            return holds()

        return wait_until(what, ask, timeout, 0.5)
