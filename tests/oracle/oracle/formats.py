"""Record v1 and batch bytes."""

from dataclasses import dataclass, field


class Malformed(Exception):
    """Bytes that are not in the protocol's format."""


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise Malformed("truncated")
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def list(self, size: int, most: int, item) -> list:
        count = self.uint(size)
        if count > most:
            raise Malformed("a list above its bound")
        return [item() for _ in range(count)]

    def end(self):
        if self.at != len(self.data):
            raise Malformed("bytes after the end")


TOTALS = ("fees", "platform", "model", "stakers", "contributors", "treasury")


@dataclass
class Record:
    """The fields in the order of their encoding; `fields` by their names in the specification."""

    fields: dict = field(default_factory=dict)

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None


def parse_record(data: bytes) -> Record:
    if len(data) > 64 * 1024:
        raise Malformed("a record above 64 KiB")
    r = Reader(data)
    if r.uint(1) != 1:
        raise Malformed("unknown record version")
    f = {}
    f["chainId"], f["agentId"], f["batchSeq"] = r.uint(8), r.uint(8), r.uint(8)
    f["channel"], f["requestId"] = r.take(32), r.take(32)
    f["l2Block"], f["modelId"], f["adapterId"] = r.uint(8), r.uint(8), r.uint(8)
    f["sources"] = r.list(2, 8, lambda: (r.uint(8), r.uint(8)))
    f["tokenizerHash"], f["algoId"], f["profileHash"] = r.take(32), r.take(32), r.take(32)
    f["privacy"], f["bodyHash"], f["nIn"] = r.uint(1), r.take(32), r.uint(4)
    f["maxFee"], f["cumulative"] = r.uint(16), r.uint(16)
    f["signature"] = r.take(r.uint(1))
    if len(f["signature"]) not in (0, 65):
        raise Malformed("a signature is 65 bytes or absent")
    f["execHash"], f["sampling"], f["logitsRoot"] = r.take(32), r.take(r.uint(2)), r.take(32)
    f["output"] = r.list(4, 16 * 1024, lambda: r.uint(4))
    f["fee"] = r.uint(16)
    f["spans"] = r.list(2, 512, lambda: (r.uint(4), r.uint(4), r.uint(8), r.uint(4)))
    f["shares"] = r.list(2, 32, lambda: (r.uint(8), r.uint(4)))
    f["unattributedPpb"] = r.uint(4)
    f["payees"] = r.list(2, 34, lambda: (r.uint(4), r.take(20), r.uint(16)))
    f["channelSpent"] = r.uint(16)
    f["totals"] = {name: r.uint(16) for name in TOTALS}
    f["payoutRoot"], f["nAccounts"] = r.take(32), r.uint(4)
    r.end()
    return Record(f)


@dataclass
class Batch:
    chain_id: int
    agent_id: int
    seq: int
    prev_batch: bytes
    slices: list
    records: list


def parse_batch(data: bytes) -> Batch:
    if len(data) > 120 * 1024:
        raise Malformed("a batch above 120 KiB")
    r = Reader(data)
    if r.take(4) != b"TRIB":
        raise Malformed("not a batch")
    if r.uint(1) != 1:
        raise Malformed("unknown batch version")
    head = r.uint(8), r.uint(8), r.uint(8), r.take(32)
    slices = r.list(4, 1 << 16, lambda: r.take(r.uint(4)))
    r.end()
    return Batch(*head, slices, [parse_record(data) for data in slices])
