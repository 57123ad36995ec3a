#!/usr/bin/env python3
"""A node in bad circumstances: a clear line, and nothing lost.

Ports in use, a directory of another chain, a model or a key that is not one, a disk that fills up under a running node: each ends it with a
non-zero exit. DA that fails, or is slow: answers wait for it. Strangers who use what anyone may call: nobody loses anything.
"""

import argparse
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

import requests

from crash import CAST, JUNK, ROOT, Node
from oracle.batches import HEADER_TYPE, TOTALS_TYPE, committed
from oracle.chain import AGENTS, ATTRIBUTION
from oracle.hashing import keccak256
from oracle.rpc import Rpc

BATCH = f"(uint8,bool,uint64,uint64,uint64,uint128,bytes32,bytes32,address,uint64,uint32,{HEADER_TYPE},{TOTALS_TYPE})"

# Most bytes of any file of a node whose disk is "full": the log of the database passes it within seconds.
FULL = 3 * 1024 * 1024
PATIENCE = 120


def run(node: Node, *more, limit=None) -> subprocess.CompletedProcess:
    """A start that is expected to end by itself."""

    def restrict():
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # Python ignores SIGXFSZ; the node inherits that, so that a write beyond the limit fails instead of killing it.
    return subprocess.run(
        [*node.command(), *map(str, more)], capture_output=True, text=True, timeout=PATIENCE, check=False, preexec_fn=restrict, restore_signals=False
    )


def refused(what: str, done: subprocess.CompletedProcess, *words: str):
    last = done.stderr.strip().splitlines()[-1:] or [""]
    assert done.returncode not in (0, None) and done.returncode > 0, f"{what}: exit {done.returncode}\n{done.stderr}"
    assert "panicked" not in done.stderr, f"{what}: {done.stderr}"
    for word in words:
        assert word in done.stderr, f"{what}: nothing says {word!r}:\n{done.stderr[-2000:]}"
    print(f"  {what}: {last[0][:160]}", flush=True)


def ports_in_use(binary: str, work: pathlib.Path):
    for flag in ("http", "ws", "api", "da"):
        node = Node(binary, work)
        port = getattr(node, flag)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            refused(f"--{flag} port in use", run(node), str(port), "in use")


def another_chain(binary: str, work: pathlib.Path):
    genesis = json.loads((ROOT / "genesis/dev.json").read_text())
    genesis["timestamp"] = hex(int(str(genesis["timestamp"]), 0) + 1)
    other = work / "other.json"
    other.write_text(json.dumps(genesis))
    refused("a directory of another chain", run(Node(binary, work), "--chain", other), "genesis")


def not_what_they_seem(binary: str, work: pathlib.Path):
    noise = work / "noise"
    noise.write_bytes(os.urandom(4096))
    refused("a model that is none", run(Node(binary, work), "--model", noise), str(noise))
    refused("a key that is none", run(Node(binary, work), "--operator.key", noise), str(noise))
    refused("a flag that is none", run(Node(binary, work), "--no-such-flag"), "--no-such-flag")


def full_disk(binary: str, work: pathlib.Path):
    """Blocks go on until the database cannot grow; the node stops by itself, and what it had told of is there afterwards."""
    node = Node(binary, work)
    done = run(node, "--dev.block-time", "10ms", limit=FULL)
    refused("a full disk", done, "can no longer be written")
    sealed = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if "Block" in line]
    node.start()
    number, _ = node.head()
    node.kill()
    assert number > 0, "nothing was written at all"
    print(f"  … and block {number} is there after a restart ({len(sealed)} lines about blocks)", flush=True)


def told_to_stop(binary: str, work: pathlib.Path):
    """SIGTERM in the middle of an answer, while somebody else is in the middle of a request: the answer is finished, nobody is waited for."""
    node = Node(binary, work, "--payments", "off")
    node.start()
    half = socket.create_connection(("127.0.0.1", node.http))
    half.sendall(b"POST / HT")
    api = f"http://127.0.0.1:{node.api}/v1"
    model = requests.get(f"{api}/models", timeout=10).json()["data"][0]["id"]
    body = {"model": model, "prompt": "Once", "max_tokens": 300, "ignore_eos": True, "stream": True}
    try:
        answer = requests.post(f"{api}/completions", json=body, stream=True, timeout=PATIENCE)
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        node.process.terminate()
        rest = list(lines)
        assert rest[-1] == b"data: [DONE]" and len(rest) > 100, f"the answer was cut: {rest[-2:]}"
        code = node.process.wait(PATIENCE)
        assert code == 0, f"exit {code}"
        print(f"  told to stop in the middle of an answer: {len(rest)} more chunks came, then exit 0", flush=True)
    finally:
        half.close()
        node.kill()


