"""Puts op-geth's superchain configurations where the optimism module wants them, without the keys it does not know.

    superchain_zip.py SUPERCHAIN_CONFIGS_ZIP TARGET_FOLDER
"""

import hashlib
import re
import sys
import zipfile
from pathlib import Path

NAME = "superchain-configs.zip"


def main(source: str, target: str) -> None:
    out = Path(target, NAME)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            data = old.read(entry.filename)
            if entry.filename.endswith(".toml"):
                data = re.sub(rb"(?m)^\s*(superchain_level|protocol_versions_addr)\s*=.*\n", b"", data)
            copy = zipfile.ZipInfo(entry.filename, entry.date_time)
            copy.compress_type = entry.compress_type
            new.writestr(copy, data)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    Path(target, NAME + ".sha256").write_text(f"{digest}  {NAME}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
