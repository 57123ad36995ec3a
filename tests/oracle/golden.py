#!/usr/bin/env python3
"""Checks the committed vectors of record, trace and batch against this implementation."""

import json
import pathlib
import sys

from oracle import merkle, money, trace, voucher
from oracle.books import Books, HEADER
from oracle.formats import TOTALS, Malformed, parse_batch, parse_record
from oracle.hashing import hash_words, keccak256, leaf, unhex

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = ROOT / "crates/economy/record/testdata/golden.json"
TRACE = ROOT / "crates/attribution/trace/testdata/golden.json"
BATCH = ROOT / "crates/attribution/batch/testdata/golden.json"


class Checks:
    def __init__(self):
        self.done, self.faults = 0, []

    def equal(self, what, got, want):
        self.done += 1
        if got != want:
            self.faults.append(f"{what}: got {got!r}, want {want!r}")


def check_ids(check, given):
    chain = given["chainId"]
    check.equal("algoId", keccak256(b"tributary.trace.1"), unhex(given["algoId"]))
    c = given["channel"]
    got = voucher.channel_id(chain, c["agentId"], unhex(c["payer"]), int(c["nonce"], 16))
    check.equal("channel", got, unhex(c["id"]))
    f = given["request"]["fields"]
    request = hash_words(
        unhex(f["requestId"]), f["modelId"], f["adapterId"], f["l2Block"], f["nIn"], int(f["maxFee"]), f["privacy"],
        unhex(f["bodyHash"]),
    )
    check.equal("requestHash", request, unhex(given["request"]["hash"]))
    r = given["receipt"]
    digest = voucher.receipt_digest(unhex(r["requestHash"]), r["output"], int(r["fee"]))
    check.equal("receipt", digest, unhex(r["digest"]))
    k = given["commitment"]
    got = voucher.commitment(
        chain, k["datanet"], unhex(k["contributor"]), unhex(k["contentHash"]), unhex(k["tokensRoot"]), k["tokens"], unhex(k["salt"])
    )
    check.equal("commitment", got, unhex(k["hash"]))
    h = header_of(given["header"]["fields"])
    check.equal("batchId", hash_words(chain, *(h[name] for name in HEADER)), unhex(given["header"]["batchId"]))


SNAKE = {
    "agentId": "agent_id", "prevBatch": "prev_batch", "batchHash": "batch_hash", "nBytes": "n_bytes", "nRecords": "n_records",
    "recordsRoot": "records_root", "payoutRoot": "payout_root", "nAccounts": "n_accounts", "algoId": "algo_id",
}


def header_of(fields) -> dict:
    values = {name: fields[SNAKE.get(name, name)] for name in HEADER}
    return {name: unhex(value) if isinstance(value, str) else value for name, value in values.items()}


def check_voucher(check, given, chain):
    check.equal("domain", voucher.domain_separator(chain), unhex(given["domainSeparator"]))
    digest = voucher.voucher_digest(chain, unhex(given["channel"]), int(given["cumulative"]), unhex(given["requestHash"]))
    check.equal("voucher", digest, unhex(given["digest"]))
    check.equal("signer", voucher.recover(digest, unhex(given["signature"])), unhex(given["signer"]))


def check_trees(check, given):
    c = given["contributionLeaf"]
    got = leaf(c["index"], unhex(c["contributor"]), unhex(c["contentHash"]), unhex(c["tokensRoot"]), c["tokens"], c["commitBlock"])
    check.equal("contribution leaf", got, unhex(c["leaf"]))
    r = given["recordLeaf"]
    check.equal("record leaf", leaf(r["index"], unhex(r["hash"])), unhex(r["leaf"]))
    p = given["payouts"]
    leaves = [leaf(index, unhex(p["account"]), int(p["cumulative"])) for index in range(p["count"])]
    check.equal("payout root", merkle.root(32, leaves), unhex(p["root"]))
    siblings = [unhex(node) for node in p["proofOf3"]]
    check.equal("proof", merkle.proof_root(3, leaves[3], siblings), unhex(p["root"]))
    check.equal("multiproof", multi_root(p, leaves), unhex(p["root"]))
    for depth, empty in given["emptyRoots"].items():
        check.equal(f"empty root {depth}", merkle.EMPTY[int(depth)], unhex(empty))


