"""The chain over RPC: what records are judged by."""

import functools
import pathlib
from urllib.parse import unquote, urlparse

import requests

from .hashing import keccak256, leaf, unhex
from .merkle import root, tokens_root
from .money import Model, Params
from .trace import Datanet, Document

DATANETS, MODELS, AGENTS, SETTLEMENT, ATTRIBUTION, PARAMS = (unhex("0x" + "00" * 18 + f"0a0{n}") for n in range(1, 7))

EPOCH = "(bytes32,uint32,uint64,uint64)"
DATANET = "(address,string,string,bytes32,uint32,uint32,uint64,uint64,bool)"
CONTRIBUTION = "(uint64,address,bytes32,bytes32,uint64,uint64,uint64,uint64,bool,string)"
MODEL = (
    "(uint64,uint64,address,address,string,string,bytes32,bytes32,bytes32,uint32,uint96,uint96,uint64,uint64,(uint64,uint64)[])"
)
AGENT = "(uint64,uint8,address,address,string,string,uint64,uint64,bool,uint128,uint128,uint128,uint128)"
CHANNEL = "(uint64,address,address,uint8,uint64,uint128,uint128)"


class Chain:
    """Reads through contract views alone. `problems` collects what the chain and the texts disagree about."""

    def __init__(self, rpc):
        self.rpc, self.problems, self.checked = rpc, [], 0

    def equal(self, what: str, got, want):
        self.checked += 1
        if got != want:
            self.problems.append(f"{what}: got {got!r}, want {want!r}")

    @functools.cache
    def param(self, key: str, block: int) -> int:
        key = key.encode().ljust(32, b"\0")
        return self.rpc.view(PARAMS, "at(bytes32,uint64)", "(uint256)", key, block)[0]

    @functools.cache
    def params(self, block: int) -> Params:
        names = (
            "platformFee", "betaBps", "gammaBps", "baseShareBps", "maxSpans", "maxPayees", "maxRecordAge", "maxRecordBytes",
        )
        return Params(*(self.param(name, block) for name in names))

    @functools.cache
    def model(self, id_: int, block: int) -> Model:
        (info,) = self.rpc.view(MODELS, "get(uint64)", f"({MODEL})", id_)
        rates = self.rpc.view(MODELS, "ratesAt(uint64,uint64)", "(uint96,uint96)", id_, block)
        (owner,) = self.rpc.view(MODELS, "ownerAt(uint64,uint64)", "(address)", id_, block)
        (retired,) = self.rpc.view(MODELS, "retiredAt(uint64,uint64)", "(bool)", id_, block)
        sources = [tuple(source) for source in info[14]]
        return Model(id_, info[1], owner, rates[0], rates[1], info[7], info[8], sources, retired)

    @functools.cache
    def channel(self, id_: bytes) -> list:
        return self.rpc.view(SETTLEMENT, "getChannel(bytes32)", f"({CHANNEL})", id_)[0]

    def signer(self, channel: bytes) -> bytes:
        return self.channel(channel)[2]

    @functools.cache
    def agent_owner(self, id_: int) -> bytes:
        return self.rpc.view(AGENTS, "get(uint64)", f"({AGENT})", id_)[0][2]

    @functools.cache
    def contribution(self, id_: int) -> list:
        return self.rpc.view(DATANETS, "getContribution(uint64)", f"({CONTRIBUTION})", id_)[0]

    def contributor(self, id_: int) -> bytes:
        return self.contribution(id_)[1]

    @functools.cache
    def tokens(self, id_: int) -> list:
        """A contribution's tokens from its uri, checked against the chain; its text too when it lies beside."""
        contribution = self.contribution(id_)
        data = fetch(contribution[9])
        tokens = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]
        self.equal(f"contribution {id_} tokens", len(tokens), contribution[4])
        self.equal(f"contribution {id_} tokensRoot", tokens_root(tokens), contribution[3])
        text = self.text(id_)
        if text is not None:
            self.equal(f"contribution {id_} contentHash", keccak256(text), contribution[2])
        return tokens

    @functools.cache
    def text(self, id_: int):
        """The text beside a token file, or None."""
        try:
            return fetch(self.contribution(id_)[9].removesuffix(".tokens") + ".txt")
        except (OSError, requests.RequestException):
            return None

    @functools.cache
    def positions(self, id_: int) -> list:
        """For each token the bytes of the text it covers."""
        data = fetch(self.contribution(id_)[9].removesuffix(".tokens") + ".positions")
        return [
            (int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")) for at in range(0, len(data), 8)
        ]

    @functools.cache
    def datanet(self, id_: int, epoch: int) -> Datanet:
        (info,) = self.rpc.view(DATANETS, "get(uint64)", f"({DATANET})", id_)
        ((sealed, count, live, _),) = self.rpc.view(DATANETS, "getEpoch(uint64,uint64)", f"({EPOCH})", id_, epoch)
        leaves, documents, tokens = [], [], 0
        for index in range(count):
            c = self.contribution(id_ << 32 | index)
            leaves.append(leaf(index, c[1], c[2], c[3], c[4], c[5]))
            if c[8]:
                continue
            removed = 0 < c[7] <= epoch
            tokens += 0 if removed else c[4]
            documents.append(Document(c[0], c[5], removed, self.tokens(c[0])))
        self.equal(f"datanet {id_} epoch {epoch} root", root(32, leaves), sealed)
        self.equal(f"datanet {id_} epoch {epoch} tokens", tokens, live)
        return Datanet(info[4], documents)

    def claimed(self, agent: int, account: bytes) -> int:
        return self.rpc.view(SETTLEMENT, "claimedOf(uint64,address)", "(uint128)", agent, account)[0]


def fetch(uri: str) -> bytes:
    parts = urlparse(uri)
    if parts.scheme == "file":
        return pathlib.Path(unquote(parts.path)).read_bytes()
    if parts.scheme in ("http", "https"):
        answer = requests.get(uri, timeout=60)
        answer.raise_for_status()
        return answer.content
    raise ValueError(f"no way to fetch {uri}")
