#!/usr/bin/env python3
"""crates/chain/registry/data/superchain.jsonl.zst from the superchain registry, as the crate kona-registry carries it.

scripts/superchain.py CRATE

CRATE is the unpacked kona-registry (after `cargo add kona-registry && cargo fetch` it lies in cargo's registry/src).
Needs the zstd command. Each genesis there is compressed on its own; here code that many chains share is kept once, so
that all of them together take a tenth of that. First line: the shared code; then one chain a line.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/chain/registry/data/superchain.jsonl.zst"
HEADER = (
    "nonce", "timestamp", "extraData", "gasLimit", "difficulty", "mixHash", "coinbase", "number", "parentHash",
    "baseFeePerGas", "excessBlobGas", "blobGasUsed",
)


def genesis_of(folder: pathlib.Path, superchain: str, chain: str):
    path = folder / f"extra/genesis/{superchain}/{chain}.json.zst"
    if not path.exists():
        return None
    command = ["zstd", "-dc", "-D", folder / "extra/dictionary", path]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def account(found: dict, codes: dict):
    code = found.get("code")
    index = None if code in (None, "0x") else codes.setdefault(code, len(codes))
    storage = found.get("storage") or {}
    return [found.get("balance", "0x0"), found.get("nonce", "0x0"), index, storage]


def chain_of(folder: pathlib.Path, config: pathlib.Path, codes: dict) -> dict:
    superchain, chain = config.parent.name, config.stem
    read = tomllib.loads(config.read_text())
    genesis = genesis_of(folder, superchain, chain)
    alloc = genesis and genesis.pop("alloc")
    return {
        "superchain": superchain,
        "id": chain,
        "name": read["name"],
        "chainId": read["chain_id"],
        "superchainTime": read.get("superchain_time"),
        "hardforks": {name.removesuffix("_time"): time for name, time in read["hardforks"].items()},
        "eip1559Elasticity": read["optimism"]["eip1559_elasticity"],
        "eip1559Denominator": read["optimism"]["eip1559_denominator"],
        "eip1559DenominatorCanyon": read["optimism"]["eip1559_denominator_canyon"],
        "genesisHash": read["genesis"]["l2"]["hash"],
        "genesisNumber": read["genesis"]["l2"]["number"],
        "header": genesis and {key: genesis[key] for key in HEADER if genesis.get(key) is not None},
        "alloc": alloc and {address: account(found, codes) for address, found in sorted(alloc.items())},
    }


def main() -> None:
    crate = pathlib.Path(sys.argv[1])
    version = tomllib.loads((crate / "Cargo.toml").read_text())["package"]["version"]
    folder = crate / "superchain-registry/superchain"
    codes: dict = {}
    configs = sorted(path for path in folder.glob("configs/*/*.toml") if path.stem != "superchain")
    chains = [chain_of(folder, path, codes) for path in configs]
    lines = [{"source": f"kona-registry {version}", "codes": list(codes)}, *chains]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["zstd", "-q", "-f", "--ultra", "-22", "--long=27", "-o", OUT], input=text.encode(), check=True)
    print(f"{len(chains)} chains, {len(codes)} codes, {len(text)} bytes, {OUT.stat().st_size} compressed")


main()
