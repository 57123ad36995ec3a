#!/usr/bin/env bash
# Every bench of the workspace, one after the other, with the machine's name above them. Quiet the machine first.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -m1 'model name' /proc/cpuinfo
nproc
cargo run --release --locked --quiet --bin tributary -- model pull
cargo bench --locked -p tributary-cpu --bench throughput
cargo bench --locked -p tributary-trace --bench trace
cargo bench --locked -p tributary-batch --bench check
cargo bench --locked -p tributary-precompiles
cargo bench --locked -p tributary-state --bench block
cargo bench --locked -p tributary-evm
