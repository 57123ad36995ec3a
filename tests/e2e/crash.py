#!/usr/bin/env python3
"""kill -9 of the node at random instants of a demo, and a restart each time: nothing acknowledged is lost, nothing is paid twice.

Besides the demo, other payers ask through the proxy all the while and keep the id of every answer that they got. At the end of each
chain a demo has to pass, and the oracle's books over all of the agent's batches have to hold: every answer in exactly one record, every
channel debited by exactly its records, nobody's claims above what the books credit.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/oracle"), str(ROOT / "tests/interop")]

from devnet.process import free_port  # noqa: E402
from oracle.batches import Blobs, committed  # noqa: E402
from oracle.books import Books  # noqa: E402
from oracle.chain import Chain  # noqa: E402
from oracle.hashing import unhex  # noqa: E402
from oracle.rpc import Rpc  # noqa: E402

CAST = ROOT / "tests/clients/node_modules/.bin/cast"
JUNK = "test test test test test test test test test test test junk"
ASKERS = 2


class Node:
    """A dev node over one data directory, started and killed again and again."""

    def __init__(self, binary: str, work: pathlib.Path, *flags: str):
        self.binary, self.work, self.flags, self.process = binary, work, flags, None
        self.http, self.ws, self.api, self.da = (free_port() for _ in range(4))
        self.rpc = f"http://127.0.0.1:{self.http}"

    def command(self) -> list:
        command = [
            self.binary, "dev", "--datadir", self.work / "data", "--http.port", self.http, "--ws.port", self.ws, "--api.port", self.api,
            "--da.memstore-port", self.da, "--metrics", f"127.0.0.1:{free_port()}", "--batch.interval", "1s",
            *self.flags,
        ]
        return list(map(str, command))

    def start(self):
        with open(self.work / "node.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended with {self.process.returncode}")
            try:
                if requests.get(f"http://127.0.0.1:{self.api}/health", timeout=1).ok and self.head():
                    return
            except (requests.RequestException, RuntimeError):
                pass
            time.sleep(0.1)
        raise RuntimeError("the node does not answer")

    def head(self) -> tuple:
        block = Rpc(self.rpc).call("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), block["hash"]

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class Observer(threading.Thread):
    """Remembers the highest block that the node told anyone of."""

    def __init__(self, node: Node):
        super().__init__(daemon=True)
        self.node, self.seen, self.stopped = node, (0, None), False

    def run(self):
        while not self.stopped:
            try:
                self.seen = self.node.head()
            except (requests.RequestException, RuntimeError):
                return
            time.sleep(0.01)


class Asker(threading.Thread):
    """A payer that asks through the proxy, whatever becomes of the node, and keeps the ids of the answers it got."""

    def __init__(self, url: str, model: str, name: int):
        super().__init__(daemon=True)
        self.url, self.model, self.name_, self.stopped = url, model, name, False
        self.answered = []

    def run(self):
        count = 0
        while not self.stopped:
            count += 1
            body = {
                "model": self.model, "max_tokens": 12, "temperature": 0,
                "messages": [{"role": "user", "content": f"Asker {self.name_} counts to {count}."}],
            }
            try:
                answer = requests.post(f"{self.url}/v1/chat/completions", json=body, timeout=60)
                if answer.ok:
                    self.answered.append(unhex(answer.json()["tributary"]["requestId"]))
                    continue
            except (requests.RequestException, ValueError):
                pass
            time.sleep(0.2)


class Trial:
    """One chain and everything that is done to it."""

    def __init__(self, binary: str, work: pathlib.Path, chance: random.Random):
        self.binary, self.work, self.chance = binary, work, chance
        self.node = Node(binary, work)
        self.proxy, self.askers = None, []
        (work / "password").write_text("crash test")
        self.env = os.environ | {
            "TRIBUTARY_RPC": self.node.rpc, "TRIBUTARY_API": f"http://127.0.0.1:{self.node.api}",
            "TRIBUTARY_KEYSTORE": str(work / "wallet"), "TRIBUTARY_PASSWORD_FILE": str(work / "password"),
            "TRIBUTARY_LEDGERS": str(work / "ledgers"),
        }

    def cli(self, *args) -> dict:
        done = subprocess.run(
            [self.binary, *map(str, args), "--json"], env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(f"tributary {' '.join(map(str, args))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def demo(self) -> subprocess.Popen:
        command = [self.binary, "demo", "--store", str(self.work / "documents"), "--json"]
        with open(self.work / "demo.log", "ab") as log:
            return subprocess.Popen(command, env=self.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)

    def crash(self, name: str, longest: float):
        """Runs a demo and kills the node in its middle."""
        observer, demo = Observer(self.node), self.demo()
        observer.start()
        delay = self.chance.uniform(0.2, longest)
        try:
            demo.wait(delay)
        except subprocess.TimeoutExpired:
            pass
        self.node.kill()
        observer.stopped = True
        observer.join()
        try:
            demo.wait(5)
        except subprocess.TimeoutExpired:
            demo.kill()
        demo.communicate()
        self.node.start()
        number, seen = observer.seen
        if seen:
            block = Rpc(self.node.rpc).call("eth_getBlockByNumber", hex(number), False)
            kept = block and block["hash"]
            assert kept == seen, f"{name}: block {number} was {seen}, after the restart it is {kept}"
        print(f"  {name}: killed after {delay:.1f} s at block {number}; {sum(len(a.answered) for a in self.askers)} answers so far", flush=True)

    def open_channel(self):
        """A wallet of its own, its channel, and the proxy and askers that use it; once the demo has registered its agent."""
        status = Rpc(self.node.rpc).call("tributary_workerStatus")
        if self.proxy or status["agentId"] is None:
            return
        address = self.cli("wallet", "new", self.work / "wallet")["address"]
        send = [CAST, "send", "--rpc-url", self.node.rpc, "--mnemonic", JUNK, address, "--value", "10ether"]
        subprocess.run(send, check=True, capture_output=True)
        channel = self.cli("channel", "open", int(status["agentId"], 16), 5)["channel"]
        port = free_port()
        command = [self.binary, "proxy", "--listen", f"127.0.0.1:{port}", "--channel", channel]
        with open(self.work / "proxy.log", "ab") as log:
            self.proxy = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        self.askers = [Asker(f"http://127.0.0.1:{port}", status["model"]["name"], n) for n in range(ASKERS)]
        for asker in self.askers:
            asker.start()

    def finish(self):
        """A demo that nobody disturbs, then the audit."""
        demo = self.demo()
        said, _ = demo.communicate(timeout=600)
        failed = [check for check in json.loads(said)["checks"] if not check["ok"]] if said else "no report"
        assert demo.returncode == 0, f"the demo after the crashes exited with {demo.returncode}: {failed}"
        self.open_channel()
        deadline = time.monotonic() + 60
        while not any(asker.answered for asker in self.askers) and time.monotonic() < deadline:
            time.sleep(0.1)
        answered = [request for asker in self.askers for request in self.stop(asker)]
        self.audit(json.loads(said), answered)

    @staticmethod
    def stop(asker: Asker) -> list:
        asker.stopped = True
        asker.join()
        return asker.answered

    def audit(self, said: dict, answered: list):
        rpc = Rpc(self.node.rpc)
        agent = int(rpc.call("tributary_workerStatus")["agentId"], 16)
        wanted = set(answered) | {unhex(answer["requestId"]) for answer in said["answers"]}
        assert len(answered) == len(set(answered)) and answered, "answers under one id, or none at all"
        deadline = time.monotonic() + 120
        while True:
            books, moved = self.books(rpc, agent)
            missing = wanted - {request for _, request in moved}
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(1)
        assert not missing, f"{len(missing)} of {len(wanted)} acknowledged answers are in no batch"
        chain = Chain(rpc)
        spent = collections.Counter()
        for (channel, _), record in moved.items():
            spent[channel] += record["record"].fee
        for channel, fees in spent.items():
            books.equal(f"settled of channel {channel.hex()}", chain.channel(channel)[6], fees)
        for account, cumulative in books.tree.accounts:
            books.equal(f"claims of {account.hex()} are covered", chain.claimed(agent, account) <= cumulative, True)
        assert not books.faults, "\n".join(books.faults)
        print(
            f"  {books.last_seq} batches, {len(moved)} records, {len(wanted)} answers acknowledged, none lost; "
            f"{books.compared} comparisons, all equal",
            flush=True,
        )

    def books(self, rpc: Rpc, agent: int) -> tuple:
        chain, moved = Chain(rpc), {}
        books, blobs = Books(chain, int(rpc.call("eth_chainId"), 16), agent), Blobs(f"http://127.0.0.1:{self.node.da}", None)
        for batch in committed(rpc, agent):
            moved |= books.batch(blobs.fetch(batch), batch.header, batch.totals, batch.debits, batch.block)
        return books, moved

    def close(self):
        for process in (self.proxy, self.node.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("TRIBUTARY"), help="the tributary binary")
    parser.add_argument("--chains", type=int, default=2, help="chains to begin anew")
    parser.add_argument("--crashes", type=int, default=10, help="kills on each chain")
    parser.add_argument("--longest", type=float, default=24, help="a demo's last instant to be killed at, in seconds")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    args = parser.parse_args()
    print(f"crash test, seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    for chain in range(args.chains):
        work = pathlib.Path(tempfile.mkdtemp(prefix="tributary-crash-"))
        trial = Trial(args.binary, work, chance)
        try:
            trial.node.start()
            for crash in range(args.crashes):
                trial.open_channel()
                trial.crash(f"chain {chain + 1}, crash {crash + 1}", args.longest)
            trial.finish()
        except BaseException:
            print(f"crash test FAILED with seed {args.seed}; its files are in {work}", file=sys.stderr)
            trial.close()
            raise
        trial.close()
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
