"""Client and op-node killed with SIGKILL and started again, at random: labels survive, nothing acknowledged is lost."""

import random
import time

from devnet.checks import same_chain, traffic_mined
from devnet.genesis import Schedule
from devnet.stack import Devnet
from devnet.traffic import Traffic

ROUNDS = 8


def run(devnet: Devnet):
    devnet.start_l1(Schedule({"isthmus": 0, "jovian": 0, "karst": 10}))
    client = devnet.start_tributary(journal=True)
    node = devnet.start_op_node(client, sequencer=True)
    devnet.start_batcher(client, node)
    rpc = client.rpc
    devnet.wait_for("safe blocks", lambda: rpc.number("safe") >= 5, 120)
    dice = random.Random(7)
    for _ in range(ROUNDS):
        traffic = Traffic(client.url, pause=0.1)
        traffic.start()
        time.sleep(dice.uniform(2, 8))
        traffic.stop()
        victims = dice.choice([["client"], ["node"], ["client", "node"]])
        seen = {label: rpc.block(label) for label in ("latest", "safe", "finalized")}
        if "client" in victims:
            client.process.kill()
        if "node" in victims:
            node.process.kill()
        if "client" in victims:
            client.restart()
            check_labels(rpc, seen)
        if "node" in victims:
            node.start()
        height = rpc.number()
        devnet.wait_for(f"blocks after the death of {victims}", lambda: rpc.number() >= height + 3, 90)
        for label in ("latest", "safe"):
            same = rpc.block(int(seen[label]["number"], 16))
            assert same["hash"] == seen[label]["hash"], f"{label} block {seen[label]['number']} was replaced"
        traffic_mined(rpc, traffic.sent)
    verifier = devnet.start_tributary("verifier")
    devnet.start_op_node(verifier, sequencer=False)
    height = rpc.number()
    devnet.wait_for("the verifier derives all of it", lambda: verifier.rpc.number("safe") >= height, 180)
    same_chain(rpc, verifier.rpc, height)
    client.process.stop()
    client.restart()
    assert rpc.number() >= height
    print(f"  {ROUNDS} deaths, {height} blocks, none replaced")


def check_labels(rpc, seen: dict):
    """What was told before the death still holds, though labels may have moved on meanwhile."""
    for label, block in seen.items():
        if block is None:
            continue
        number = int(block["number"], 16)
        assert rpc.number(label) >= number, f"{label} fell from {number} to {rpc.number(label)}"
        assert rpc.block(number)["hash"] == block["hash"], f"{label} block {number} was replaced"
