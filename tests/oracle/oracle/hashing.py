"""Keccak and ABI words."""

from Crypto.Hash import keccak


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def word(value) -> bytes:
    """One ABI word: an integer, an address or 32 bytes."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return bytes(value).rjust(32, b"\0")


def hash_words(*values) -> bytes:
    """keccak256(abi.encode(values)) of value types."""
    return keccak256(b"".join(word(value) for value in values))


def leaf(*values) -> bytes:
    """A Merkle leaf: hashed twice."""
    return keccak256(hash_words(*values))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def token_bytes(tokens) -> bytes:
    return b"".join(token.to_bytes(4, "big") for token in tokens)
