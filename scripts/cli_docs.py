#!/usr/bin/env python3
"""docs/cli.md from the binary's own -h, so that it cannot say anything else.

scripts/cli_docs.py BINARY          writes it
scripts/cli_docs.py BINARY --check  fails when it is not what the binary says
"""

import pathlib
import subprocess
import sys

FILE = pathlib.Path(__file__).resolve().parent.parent / "docs/cli.md"
HEAD = """# The command line

Made from `-h` by `scripts/cli_docs.py`; `make test` compares it with the binary. `--help` says more of each option.
"""


def help_of(binary: str, path: list) -> str:
    env = {"HOME": "/home/you", "COLUMNS": "100", "PATH": ""}
    text = subprocess.run(["tributary", *path, "-h"], executable=binary, env=env, check=True, capture_output=True, text=True).stdout
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def subcommands(text: str) -> list:
    lines = iter(text.splitlines())
    if "Commands:" not in lines:
        return []
    names = []
    for line in lines:
        if not line.startswith("  "):
            break
        if line[2] != " ":
            names.append(line.split()[0])
    return [name for name in names if name != "help"]


def pages(binary: str, path: list):
    text = help_of(binary, path)
    title = " ".join(["tributary", *path])
    yield f"\n{'#' * min(len(path) + 2, 4)} `{title}`\n\n```text\n{text}\n```\n"
    for name in subcommands(text):
        yield from pages(binary, [*path, name])


def main() -> int:
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    said = HEAD + "".join(pages(binary, []))
    if "--check" not in sys.argv:
        FILE.write_text(said)
        return 0
    if FILE.read_text() != said:
        print(f"{FILE} is not what the binary says: run scripts/cli_docs.py {sys.argv[1]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
