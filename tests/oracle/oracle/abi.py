"""ABI calls and results, by type strings as Solidity writes them."""

from .hashing import keccak256


def selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


def split_types(inner: str) -> list:
    """The types between the parentheses of a tuple."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(inner):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(inner[start:at])
            start = at + 1
    return parts + [inner[start:]] if inner else []


def is_dynamic(kind: str) -> bool:
    if kind.endswith("[]") or kind in ("bytes", "string"):
        return True
    return kind.startswith("(") and any(is_dynamic(part) for part in split_types(kind[1:-1]))


def head_size(kind: str) -> int:
    if is_dynamic(kind) or not kind.startswith("("):
        return 32
    return sum(head_size(part) for part in split_types(kind[1:-1]))


def decode(kind: str, data: bytes, at: int = 0):
    """The value of a type whose encoding begins at `at`."""
    if kind.endswith("[]"):
        count, at = uint(data, at), at + 32
        return decode_sequence([kind[:-2]] * count, data, at)
    if kind in ("bytes", "string"):
        length = uint(data, at)
        value = data[at + 32 : at + 32 + length]
        if len(value) != length:
            raise ValueError("truncated ABI data")
        return value if kind == "bytes" else value.decode()
    if kind.startswith("("):
        return decode_sequence(split_types(kind[1:-1]), data, at)
    word = data[at : at + 32]
    if len(word) != 32:
        raise ValueError("truncated ABI data")
    if kind == "address":
        return word[12:]
    if kind == "bool":
        return word[31] == 1
    return word if kind == "bytes32" else int.from_bytes(word, "big")


def decode_sequence(kinds: list, data: bytes, base: int) -> list:
    values, at = [], base
    for kind in kinds:
        values.append(decode(kind, data, base + uint(data, at) if is_dynamic(kind) else at))
        at += head_size(kind)
    return values


def uint(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 32], "big")
