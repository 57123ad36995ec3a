"""A second Tributary under a second op-node derives the sequencer's chain from L1 alone."""

from devnet.checks import same_chain, traffic_mined
from devnet.genesis import Schedule
from devnet.stack import Devnet
from devnet.traffic import Traffic

BLOCKS = 50


def run(devnet: Devnet):
    devnet.start_l1(Schedule())
    sequencer = devnet.start_tributary("sequencer")
    node = devnet.start_op_node(sequencer, sequencer=True)
    devnet.start_batcher(sequencer, node)
    traffic = Traffic(sequencer.url)
    traffic.start()
    devnet.wait_for(f"{BLOCKS} safe blocks", lambda: sequencer.rpc.number("safe") >= BLOCKS, 300)
    traffic.stop()

    verifier = devnet.start_tributary("verifier")
    devnet.start_op_node(verifier, sequencer=False)
    devnet.wait_for("the verifier derives", lambda: verifier.rpc.number("safe") >= BLOCKS, 180)
    derived = verifier.rpc.number("safe")
    same_chain(sequencer.rpc, verifier.rpc, derived)
    traffic_mined(verifier.rpc, traffic.sent[: len(traffic.sent) // 2])
    devnet.check()
    print(f"  {derived} blocks derived, hashes equal; {len(traffic.sent)} transactions")
