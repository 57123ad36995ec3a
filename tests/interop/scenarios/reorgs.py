"""L1 is rewound, and the unsafe chain is: the L2 follows, transactions come back, a verifier derives the same."""

import time

from devnet.checks import same_chain, traffic_mined
from devnet.genesis import Schedule
from devnet.stack import Devnet
from devnet.traffic import Traffic

DEPTH = 4


def run(devnet: Devnet):
    devnet.start_l1(Schedule({"isthmus": 0, "jovian": 0, "karst": 10}))
    client = devnet.start_tributary()
    node = devnet.start_op_node(client, sequencer=True)
    devnet.start_batcher(client, node)
    rpc = client.rpc
    devnet.wait_for("safe blocks", lambda: rpc.number("safe") >= 8, 120)

    traffic = Traffic(client.url)
    traffic.start()
    devnet.wait_for("traffic", lambda: len(traffic.sent) >= 20, 30)
    replaced = rewind_l1(devnet, node, rpc)
    traffic.stop()
    height = rpc.number()
    devnet.wait_for("blocks after the L1 reorg", lambda: rpc.number() >= height + 6, 120)
    traffic_mined(rpc, traffic.sent)

    traffic = Traffic(client.url)
    traffic.start()
    devnet.wait_for("traffic", lambda: len(traffic.sent) >= 20, 30)
    traffic.stop()
    undone = rewind_l2(devnet, client, node)
    devnet.wait_for("the transactions again", lambda: all(rpc.receipt(tx) for tx in traffic.sent), 60)

    height = rpc.number()
    devnet.wait_for("safe blocks after all", lambda: rpc.number("safe") >= height, 180)
    verifier = devnet.start_tributary("verifier")
    devnet.start_op_node(verifier, sequencer=False)
    devnet.wait_for("the verifier derives all of it", lambda: verifier.rpc.number("safe") >= height, 180)
    same_chain(rpc, verifier.rpc, height)
    devnet.check()
    print(f"  L1 went back {DEPTH} blocks or more and replaced L2 block {replaced}; then {undone} unsafe blocks were undone; {height} derived")


def rewind_l1(devnet: Devnet, node, rpc) -> int:
    """Takes the newest L1 blocks away; the same heights come again with other hashes. The first L2 block that was replaced."""
    l1 = devnet.l1.rpc
    old = {number: rpc.block(number)["hash"] for number in range(rpc.number() + 1)}
    gone = l1.block(l1.number())["hash"]
    # The L2 lags behind: at least the origins of its newest blocks must go.
    origin = node.sync_status()["unsafe_l2"]["l1origin"]["number"]
    l1.call("debug_setHead", hex(min(l1.number() - DEPTH, origin - 2)))
    devnet.wait_for("another L1", lambda: l1.number() >= 0 and l1.block(gone) is None or l1.block(l1.number())["hash"] != gone, 30)

    def replaced():
        for number, block_hash in old.items():
            block = rpc.block(number)
            if block and block["hash"] != block_hash:
                return number
        return None

    return devnet.wait_for("the L2 follows", replaced, 120)


def rewind_l2(devnet: Devnet, client, node) -> int:
    """With op-node away, the head is set back to the safe block. op-node builds on from there."""
    node.process.kill()
    head, safe = client.rpc.block("latest"), client.rpc.block("safe")
    client.engine.call("debug_setHead", safe["number"])
    assert client.rpc.block("latest")["hash"] == safe["hash"]
    assert client.rpc.block(int(head["number"], 16)) is None
    time.sleep(1)
    node.start()
    number = int(safe["number"], 16) + 1
    devnet.wait_for("op-node builds on", lambda: client.rpc.number() >= number + 3, 90)
    assert client.rpc.block(number)["parentHash"] == safe["hash"]
    return int(head["number"], 16) - int(safe["number"], 16)
