#!/usr/bin/env bash
# Runs every fuzz target for a while, or those that are named.
#   run.sh FOLDER_FOR_FINDINGS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
kept=${1:?names a folder}
shift
[ $# -gt 0 ] || set -- engine-json gossip requests rpc-batch
each=${SECONDS_EACH:-60}
target=${CARGO_TARGET_DIR:-target}

RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked -p tributary-fuzz --bins
mkdir -p fuzz/artifacts
for name in "$@"; do
  seeds=fuzz/corpus/${name//-/_}
  mkdir -p "$kept/$name"
  printf 'fuzz: %s, %s s\n' "$name" "$each"
  "$target/debug/fuzz-$name" "$kept/$name" "$seeds" -max_total_time="$each" -timeout=25 -rss_limit_mb=4096 -max_len=65536 \
    -artifact_prefix="fuzz/artifacts/$name-" -print_final_stats=1 >"$kept/$name.log" 2>&1 || {
    tail -n 40 "$kept/$name.log" >&2
    echo "fuzz: $name FAILED; the input is in fuzz/artifacts" >&2
    exit 1
  }
  grep -E '^stat::number_of_executed_units' "$kept/$name.log"
done
