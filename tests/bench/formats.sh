#!/usr/bin/env bash
# Perplexity of the profile against the same file in float, for every weight format: the default model written by llama.cpp's own quantiser
# as F32, F16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K. Rows that are no multiple of 256 long become what llama.cpp falls back to.
#   tests/bench/formats.sh [FORMAT ...]        STRIDE=4: every fourth window of each text
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tributary"
python=$cache/venv-llama/bin/python
[ -x "$python" ] || { echo "tests/bench/llama-venv.sh builds llama.cpp first" >&2; exit 1; }
model=$(cargo run --quiet --locked --bin tributary -- model pull)
bench=$(cargo bench --locked -p tributary-cpu --bench perplexity --no-run --message-format json | jq -r 'select(.executable != null) | .executable' | tail -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- F32 F16 Q8_0 Q4_0 Q4_1 Q4_K Q6_K
for format in "$@"; do
  "$python" tests/bench/quantize.py "$model" "$work/model.gguf" "$format"
  "$bench" "--model=$work/model.gguf" "--stride=${STRIDE:-1}" | sed "s/^/$format  /"
done
