"""The trace: from output tokens to spans and shares."""

from dataclasses import dataclass

from .hashing import token_bytes


@dataclass
class Document:
    """A contribution that takes part in an epoch."""

    contribution: int
    commit_block: int
    removed: bool
    tokens: list


class Datanet:
    """A datanet at an epoch. Knows the sources of all windows of the outputs it was prepared for."""

    def __init__(self, min_match: int, documents: list):
        self.min_match = min_match
        self.documents = sorted(documents, key=lambda d: (d.commit_block, d.contribution))
        self.encoded = [token_bytes(document.tokens) for document in self.documents]
        self.known = {}

    def windows(self, output: list) -> list:
        width, data = 4 * self.min_match, token_bytes(output)
        return [data[at : at + width] for at in range(0, len(data) - width + 1, 4)]

    def prepare(self, outputs: list):
        """Looks through every document once, in the order of priority: the first place found is the one."""
        wanted = {window for output in outputs for window in self.windows(output)} - self.known.keys()
        if not wanted:
            return
        width = 4 * self.min_match
        found = {}
        for document, data in zip(self.documents, self.encoded):
            for at in range(0, len(data) - width + 1, 4):
                window = data[at : at + width]
                if window in wanted and window not in found:
                    found[window] = (document, at // 4)
        for window in wanted:
            self.known[window] = found.get(window)

    def spans(self, output: list) -> list:
        """[start, len, document, offset] of windows in a row with the same source and offsets in a row."""
        self.prepare([output])
        spans, last = [], None
        for start, window in enumerate(self.windows(output)):
            source = self.known[window]
            if source is None:
                last = None
                continue
            document, offset = source
            if last == (document.contribution, offset - 1):
                spans[-1][1] += 1
            else:
                spans.append([start, self.min_match, document, offset])
            last = (document.contribution, offset)
        return spans


def give_out(n: int, spans: list) -> list:
    """For each token the place of the span that wins it, or None."""
    order = sorted(range(len(spans)), key=lambda at: (spans[at][2].commit_block, spans[at][2].contribution, spans[at][0]))
    owners = [None] * n
    for at in order:
        start, length = spans[at][0], spans[at][1]
        for token in range(start, min(n, start + length)):
            if owners[token] is None:
                owners[token] = at
    return owners


def shares_of(n: int, spans: list, owners: list, earners: int):
    """([(contribution, ppb)] ascending, unattributed ppb)."""
    credit = {}
    for owner in owners:
        if owner is not None and not spans[owner][2].removed:
            contribution = spans[owner][2].contribution
            credit[contribution] = credit.get(contribution, 0) + 1
    ranked = sorted(credit.items(), key=lambda item: (-item[1], item[0]))[:earners]
    shares = sorted((contribution, tokens * 10**9 // n) for contribution, tokens in ranked)
    return shares, 10**9 - sum(ppb for _, ppb in shares)


def trace(output: list, datanets: list, max_spans: int = 512, earners: int = 32):
    """(spans [(start, len, contribution, offset)], shares, unattributed ppb)."""
    n = len(output)
    spans = [span for datanet in datanets for span in datanet.spans(output)]
    winners = set(give_out(n, spans))
    spans = [span for at, span in enumerate(spans) if at in winners]
    spans.sort(key=lambda span: (span[0], span[2].contribution))
    spans = spans[:max_spans]
    shares, unattributed = shares_of(n, spans, give_out(n, spans), earners)
    return [(s[0], s[1], s[2].contribution, s[3]) for s in spans], shares, unattributed
