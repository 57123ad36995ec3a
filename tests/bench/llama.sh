#!/usr/bin/env bash
# Decoding and prefill beside llama.cpp, built for this very CPU from the sdist of llama-cpp-python, in the same run.
#   tests/bench/llama.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tributary"
venv=$cache/venv-llama
tests/bench/llama-venv.sh "$venv"
cargo build --release --locked --quiet --bin tributary
model=$("${CARGO_TARGET_DIR:-target}/release/tributary" model pull)
bench=$(cargo bench --locked -p tributary-cpu --bench throughput --no-run --message-format json | jq -r 'select(.executable != null) | .executable' | tail -n 1)
"$venv/bin/python" tests/bench/llama.py --model "$model" --bench "$bench" --rounds "${1:-3}"