def multi_root(given, leaves) -> bytes:
    proof = [unhex(node) for node in given["multiproof"]["proof"]]
    level = {place: leaves[place] if place < len(leaves) else bytes(32) for place in given["multiproof"]["places"]}
    for _ in range(32):
        above = {}
        for place in sorted(level):
            if place >> 1 in above:
                continue
            pair = [level[at] if at in level else proof.pop(0) for at in (place & ~1, place | 1)]
            above[place >> 1] = keccak256(pair[0] + pair[1])
        level = above
    return level[0]


def check_fees(check, cases):
    for at, c in enumerate(cases):
        params = money.Params(int(c["platformFee"]), c["modelBps"], c["stakersBps"], c["baseShareBps"])
        fee = money.fee_of(c["nIn"], c["nOut"], int(c["inRate"]), int(c["outRate"]), params.platform_fee)
        check.equal(f"fee {at}", str(fee), c["fee"])
        parts = money.split(fee, params, c["adapter"])
        got = [str(parts[part]) for part in ("base", "adapter", "stakers", "contributors")]
        check.equal(f"split {at}", got, [c["base"], c["adapterPart"], c["stakers"], c["contributors"]])
        check.equal(f"share {at}", str(parts["contributors"] * 333_333_333 // 10**9), c["thirdOfContributors"])


def shares_json(shares) -> list:
    return [{"contribution": contribution, "ppb": ppb} for contribution, ppb in shares]


def check_attributions(check, cases):
    for at, c in enumerate(cases):
        spans = [
            [s["start"], s["len"], trace.Document(s["contribution"], s["commitBlock"], not s["live"], []), 0] for s in c["spans"]
        ]
        owners = trace.give_out(c["n"], spans)
        shares, unattributed = trace.shares_of(c["n"], spans, owners, 32)
        check.equal(f"won {at}", [owners.count(place) for place in range(len(spans))], c["won"])
        check.equal(f"shares {at}", shares_json(shares), c["shares"])
        check.equal(f"unattributed {at}", unattributed, c["unattributedPpb"])


def check_record(check, given):
    data = unhex(given["bytes"])
    check.equal("record hash", keccak256(data), unhex(given["hash"]))
    record, fields = parse_record(data), given["fields"]
    for name, key in (("l2Block", "l2_block"), ("nIn", "n_in"), ("output", "output"), ("unattributedPpb", "unattributed_ppb")):
        check.equal(f"record {name}", getattr(record, name), fields[key])
    check.equal("record fee", str(record.fee), fields["fee"])
    check.equal("record totals", {name: str(record.totals[name]) for name in TOTALS}, fields["totals"])
    check.equal("record payees", [(p[0], p[1].hex(), str(p[2])) for p in record.payees], [(p["index"], p["account"][2:], p["amount"]) for p in fields["payees"]])
    check.equal("record spans", [list(span) for span in record.spans], [[s["start"], s["len"], s["contribution"], s["offset"]] for s in fields["spans"]])
    batch = unhex(given["batchBytes"])
    check.equal("batch hash", keccak256(batch), unhex(given["batchHash"]))
    check.equal("batch slices", parse_batch(batch).slices, [data])
    for wrong in (data[:-1], data + b"\0", b"\2" + data[1:]):
        try:
            parse_record(wrong)
            check.equal("a malformed record", "taken", "refused")
        except Malformed:
            check.done += 1


def check_traces(check, cases):
    for at, case in enumerate(cases):
        datanets = [
            trace.Datanet(
                d["minMatch"],
                [trace.Document(x["contribution"], x["commitBlock"], x["removed"], x["tokens"]) for x in d["documents"]],
            )
            for d in case["datanets"]
        ]
        spans, shares, unattributed = trace.trace(case["output"], datanets)
        want = [(s["start"], s["len"], s["contribution"], s["offset"]) for s in case["spans"]]
        check.equal(f"trace {at} spans", spans, want)
        check.equal(f"trace {at} shares", shares_json(shares), case["shares"])
        check.equal(f"trace {at} unattributed", unattributed, case["unattributedPpb"])


class VectorChain:
    """The chain of the batch vectors."""

    def __init__(self, given):
        p = given["params"]
        self._params = money.Params(int(p["platformFee"]), p["betaBps"], p["gammaBps"], p["baseShareBps"])
        self.models, self.contributions, self.datanets = {}, {c["id"]: c for c in given["contributions"]}, {}
        self.signers = {unhex(channel): unhex(signer) for channel, signer in given["signers"]}
        for m in given["models"]:
            base = self.models.get(m["baseId"])
            sources = [(s["datanet"], s["epoch"]) for s in m["sources"]]
            self.models[m["id"]] = money.Model(
                m["id"], m["baseId"], unhex(m["owner"]), int(m["inRate"]), int(m["outRate"]),
                base.tokenizer if base else unhex(m["tokenizerHash"]), base.profile if base else unhex(m["profileHash"]), sources,
            )
        for e in given["epochs"]:
            documents = [
                trace.Document(c["id"], c["commitBlock"], 0 < c["removedEpoch"] <= e["epoch"], c["tokens"])
                for c in given["contributions"]
                if c["id"] >> 32 == e["datanet"] and c["id"] & 0xFFFFFFFF < e["count"]
            ]
            self.datanets[e["datanet"], e["epoch"]] = trace.Datanet(e["minMatch"], documents)

    def params(self, _block):
        return self._params

    def model(self, id_, _block):
        return self.models[id_]

    def datanet(self, datanet, epoch):
        return self.datanets[datanet, epoch]

    def contributor(self, contribution):
        return unhex(self.contributions[contribution]["contributor"])

    def signer(self, channel):
        return self.signers[channel]


def check_batches(check, given):
    books = Books(VectorChain(given["chain"]), given["chainId"], given["agentId"])
    for batch in given["batches"]:
        totals = {name: int(batch["totals"][name]) for name in TOTALS}
        debits = [
            {
                "channel": unhex(d["channel"]), "cumulative": int(d["cumulative"]), "amount": int(d["amount"]),
                "requestHash": unhex(d["requestHash"]), "signature": unhex(d["signature"]),
            }
            for d in batch["debits"]
        ]
        books.batch(unhex(batch["bytes"]), header_of(batch["header"]), totals, debits, 1_000)
        books.equal("batchId", books.last_batch, unhex(batch["batchId"]))
        accounts = [[unhex(c["account"]), int(c["cumulative"])] for c in batch["claims"]]
        books.equal("claims", accounts, books.tree.accounts)
        for c in batch["claims"]:
            at = leaf(c["index"], unhex(c["account"]), int(c["cumulative"]))
            got = merkle.proof_root(c["index"], at, [unhex(node) for node in c["proof"]])
            books.equal("claim's proof", got, books.tree.root())
    check.done += books.compared
    check.faults += books.faults


def main() -> int:
    check = Checks()
    given = json.loads(RECORD.read_text())
    check_ids(check, given["ids"])
    check_voucher(check, given["voucher"], given["ids"]["chainId"])
    check_trees(check, given["trees"])
    for case in given["tokensRoots"]:
        tokens = [at * 2_654_435_761 % 2**32 % 49_152 for at in range(case["count"])]
        check.equal("tokensRoot", merkle.tokens_root(tokens), unhex(case["root"]))
    check_fees(check, given["fees"])
    check_attributions(check, given["attributions"])
    check_record(check, given["record"])
    check_traces(check, json.loads(TRACE.read_text()))
    check_batches(check, json.loads(BATCH.read_text()))
    for fault in check.faults:
        print(f"FAIL {fault}")
    print(f"{check.done} comparisons, {len(check.faults)} failed")
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