def da_fails(binary: str, work: pathlib.Path):
    """A demo whose answers are given while nobody answers for DA; it comes late, and then it is slow: the batch waits and gets there."""
    other = Node(binary, work / "other")
    other.work.mkdir()
    node = Node(binary, work, "--da", f"http://127.0.0.1:{other.da}")
    node.start()
    rpc = Rpc(node.rpc)
    env = os.environ | {"TRIBUTARY_RPC": node.rpc, "TRIBUTARY_API": f"http://127.0.0.1:{node.api}"}
    command = [binary, "demo", "--store", str(work / "documents"), "--json"]
    demo = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 2 * PATIENCE
        while int(rpc.call("tributary_workerStatus")["openBatches"], 16) == 0:
            assert demo.poll() is None and time.monotonic() < deadline, f"no batch was packed: {demo.communicate()}"
            time.sleep(0.2)
        time.sleep(3)
        agent = int(rpc.call("tributary_workerStatus")["agentId"], 16)
        head = node.head()[0]
        assert not committed(rpc, agent), "a batch went past a DA that is down"
        other.start()
        slow = {"PutLatency": "2s", "GetLatency": "1s"}
        requests.patch(f"http://127.0.0.1:{other.da}/memstore/config", json=slow, timeout=5).raise_for_status()
        out, errors = demo.communicate(timeout=2 * PATIENCE)
        assert demo.returncode == 0, f"the demo failed after DA came back: {errors}{out}"
        assert node.head()[0] > head, "the chain stood still"
        print(f"  DA down, then slow: {len(committed(rpc, agent))} batches waited for it, all final", flush=True)
    finally:
        demo.kill()
        node.kill()
        other.kill()


def strangers(binary: str, work: pathlib.Path):
    """Someone names the node's operator as his own agent's, and asks for the bytes of a batch: neither takes anything from anyone."""
    node = Node(binary, work)
    node.start()
    rpc = Rpc(node.rpc)
    env = os.environ | {"TRIBUTARY_RPC": node.rpc, "TRIBUTARY_API": f"http://127.0.0.1:{node.api}"}
    command = [binary, "demo", "--store", str(work / "documents"), "--json"]
    send = [str(CAST), "send", "--rpc-url", node.rpc, "--mnemonic", JUNK, "--mnemonic-index", "5", "--json"]
    try:
        subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, timeout=2 * PATIENCE)
        status = rpc.call("tributary_workerStatus")
        agent = int(status["agentId"], 16)
        register = ["0x" + AGENTS.hex(), "register(uint8,string,string,address)", "0", "", "", status["operator"], "--value", "1ether"]
        subprocess.run([*send, *register], check=True, capture_output=True, timeout=PATIENCE)
        assert int(rpc.call("tributary_workerStatus")["agentId"], 16) == agent, "a stranger's agent took the node over"

        known = len(committed(rpc, agent))
        demo = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(committed(rpc, agent)) == known:
            assert demo.poll() is None, f"the demo ended early: {demo.communicate()}"
            time.sleep(0.1)
        batch = committed(rpc, agent)[-1].id
        (state,) = rpc.view(ATTRIBUTION, "getBatch(bytes32)", f"({BATCH})", batch)
        challenge = ["0x" + ATTRIBUTION.hex(), "challengeAvailability(bytes32)", "0x" + batch.hex(), "--value", str(state[5])]
        done = subprocess.run([*send, *challenge], check=True, capture_output=True, text=True, timeout=PATIENCE)
        assert json.loads(done.stdout)["status"] == "0x1", done.stdout
        out, errors = demo.communicate(timeout=2 * PATIENCE)
        assert demo.returncode == 0, f"the demo failed under a challenge: {errors}{out}"
        answered = rpc.logs(ATTRIBUTION, [keccak256(b"AvailabilityAnswered(bytes32,address,uint128,uint64)"), batch])
        assert len(answered) == 1, "nobody answered the challenge"
        print("  a stranger's agent and a challenge: the agent stayed, the records went on chain, the batch became final", flush=True)
    finally:
        node.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("TRIBUTARY"), help="the tributary binary")
    binary = parser.parse_args().binary
    print("a node in bad circumstances", flush=True)
    with tempfile.TemporaryDirectory(prefix="tributary-trouble-") as folder:
        work = pathlib.Path(folder)
        node = Node(binary, work)
        node.start()
        node.kill()
        for case in (ports_in_use, another_chain, not_what_they_seem, full_disk, told_to_stop, da_fails, strangers):
            case(binary, work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
