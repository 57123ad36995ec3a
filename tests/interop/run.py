#!/usr/bin/env python3
"""Runs scenarios against a Tributary binary and the real OP Stack that prepare.sh built.

    run.py --tributary BINARY --bin DIR [--keep] [SCENARIO...]
"""

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from devnet.stack import Devnet  # noqa: E402


def main() -> int:
    known = sorted(path.stem for path in (HERE / "scenarios").glob("*.py") if path.stem != "__init__")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tributary", type=Path, required=True, help="the binary under test")
    parser.add_argument("--bin", type=Path, required=True, help="folder with geth, op-node, op-batcher, op-geth")
    parser.add_argument("--keep", action="store_true", help="keep the logs of scenarios that pass")
    parser.add_argument("scenario", nargs="*", choices=[[], *known], default=known)
    args = parser.parse_args()

    failed = []
    for name in args.scenario:
        scenario = importlib.import_module(f"scenarios.{name}")
        print(f"interop: {name}: {scenario.__doc__.strip()}", flush=True)
        start = time.monotonic()
        try:
            with Devnet(args.tributary.resolve(), args.bin.resolve(), args.keep) as devnet:
                scenario.run(devnet)
        except (AssertionError, TimeoutError, OSError, RuntimeError):
            traceback.print_exc()
            failed.append(name)
        result = "FAILED" if name in failed else "passed"
        print(f"interop: {name}: {result} in {time.monotonic() - start:.0f} s", flush=True)
    print(f"interop: {len(args.scenario) - len(failed)} of {len(args.scenario)} scenarios passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
