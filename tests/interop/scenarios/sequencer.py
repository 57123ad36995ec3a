"""A sequencer through Isthmus, Jovian and Karst: unsafe, safe, finalized, under traffic."""

from devnet.checks import activated, traffic_mined
from devnet.genesis import Schedule
from devnet.stack import Devnet
from devnet.traffic import Traffic

BLOCKS = 60


def run(devnet: Devnet):
    schedule = Schedule()
    devnet.start_l1(schedule)
    client = devnet.start_tributary()
    for message in ("RPC HTTP server started", "RPC WS server started", "RPC auth server started"):
        assert any(line["fields"].get("message") == message and line["fields"].get("url") for line in client.messages()), message
    node = devnet.start_op_node(client, sequencer=True)
    devnet.start_batcher(client, node)
    traffic = Traffic(client.url)
    traffic.start()

    rpc = client.rpc
    devnet.wait_for("unsafe blocks", lambda: rpc.number("latest") >= 5, 60)
    devnet.wait_for(f"{BLOCKS} blocks", lambda: rpc.number("latest") >= BLOCKS, 180)
    for fork in schedule.after:
        activated(rpc, schedule, devnet.genesis_time, fork)
    devnet.wait_for("safe blocks", lambda: rpc.number("safe") >= BLOCKS, 180)
    devnet.wait_for("finalized blocks", lambda: rpc.number("finalized") >= BLOCKS - 20, 240)
    traffic.stop()
    head = rpc.number("latest")
    devnet.wait_for("the last transactions", lambda: rpc.number("latest") >= head + 3, 30)

    good, failed = traffic_mined(rpc, traffic.sent)
    assert good > 60 and failed > 5, f"{good} good, {failed} failed"
    assert not traffic.errors, traffic.errors[:5]
    status = node.sync_status()
    labels = {label: rpc.number(label) for label in ("latest", "safe", "finalized")}
    assert labels["finalized"] <= labels["safe"] <= labels["latest"]
    assert labels["safe"] >= status["safe_l2"]["number"] - 10
    devnet.check()
    print(f"  {labels}; {good} transactions succeeded, {failed} failed as they should")
