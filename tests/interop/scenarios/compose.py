"""docker-compose.yml, its commands run by the binaries built here: the network is made, blocks are built and become safe."""

import json
import subprocess
import sys

import requests

from devnet.genesis import ROOT
from devnet.compose import Compose
from devnet.process import Process, wait_until
from devnet.rpc import Rpc
from devnet.stack import Devnet


def run(devnet: Devnet):
    compose = Compose(ROOT / "docker-compose.yml", devnet.folder)
    binaries = {"l1": devnet.binaries / "geth", "tributary": devnet.tributary}
    compose.check_pinned()
    compose.check_scraped()
    for service, binary in {**binaries, "op-node": devnet.binaries / "op-node", "op-batcher": devnet.binaries / "op-batcher"}.items():
        compose.check_flags(service, binary)

    def start(service: str, binary, skip: int = 0):
        command = [binary, *compose.words(service)[skip:]]
        return devnet.watch(Process(service, command, devnet.folder)).start()

    start("l1", binaries["l1"])
    setup = [sys.executable, ROOT / "docker/setup.py", *compose.words("setup")[:-1], devnet.tributary]
    done = subprocess.run(list(map(str, setup)), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    # The proxy cannot be had here: the node's own memstore stands in, behind the same routes.
    compose.replace("tributary", "--da", "memstore")
    start("tributary", binaries["tributary"])
    rpc = Rpc("http://127.0.0.1:8545")
    wait_until("the node answers", lambda: rpc.number() >= 0, 60)
    genesis = json.loads((devnet.folder / "config/rollup.json").read_text())["genesis"]["l2"]["hash"]
    assert rpc.block(0)["hash"] == genesis
    start("op-node", devnet.binaries / "op-node", 1)
    wait_until("op-node answers", lambda: Rpc("http://127.0.0.1:9545").call("optimism_syncStatus"), 60)
    start("op-batcher", devnet.binaries / "op-batcher", 1)
    devnet.wait_for("safe blocks", lambda: rpc.number("safe") >= 10, 180)
    for name, url in {"tributary_p2p_peers": "http://127.0.0.1:9001/metrics", "op_node_": "http://127.0.0.1:7301/metrics"}.items():
        assert f"\n{name}" in requests.get(url, timeout=10).text, f"Prometheus would not find {name} at {url}"
    print(f"  block {rpc.number()}, safe {rpc.number('safe')}")
