#!/usr/bin/env python3
"""Runs scenarios against a Tributary binary and the real OP Stack that prepare.sh built.

    run.py --tributary BINARY --bin DIR [--keep] [--jobs N] [SCENARIO...]

Scenarios wait more than they work: with `--jobs 2` two of them run beside each other, each in a process and on ports of its own.
"""

import argparse
import importlib
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
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
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time")
    parser.add_argument("scenario", nargs="*", choices=[[], *known], help="which; all, if none is named")
    args = parser.parse_args()
    args.scenario = args.scenario or known

    if args.jobs > 1 and len(args.scenario) > 1:
        with ThreadPoolExecutor(args.jobs) as pool:
            passed = list(pool.map(lambda name: elsewhere(name, args), args.scenario))
    else:
        passed = [here(name, args) for name in args.scenario]
    print(f"interop: {sum(passed)} of {len(passed)} scenarios passed")
    return 0 if all(passed) else 1


def here(name: str, args) -> bool:
    """Runs a scenario in this process."""
    scenario = importlib.import_module(f"scenarios.{name}")
    print(f"interop: {name}: {scenario.__doc__.strip()}", flush=True)
    start, passed = time.monotonic(), True
    try:
        with Devnet(args.tributary.resolve(), args.bin.resolve(), args.keep) as devnet:
            scenario.run(devnet)
    except (AssertionError, TimeoutError, OSError, RuntimeError):
        traceback.print_exc(file=sys.stdout)
        passed = False
    result = "passed" if passed else "FAILED"
    print(f"interop: {name}: {result} in {time.monotonic() - start:.0f} s", flush=True)
    return passed


def elsewhere(name: str, args) -> bool:
    """Runs a scenario in a process, and prints what it says in one piece."""
    command = [sys.executable, __file__, "--tributary", args.tributary, "--bin", args.bin, *(["--keep"] if args.keep else []), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print("\n".join(done.stdout.splitlines()[:-1]), flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
