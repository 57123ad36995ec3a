"""Merkle-Patricia proofs, checked from scratch."""

import rlp
from eth_utils import keccak


def nibbles(key: bytes) -> list[int]:
    return [nibble for byte in key for nibble in (byte >> 4, byte & 15)]


def verify(root: bytes, key: bytes, proof: list[str]) -> bytes | None:
    """The value under keccak(key) in the trie of this root; None if the proof shows that there is none."""
    path, want = nibbles(keccak(key)), root
    nodes = {keccak(node): node for node in (bytes.fromhex(node[2:]) for node in proof)}
    node = rlp.decode(nodes[want])
    while True:
        if len(node) == 17:
            if not path:
                return node[16] or None
            child, path = node[path[0]], path[1:]
        else:
            prefix = nibbles(node[0])
            leaf, prefix = prefix[0] & 2, prefix[1:] if prefix[0] & 1 else prefix[2:]
            if path[: len(prefix)] != prefix:
                return None
            path = path[len(prefix):]
            if leaf:
                return node[1] if not path else None
            child = node[1]
        if child == b"":
            return None
        node = child if isinstance(child, list) else rlp.decode(nodes[child])


def verify_storage(root: bytes, slot: bytes, proof: list[str]) -> int:
    value = verify(root, slot, proof)
    return 0 if value is None else int.from_bytes(rlp.decode(value))
