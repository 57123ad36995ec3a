"""op-geth derives every block that Tributary builds, and Tributary every block that op-geth builds, under mixed traffic."""

from devnet.checks import same_chain, traffic_mined
from devnet.genesis import Schedule
from devnet.stack import Devnet
from devnet.traffic import Traffic

BLOCKS = 40
# op-geth ends at Jovian.
SCHEDULE = Schedule({"isthmus": 16, "jovian": 40, "karst": None})


def run(devnet: Devnet):
    devnet.start_l1(SCHEDULE)
    builder = devnet.start_tributary()
    both(devnet, builder, devnet.start_op_geth())
    with devnet.another() as reverse:
        reverse.start_l1(SCHEDULE)
        builder = reverse.start_op_geth()
        both(reverse, builder, reverse.start_tributary())


def both(devnet: Devnet, builder, verifier):
    node = devnet.start_op_node(builder, sequencer=True)
    devnet.start_batcher(builder, node)
    devnet.start_op_node(verifier, sequencer=False)
    traffic = Traffic(builder.url)
    traffic.start()
    devnet.wait_for(f"{verifier.name} derives {BLOCKS} blocks", lambda: verifier.rpc.number("safe") >= BLOCKS, 240)
    traffic.stop()
    head = builder.rpc.number() + 2
    devnet.wait_for("the last blocks", lambda: verifier.rpc.number("safe") >= head, 120)
    same_chain(builder.rpc, verifier.rpc, head)
    good, failed = traffic_mined(builder.rpc, traffic.sent)
    same_receipts(builder.rpc, verifier.rpc, traffic.sent)
    devnet.check()
    print(f"  {builder.name} builds, {verifier.name} derives: {head} blocks equal; {good} transactions succeeded, {failed} failed")


def same_receipts(ours, theirs, sent: list[str]):
    """Receipts agree in everything that both know."""
    for tx in sent:
        left, right = ours.receipt(tx), theirs.receipt(tx)
        for key in left.keys() & right.keys() - {"logs"}:
            assert left[key] == right[key], f"{tx}: {key} is {left[key]} here, {right[key]} there"
        assert len(left["logs"]) == len(right["logs"])
