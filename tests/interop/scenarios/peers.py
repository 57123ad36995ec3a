"""A fresh node catches up 1,000 blocks from a peer, then follows a real op-node's gossip; a replica needs no op-node at all."""

import time
import urllib.request

from devnet.checks import same_chain, traffic_mined
from devnet.genesis import SIGNER, SIGNER_KEY, Schedule
from devnet.process import free_port
from devnet.stack import Devnet
from devnet.traffic import Traffic

BLOCKS = 1_000
BLOCK_TIME = 2


def run(devnet: Devnet):
    devnet.start_l1(Schedule(), age=(BLOCKS + 50) * BLOCK_TIME)
    sequencer = devnet.start_tributary("sequencer")
    node = devnet.start_op_node(sequencer, sequencer=True, p2p=["--p2p.sequencer.key", SIGNER_KEY])
    devnet.wait_for(f"{BLOCKS} blocks", lambda: sequencer.rpc.number() >= BLOCKS, 400)
    enode = sequencer.rpc.call("admin_nodeInfo")["enode"]

    # Under an op-node: its gossip names a head, the client closes the gap from its peer.
    metrics = free_port()
    follower = devnet.start_tributary("follower", extra=[f"--metrics=127.0.0.1:{metrics}"])
    assert follower.rpc.call("admin_addPeer", enode)
    gossip = ["--p2p.static", node.multiaddress()]
    under = devnet.start_op_node(follower, sequencer=False, extra=["--syncmode", "execution-layer"], p2p=gossip)
    started = time.monotonic()
    devnet.wait_for("EL sync", lambda: follower.rpc.number() >= BLOCKS, 240)
    print(f"  EL sync of {follower.rpc.number()} blocks in {time.monotonic() - started:.0f} s")

    # Alone: the signer's address, the op-node's gossip, a peer for the past.
    flags = [f"--p2p.unsafe-block-signer={SIGNER}", f"--p2p.static={node.multiaddress()}", f"--trusted-peers={enode}"]
    replica = devnet.start_tributary("replica", extra=flags)
    devnet.wait_for("the replica catches up", lambda: replica.rpc.number() >= BLOCKS, 240)

    traffic = Traffic(sequencer.url)
    traffic.start()
    together(devnet, [sequencer, follower, replica], "all follow")
    traffic.stop()

    # What it missed while it was away, it gets from the op-node alone, block by block.
    sequencer.rpc.call("admin_removePeer", replica.rpc.call("admin_nodeInfo")["enode"])
    devnet.stop(replica.process)
    away = sequencer.rpc.number()
    devnet.wait_for("blocks without the replica", lambda: sequencer.rpc.number() >= away + 10, 60)
    replica.process.command = [word for word in replica.process.command if not word.startswith("--trusted-peers")]
    devnet.watch(replica.process)
    replica.restart()
    together(devnet, [sequencer, follower, replica], "the replica is back")
    assert under.sync_status()["unsafe_l2"]["number"] >= away

    head = min(client.rpc.number() for client in (sequencer, follower, replica))
    same_chain(sequencer.rpc, follower.rpc, head, max(0, head - 200))
    same_chain(sequencer.rpc, replica.rpc, head, max(0, head - 200))
    same_chain(sequencer.rpc, replica.rpc, 50)
    measured = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
    for name in ("tributary_p2p_peers ", "tributary_chain_import_seconds{"):
        assert f"\n{name}" in measured, f"{name} is on the dashboard and nowhere else"
    good, failed = traffic_mined(replica.rpc, traffic.sent)
    assert replica.rpc.number("safe") == -1, "no L1, no safe blocks"
    devnet.check()
    print(f"  {head} blocks equal on three nodes; {good} transactions succeeded, {failed} failed")


def together(devnet: Devnet, clients: list, what: str):
    """All reach the sequencer's head of now plus some blocks, at about the same time."""
    target = clients[0].rpc.number() + 8
    devnet.wait_for(what, lambda: all(client.rpc.number() >= target for client in clients), 90)
