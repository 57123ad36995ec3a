#!/usr/bin/env bash
# torch and peft for tests/bench/gpu.py, in a virtual environment; some gigabytes.
#   tests/bench/gpu-venv.sh VENV
set -euo pipefail
venv=$1
wanted="$(dirname "$0")/requirements-gpu.txt"
cmp -s "$wanted" "$venv/.installed" && exit
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
echo "installing torch and peft in $venv, some minutes" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
cp "$wanted" "$venv/.installed"
