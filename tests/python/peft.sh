#!/usr/bin/env bash
# Both shipped adapters through Hugging Face's peft, logits against the trainer's. Installs torch (3 GB) into a folder of its
# own, so it is run by hand after a training, not by `make test`.
#
#   tests/python/peft.sh MODEL.gguf
set -euo pipefail
model=$(realpath "$1")
cd "$(dirname "$0")/../.."
venv="${XDG_CACHE_HOME:-$HOME/.cache}/tributary/venv-peft"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/python/requirements-peft.txt
probe=$(mktemp --suffix=.json)
trap 'rm -f "$probe"' EXIT
for adapter in adapters/dict-devil adapters/dict-jargon; do
  cargo run --quiet --locked -p tributary-train --example probe -- "$model" "$adapter" "$probe"
  "$venv/bin/python" tests/python/peft_load.py "$model" "$adapter" "$probe"
done
