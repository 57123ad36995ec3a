"""User traffic: every type of transaction, some of them meant to fail."""

import threading
import time

from eth_account import Account
from eth_utils import to_checksum_address

from .genesis import CHAIN_ID, USER_KEY
from .rpc import Rpc

# Stores and logs its first word, then calls the identity precompile.
STORE_AND_LOG = bytes.fromhex("60003560005560003560006000a1" "600060006020600060045afa" "00")
REVERT = bytes.fromhex("60006000fd")


def init_code(runtime: bytes) -> bytes:
    return bytes([0x60, len(runtime), 0x80, 0x60, 0x0B, 0x60, 0, 0x39, 0x60, 0, 0xF3]) + runtime


class Traffic(threading.Thread):
    """Sends one transaction after another until it is stopped; remembers what was taken."""

    def __init__(self, rpc_url: str, key: str = USER_KEY, pause: float = 0.25):
        super().__init__(daemon=True)
        self.rpc, self.pause = Rpc(rpc_url), pause
        self.account = Account.from_key(key)
        self.stopping = threading.Event()
        self.sent: list[str] = []
        self.errors: list[str] = []
        self.contract = self.reverter = None
        self.since_isthmus = False

    def run(self):
        nonce = None
        while not self.stopping.wait(self.pause):
            try:
                if nonce is None or nonce % 16 == 0:
                    nonce = int(self.rpc.call("eth_getTransactionCount", self.account.address, "pending"), 16)
                self.learn()
                self.sent.append(self.rpc.call("eth_sendRawTransaction", self.sign(nonce)))
                nonce += 1
            except (OSError, RuntimeError) as error:
                self.errors.append(str(error))
                nonce = None
                time.sleep(0.5)

    def stop(self):
        self.stopping.set()
        self.join(30)

    def learn(self):
        """The addresses of the two contracts, once they are there."""
        for attribute, index in (("contract", 0), ("reverter", 1)):
            if getattr(self, attribute) is None and len(self.sent) > index and (receipt := self.rpc.receipt(self.sent[index])):
                setattr(self, attribute, to_checksum_address(receipt["contractAddress"]))

    def sign(self, nonce: int) -> str:
        return "0x" + self.account.sign_transaction(self.transaction(nonce, len(self.sent))).raw_transaction.hex().removeprefix("0x")

    def transaction(self, nonce: int, index: int) -> dict:
        base = {"nonce": nonce, "chainId": CHAIN_ID, "gas": 300_000, "value": 0}
        dynamic = {**base, "maxFeePerGas": 20 * 10**9, "maxPriorityFeePerGas": 10**9}
        legacy = {**base, "gasPrice": 20 * 10**9}
        somebody = to_checksum_address(f"0x{0xBEEF0000 + index:040x}")
        if index == 0:
            return {**dynamic, "data": init_code(STORE_AND_LOG)}
        if index == 1:
            return {**dynamic, "data": init_code(REVERT)}
        contract, reverter = self.contract or somebody, self.reverter or somebody
        word = index.to_bytes(32)
        kinds = [
            lambda: {**dynamic, "to": somebody, "value": 10**15, "gas": 21_000},
            lambda: {**legacy, "to": somebody, "value": 10**14, "gas": 21_000},
            lambda: {**dynamic, "to": contract, "data": word},
            lambda: {**legacy, "type": 1, "to": contract, "data": word, "accessList": [{"address": contract, "storageKeys": ["0x" + "00" * 32]}]},
            lambda: {**dynamic, "to": reverter, "data": word},
            lambda: {**dynamic, "data": init_code(STORE_AND_LOG + word)},
            lambda: {**dynamic, "to": contract, "data": bytes(range(256)) * 8, "gas": 600_000},
            lambda: {**dynamic, "to": somebody, "authorizationList": [self.authorize(contract, index)]},
        ]
        # The last kind needs Isthmus.
        return kinds[index % (len(kinds) if self.isthmus() else len(kinds) - 1)]()

    def isthmus(self) -> bool:
        if not self.since_isthmus:
            self.since_isthmus = self.rpc.block("latest").get("requestsHash") is not None
        return self.since_isthmus

    def authorize(self, contract: str, index: int) -> dict:
        """A fresh account lets itself be run as the contract (EIP-7702)."""
        other = Account.from_key(index.to_bytes(31) + b"\x77")
        return other.sign_authorization({"chainId": CHAIN_ID, "address": contract, "nonce": 0})
