#!/usr/bin/env python3
"""Makes a development network: contracts on a dev L1, and the files that the nodes of the L2 start from.

    setup.py --l1 URL --out FOLDER --tributary BINARY

What is there already is kept: a network is made once.
"""

import argparse
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/interop"))

from devnet.genesis import BATCHER, Schedule, economy_genesis, rollup  # noqa: E402
from devnet.l1 import L1  # noqa: E402
from devnet.process import wait_until  # noqa: E402

# Every fork is active from genesis on.
SCHEDULE = Schedule({})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--l1", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--tributary", required=True)
    args = parser.parse_args()
    done = args.out / "rollup.json"
    if done.exists():
        print(f"{done} is there: nothing to do")
        return
    args.out.mkdir(parents=True, exist_ok=True)

    l1 = L1(args.l1)
    wait_until("the L1 answers", lambda: l1.rpc.number() >= 0, 120)
    l1.deploy()
    l1.fund(BATCHER, 1_000)
    anchor = l1.rpc.block("latest")
    time = int(anchor["timestamp"], 16)
    genesis = economy_genesis(SCHEDULE, time)
    write(args.out / "genesis.json", genesis)
    write(args.out / "l1.json", l1.chain_config())
    secret = args.out / "jwt.hex"
    secret.write_text(secrets.token_hex(32))

    with tempfile.TemporaryDirectory() as folder:
        command = [args.tributary, "init", "--chain", args.out / "genesis.json", "--datadir", folder]
        l2_hash = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    config = rollup(
        SCHEDULE, time, anchor, l2_hash, int(l1.rpc.call("eth_chainId"), 16), l1.deposits, l1.system_config, genesis["config"]["chainId"],
    )
    # Last: its presence says that all is done.
    write(done, config)
    print(f"genesis {l2_hash}, anchored at L1 block {int(anchor['number'], 16)}")


def write(path: pathlib.Path, content: dict):
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    main()
