"""Ids, vouchers and who signed them."""

from .hashing import hash_words, keccak256, token_bytes, unhex

DATANETS = unhex("0x" + "00" * 18 + "0a01")
SETTLEMENT = unhex("0x" + "00" * 18 + "0a04")

DOMAIN = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
VOUCHER = keccak256(b"Voucher(bytes32 channel,uint256 cumulative,bytes32 requestHash)")

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def channel_id(chain_id: int, agent_id: int, payer: bytes, nonce: int) -> bytes:
    return hash_words(chain_id, SETTLEMENT, agent_id, payer, nonce)


def request_hash(record) -> bytes:
    return hash_words(
        record.requestId,
        record.modelId,
        record.adapterId,
        record.l2Block,
        record.nIn,
        record.maxFee,
        record.privacy,
        record.bodyHash,
    )


def receipt_digest(request: bytes, output: list, fee: int) -> bytes:
    return hash_words(request, keccak256(token_bytes(output)), len(output), fee)


def commitment(chain_id, datanet, contributor, content_hash, tokens_root, tokens, salt) -> bytes:
    return hash_words(chain_id, DATANETS, datanet, contributor, content_hash, tokens_root, tokens, salt)


def domain_separator(chain_id: int) -> bytes:
    return hash_words(DOMAIN, keccak256(b"Tributary"), keccak256(b"1"), chain_id, SETTLEMENT)


def voucher_digest(chain_id: int, channel: bytes, cumulative: int, request: bytes) -> bytes:
    message = hash_words(VOUCHER, channel, cumulative, request)
    return keccak256(b"\x19\x01" + domain_separator(chain_id) + message)


def _add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _times(point, factor: int):
    total = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def recover(digest: bytes, signature: bytes):
    """The signer's address, or None: r ‖ s ‖ v, low s, v 27 or 28."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not (0 < r < N and 0 < s <= N // 2):
        return None
    y = pow(r**3 + 7, (P + 1) // 4, P)
    if (y * y - r**3 - 7) % P:
        return None
    if y % 2 != signature[64] - 27:
        y = P - y
    inverse = pow(r, -1, N)
    e = int.from_bytes(digest, "big")
    key = _add(_times((r, y), s * inverse % N), _times(G, -e * inverse % N))
    if key is None:
        return None
    return keccak256(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:]
