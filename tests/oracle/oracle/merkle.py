"""Positional Merkle trees of fixed depth, by the definition."""

from .hashing import keccak256, leaf, token_bytes

EMPTY = [bytes(32)]
for _ in range(32):
    EMPTY.append(keccak256(EMPTY[-1] * 2))


def root(depth: int, leaves: list) -> bytes:
    level = list(leaves)
    for height in range(depth):
        if len(level) % 2:
            level.append(EMPTY[height])
        level = [keccak256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return level[0] if level else EMPTY[depth]


def proof_root(index: int, at: bytes, siblings: list) -> bytes:
    """The root that a leaf and its siblings, lowest first, lead to."""
    for height, sibling in enumerate(siblings):
        at = keccak256(sibling + at) if index >> height & 1 else keccak256(at + sibling)
    return at


def tokens_root(tokens: list) -> bytes:
    chunks = [tokens[at : at + 256] for at in range(0, len(tokens), 256)]
    return root(16, [leaf(index, keccak256(token_bytes(chunk))) for index, chunk in enumerate(chunks)])


class PayoutTree:
    """Accounts by first credit with all they were credited."""

    def __init__(self):
        self.accounts = []
        self.index = {}
        self.levels = [[] for _ in range(33)]

    def credit(self, account: bytes, amount: int) -> int:
        if account not in self.index:
            self.index[account] = len(self.accounts)
            self.accounts.append([account, 0])
        index = self.index[account]
        self.accounts[index][1] += amount
        self._put(index, leaf(index, account, self.accounts[index][1]))
        return index

    def _at(self, height: int, place: int) -> bytes:
        level = self.levels[height]
        return level[place] if place < len(level) else EMPTY[height]

    def _put(self, index: int, at: bytes):
        for height in range(33):
            level, place = self.levels[height], index >> height
            if place == len(level):
                level.append(at)
            level[place] = at
            sibling = self._at(height, place ^ 1)
            at = keccak256(sibling + at) if place & 1 else keccak256(at + sibling)

    def root(self) -> bytes:
        return self._at(32, 0)
