"""JSON-RPC and contract views."""

import itertools

import requests

from .abi import decode, selector
from .hashing import hexed, unhex, word


class Rpc:
    def __init__(self, url: str):
        self.url, self.ids, self.session = url, itertools.count(1), requests.Session()

    def call(self, method: str, *params):
        body = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": list(params)}
        answer = self.session.post(self.url, json=body, timeout=60).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def view(self, address: bytes, signature: str, result: str, *args):
        """A view of value-type arguments; `result` is the tuple of what it returns."""
        data = selector(signature) + b"".join(word(arg) for arg in args)
        out = self.call("eth_call", {"to": hexed(address), "data": hexed(data)}, "latest")
        return decode(result, unhex(out))

    def logs(self, address: bytes, topics: list) -> list:
        query = {"address": hexed(address), "fromBlock": "0x0", "toBlock": "latest"}
        query["topics"] = [hexed(topic) if topic else None for topic in topics]
        return self.call("eth_getLogs", query)
