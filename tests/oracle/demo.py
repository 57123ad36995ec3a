#!/usr/bin/env python3
"""Recomputes a demo run: every span, share, fee, Merkle root and payout, from the chain, DA and the texts alone."""

import argparse
import json
import pathlib
import sys

from oracle.batches import Blobs, committed
from oracle.books import Books
from oracle.chain import ATTRIBUTION, Chain
from oracle.hashing import unhex
from oracle.rpc import Rpc


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpc", required=True, help="the node's JSON-RPC URL")
    parser.add_argument("--run", required=True, help="what `tributary demo --json` printed")
    parser.add_argument("--da", help="URL of the eigenda-proxy or memstore")
    parser.add_argument("--blobs", help="folder of batch bytes, <batchHash>.bin")
    return parser.parse_args()


def number(value) -> int:
    """An amount: a number, a decimal string or a hex quantity."""
    return value if isinstance(value, int) else int(value, 0)


class Run:
    """What the demo says, compared with what follows from the chain."""

    def __init__(self, said: dict, chain: Chain):
        self.said, self.chain = said, chain
        self.compared, self.faults = 0, []

    def equal(self, what: str, got, want):
        self.compared += 1
        if got != want:
            self.faults.append(f"{what}: got {got!r}, want {want!r}")

    def answers(self, moved: dict) -> list:
        """Each answer against its record; returns what the run's records moved."""
        by_request = {key[1]: value for key, value in moved.items()}
        mine = []
        for answer in self.said["answers"]:
            request = unhex(answer["requestId"])
            name = f"answer {answer['requestId'][:12]}"
            if request not in by_request:
                self.faults.append(f"{name}: in no batch")
                continue
            record = by_request[request]["record"]
            mine.append(by_request[request])
            self.equal(f"{name} inTokens", number(answer["inTokens"]), record.nIn)
            self.equal(f"{name} outTokens", number(answer["outTokens"]), len(record.output))
            self.equal(f"{name} fee", number(answer["fee"]), record.fee)
            self.equal(f"{name} unattributedPpb", number(answer["unattributedPpb"]), record.unattributedPpb)
            shares = [(number(contribution_of(s)), number(s["ppb"])) for s in answer["shares"]]
            self.equal(f"{name} shares", sorted(shares), record.shares)
            spans = [(number(s["start"]), number(s["len"]), number(contribution_of(s)), number(s["offset"])) for s in answer["spans"]]
            self.equal(f"{name} spans", spans, record.spans)
            self.quotes(name, answer, record)
        return mine

    def quotes(self, name: str, answer: dict, record):
        """Each span's text really stands in the answer (byte tokens may cut a character at either end)."""
        spoken = answer["text"].encode()
        for start, length, contribution, offset in record.spans:
            text = self.chain.text(contribution)
            if text is None:
                continue
            covered = self.chain.positions(contribution)[offset : offset + length]
            quote = text[covered[0][0] : covered[-1][1]].decode(errors="ignore").strip().encode()
            self.equal(f"{name} quotes {contribution} at token {start}", quote in spoken, True)

    def payouts(self, agent: int, mine: list, books: Books):
        """What the run owes, by account; pools of stakers are not accounts and are compared in sum."""
        owed, pool = {}, 0
        for moved in mine:
            for account, amount in moved["credits"]:
                owed[account] = owed.get(account, 0) + amount
            totals, block = moved["totals"], moved["record"].l2Block
            treasury = self.chain.param("treasury", block).to_bytes(20, "big")
            for account, amount in ((self.chain.agent_owner(agent), totals["platform"]), (treasury, totals["treasury"])):
                owed[account] = owed.get(account, 0) + amount
            pool += totals["stakers"]
        said, said_pool = {}, 0
        for payout in self.said["payouts"]:
            if "stak" in payout["role"].lower():
                said_pool += number(payout["owed"])
                continue
            account = unhex(payout["account"])
            said[account] = said.get(account, 0) + number(payout["owed"])
        self.equal("owed by account", dated(said), dated(owed))
        self.equal("owed to stakers", said_pool, pool)
        fees = sum(moved["totals"]["fees"] for moved in mine)
        self.equal("owed in all", sum(owed.values()) + pool, fees)
        self.claims(agent, books)

    def claims(self, agent: int, books: Books):
        """Nobody has claimed more than the books credit him, and who claimed in this run has all of it."""
        claimants = {unhex(payout["account"]) for payout in self.said["payouts"] if number(payout["claimed"]) > 0}
        for account, cumulative in books.tree.accounts:
            claimed = self.chain.claimed(agent, account)
            self.equal(f"claimed by {account.hex()} is covered", claimed <= cumulative, True)
            if account in claimants:
                self.equal(f"claimed by {account.hex()}", claimed, cumulative)


def dated(amounts: dict) -> dict:
    """Accounts in hex, those owed nothing left out."""
    return {account.hex(): amount for account, amount in sorted(amounts.items()) if amount}


def contribution_of(entry: dict):
    return entry["contributionId"] if "contributionId" in entry else entry["contribution"]


def agents_of(rpc, run: dict) -> set:
    agents = set()
    for batch in run["batches"]:
        receipt = rpc.call("eth_getTransactionReceipt", batch["tx"])
        logs = [log for log in receipt["logs"] if unhex(log["address"]) == ATTRIBUTION and len(log["topics"]) == 4]
        agents |= {int(log["topics"][2], 16) for log in logs if log["topics"][1].lower() == batch["id"].lower()}
    return agents


def main() -> int:
    args = arguments()
    rpc, blobs = Rpc(args.rpc), Blobs(args.da, args.blobs)
    said = json.loads(pathlib.Path(args.run).read_text())
    chain = Chain(rpc)
    run, faults, compared = Run(said, chain), [], 0
    chain_id = int(rpc.call("eth_chainId"), 16)
    agents = agents_of(rpc, said)
    run.equal("agents of the run", len(agents), 1)
    for agent in agents:
        books, moved, ids = Books(chain, chain_id, agent), {}, set()
        for batch in committed(rpc, agent):
            moved |= books.batch(blobs.fetch(batch), batch.header, batch.totals, batch.debits, batch.block)
            books.equal(f"batch {batch.seq} id", books.last_batch, batch.id)
            ids.add(batch.id)
        run.equal("batches of the run", {unhex(batch["id"]) for batch in said["batches"]} <= ids, True)
        run.payouts(agent, run.answers(moved), books)
        compared += books.compared
        faults += books.faults
    compared += chain.checked + run.compared
    faults += chain.problems + run.faults
    for fault in faults:
        print(f"FAIL {fault}")
    print(f"{compared} comparisons, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
