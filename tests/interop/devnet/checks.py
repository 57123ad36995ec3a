"""Assertions that more than one scenario makes."""

from .genesis import FORKS
from .rpc import Rpc


def same_chain(left: Rpc, right: Rpc, upto: int, start: int = 0):
    """Two nodes have the same blocks."""
    for number in range(start, upto + 1):
        ours, theirs = left.block(number), right.block(number)
        assert ours and theirs, f"block {number}: {ours and ours['hash']}, {theirs and theirs['hash']}"
        assert ours["hash"] == theirs["hash"], f"block {number}: {ours['hash']} is not {theirs['hash']}"


def traffic_mined(rpc: Rpc, sent: list[str]) -> tuple[int, int]:
    """Every transaction that was taken is in a block; how many succeeded and how many failed."""
    receipts = [rpc.receipt(tx) for tx in sent]
    missing = [tx for tx, receipt in zip(sent, receipts) if receipt is None]
    assert not missing, f"{len(missing)} of {len(sent)} transactions were taken and never mined: {missing[:3]}"
    good = sum(receipt["status"] == "0x1" for receipt in receipts)
    for receipt in receipts:
        assert int(receipt["l1Fee"], 16) > 0, receipt
    return good, len(receipts) - good


def activated(rpc: Rpc, schedule, genesis_time: int, fork: str) -> int:
    """The number of a fork's first block, which carries nothing but deposits from Jovian on.

    The genesis allocation has Karst's implementations already, so an upgrade deposit may fail; what each does is compared with other
    clients elsewhere.
    """
    number = (schedule.time(fork, genesis_time) - genesis_time) // 2
    block = rpc.block(number, full=True)
    assert block is not None, f"block {number} of {fork} is not there"
    types = {tx["type"] for tx in block["transactions"]}
    if FORKS.index(fork) >= FORKS.index("jovian"):
        assert types == {"0x7e"}, f"{fork}'s first block has transactions of types {types}"
    assert len(block["transactions"]) > 1, f"{fork}'s first block has no upgrade deposits"
    receipts = rpc.call("eth_getBlockReceipts", block["hash"])
    assert receipts[0]["status"] == "0x1", "the L1-attributes deposit failed"
    failed = sum(receipt["status"] == "0x0" for receipt in receipts)
    print(f"  {fork} at block {number}: {len(receipts)} deposits, {failed} of them failed")
    return number
