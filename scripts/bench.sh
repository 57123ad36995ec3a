#!/usr/bin/env bash
# Every figure of docs/STATUS.md, one after the other, with the machine's name above them; peers run in the same run. Quiet the
# machine first; some 15 minutes, and as many once to build llama.cpp.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -m1 'model name' /proc/cpuinfo
nproc
cargo build --release --locked --quiet --bin tributary
tributary=${CARGO_TARGET_DIR:-target}/release/tributary
"$tributary" model pull
cargo bench --locked -p tributary-cpu --bench throughput
tests/bench/llama.sh
cargo bench --locked -p tributary-trace --bench trace
cargo bench --locked -p tributary-batch --bench check
cargo bench --locked -p tributary-precompiles
cargo bench --locked -p tributary-state --bench block
cargo bench --locked -p tributary-tree --bench transfers
cargo bench --locked -p tributary-evm
TRIBUTARY=$tributary tests/bench/latency.sh
