#!/usr/bin/env bash
# llama.cpp for this very CPU, from the sdist of llama-cpp-python, in a virtual environment.
#   tests/bench/llama-venv.sh VENV
set -euo pipefail
venv=$1
[ -e "$venv/.built" ] && exit
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
echo "building llama.cpp for this CPU, some minutes" >&2
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) \
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-binary llama-cpp-python -r "$(dirname "$0")/requirements.txt"
touch "$venv/.built"
