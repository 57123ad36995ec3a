"""A batch judged against a chain: everything is computed anew and compared."""

from dataclasses import dataclass, field

from .formats import TOTALS, parse_batch
from .hashing import hash_words, keccak256, leaf
from .merkle import PayoutTree, root
from .money import settle
from .trace import trace
from .voucher import recover, request_hash, voucher_digest

ALGO = keccak256(b"tributary.trace.1")
HEADER = (
    "agentId", "seq", "prevBatch", "batchHash", "nBytes", "nRecords", "recordsRoot", "payoutRoot", "nAccounts", "algoId",
)


@dataclass
class Books:
    """An agent's books as the oracle keeps them, batch after batch."""

    chain: object
    chain_id: int
    agent_id: int
    tree: PayoutTree = field(default_factory=PayoutTree)
    last_batch: bytes = bytes(32)
    last_seq: int = 0
    faults: list = field(default_factory=list)
    compared: int = 0
    seen: set = field(default_factory=set)

    def equal(self, what: str, got, want):
        self.compared += 1
        if got != want:
            self.faults.append(f"{what}: got {show(got)}, want {show(want)}")

    def batch(self, data: bytes, header: dict, totals: dict, debits: list, commit_block: int):
        """Takes in the agent's next batch; returns what each record credits, by (channel, requestId)."""
        name = f"batch {header['seq']}"
        batch = parse_batch(data)
        for what, got, want in (
            ("chainId", batch.chain_id, self.chain_id),
            ("agentId", batch.agent_id, self.agent_id),
            ("seq", batch.seq, self.last_seq + 1),
            ("prevBatch", batch.prev_batch, self.last_batch),
        ):
            self.equal(f"{name} {what}", got, want)
        outputs = [record.output for record in batch.records]
        moved, spent, running, last = {}, {}, dict.fromkeys(TOTALS, 0), None
        for index, record in enumerate(batch.records):
            key = (record.channel, record.requestId)
            self.equal(f"{name}/{index} ascends", last is None or last < key, True)
            self.equal(f"{name}/{index} is new", key in self.seen, False)
            self.seen.add(key)
            last = key
            moved[key] = self.record(f"{name}/{index}", record, batch.seq, outputs, spent, running, commit_block)
            self.equal(f"{name}/{index} bytes", len(batch.slices[index]) <= self.chain.params(record.l2Block).max_record_bytes, True)
        leaves = [leaf(index, keccak256(data)) for index, data in enumerate(batch.slices)]
        want = (
            self.agent_id, self.last_seq + 1, self.last_batch, keccak256(data), len(data), len(batch.slices), root(16, leaves),
            self.tree.root(), len(self.tree.accounts), ALGO,
        )
        for what, value in zip(HEADER, want):
            self.equal(f"{name} header.{what}", header[what], value)
        self.equal(f"{name} totals", totals, running)
        self.equal(f"{name} totals balance", running["fees"], sum(running[part] for part in TOTALS[1:]))
        self.debits(name, debits, spent)
        self.last_seq += 1
        self.last_batch = hash_words(self.chain_id, *want)
        return moved

    def record(self, name, record, seq, outputs, spent, running, commit_block) -> dict:
        """Computes one record anew; returns its totals and credits."""
        params = self.chain.params(record.l2Block)
        base = self.chain.model(record.modelId, record.l2Block)
        adapter = self.chain.model(record.adapterId, record.l2Block) if record.adapterId else None
        sources = adapter.sources if adapter else []
        for what, want in (
            ("chainId", self.chain_id), ("agentId", self.agent_id), ("batchSeq", seq), ("privacy", 0), ("algoId", ALGO),
            ("tokenizerHash", base.tokenizer), ("profileHash", base.profile), ("sources", sources),
        ):
            self.equal(f"{name} {what}", getattr(record, what), want)
        self.equal(f"{name} base model", base.base, 0)
        self.equal(f"{name} adapter's base", adapter.base if adapter else record.modelId, record.modelId)
        self.equal(f"{name} in service", (adapter or base).retired, False)
        in_time = commit_block - params.max_record_age <= record.l2Block < commit_block
        self.equal(f"{name} l2Block in time", in_time, True)
        paid = record.channel != bytes(32)
        self.voucher(name, record, paid)

        datanets = [self.chain.datanet(*source) for source in sources]
        for datanet in datanets:
            datanet.prepare(outputs)
        spans, shares, unattributed = trace(record.output, datanets, params.max_spans, params.earners)
        self.equal(f"{name} spans", record.spans, spans)
        self.equal(f"{name} shares", record.shares, shares)
        self.equal(f"{name} unattributedPpb", record.unattributedPpb, unattributed)

        fee, totals, credits = settle(
            params, base, adapter, record.nIn, len(record.output), shares, self.chain.contributor
        )
        if not paid:
            fee, totals, credits = 0, dict.fromkeys(TOTALS, 0), []
        self.equal(f"{name} fee", record.fee, fee)
        self.equal(f"{name} fee <= maxFee", fee <= record.maxFee, True)
        payees = sorted((self.tree.credit(account, amount), account, amount) for account, amount in credits)
        self.equal(f"{name} payees", record.payees, payees)
        spent[record.channel] = spent.get(record.channel, 0) + fee
        for part in TOTALS:
            running[part] += totals[part]
        self.equal(f"{name} channelSpent", record.channelSpent, spent[record.channel])
        self.equal(f"{name} totals", record.totals, running)
        self.equal(f"{name} payoutRoot", record.payoutRoot, self.tree.root())
        self.equal(f"{name} nAccounts", record.nAccounts, len(self.tree.accounts))
        return {"record": record, "totals": totals, "credits": credits}

    def voucher(self, name, record, paid: bool):
        if not paid:
            self.equal(f"{name} unpaid", (record.signature, record.maxFee, record.cumulative), (b"", 0, 0))
            return
        digest = voucher_digest(self.chain_id, record.channel, record.cumulative, request_hash(record))
        self.equal(f"{name} signer", recover(digest, record.signature), self.chain.signer(record.channel))
        self.equal(f"{name} maxFee <= cumulative", record.maxFee <= record.cumulative, True)

    def debits(self, name, debits: list, spent: dict):
        want = sorted((channel, amount) for channel, amount in spent.items() if channel != bytes(32))
        self.equal(f"{name} debits", [(debit["channel"], debit["amount"]) for debit in debits], want)
        for debit in debits:
            if "signature" not in debit:
                continue
            digest = voucher_digest(self.chain_id, debit["channel"], debit["cumulative"], debit["requestHash"])
            signer = recover(digest, debit["signature"])
            self.equal(f"{name} debit's signer", signer, self.chain.signer(debit["channel"]))
            self.equal(f"{name} debit covered", debit["amount"] <= debit["cumulative"], True)


def show(value) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) < 300 else text[:300] + "…"
