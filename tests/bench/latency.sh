#!/usr/bin/env bash
# Send → receipt with a block for each transaction, beside anvil in the same run. anvil keeps everything in memory; Tributary has each
# block on the disk, synced, before anyone sees its receipt.
#   TRIBUTARY=path/of/the/release/binary tests/bench/latency.sh [COUNT]
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${TRIBUTARY:?names the binary}"
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
"$TRIBUTARY" node --dev --datadir "$work/data" --http --http.port 18545 --dev.block-time 0s >"$work/node.log" 2>&1 &
pids+=($!)
tests/clients/node_modules/.bin/anvil --port 18546 --silent &
pids+=($!)
for port in 18545 18546; do
  for _ in $(seq 200); do
    curl -sf -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}' "http://127.0.0.1:$port" >/dev/null && break
    sleep 0.1
  done
done
node tests/clients/latency.mjs tributary=http://127.0.0.1:18545 anvil=http://127.0.0.1:18546 "${1:-300}"
