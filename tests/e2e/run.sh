#!/usr/bin/env bash
# The whole system from outside, as its users meet it: cast, viem, both openai clients through the paying proxy, the by-hand
# commands from an empty wallet to a claim, the demo three times over on one chain, and the oracle's own books of it; then what may
# go wrong: bad circumstances, and kills at any instant.
#   TRIBUTARY=path/of/the/binary PYTHON=python tests/e2e/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${TRIBUTARY:?names the binary}" "${PYTHON:?names the interpreter of make setup}"
work=$(mktemp -d)
node=
proxy=
cleanup() {
  status=$?
  [ -z "$proxy" ] || kill "$proxy" 2>/dev/null || true
  [ -z "$node" ] || { kill "$node" 2>/dev/null && wait "$node" 2>/dev/null; } || true
  if [ $status != 0 ]; then
    echo "e2e: FAILED; the node's last words:" >&2
    tail -n 40 "$work/node.log" >&2
  fi
  rm -rf "$work"
  exit $status
}
trap cleanup EXIT

step() { printf 'e2e: %s\n' "$*"; }

free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=$(free_port) ws=$(free_port) api=$(free_port) da=$(free_port) metrics=$(free_port) paying=$(free_port)
rpc=http://127.0.0.1:$http
cast() { tests/clients/node_modules/.bin/cast "$@" --rpc-url "$rpc"; }
junk="test test test test test test test test test test test junk"

start_node() {
  "$TRIBUTARY" dev --datadir "$work/data" --http.port "$http" --ws.port "$ws" --api.port "$api" \
    --da.memstore-port "$da" --metrics "127.0.0.1:$metrics" --batch.interval 3s --embeddings >>"$work/node.log" 2>&1 &
  node=$!
  for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$api/health" >/dev/null && cast block-number >/dev/null 2>&1 && return
    kill -0 "$node" || { echo "e2e: the node ended" >&2; exit 1; }
    sleep 0.2
  done
  echo "e2e: the node does not answer" >&2
  exit 1
}

step "node"
"$TRIBUTARY" model pull all-minilm-l6-v2 >/dev/null
start_node

step "cast"
cast block-number >/dev/null
cast send --mnemonic "$junk" 0x00000000000000000000000000000000000000bb --value 1ether --json | jq -e '.status == "0x1"' >/dev/null
grep -q 0x <<<"$(cast call 0x0000000000000000000000000000000000000A06 'all()')"
grep -q tributary <<<"$(curl -sf "http://127.0.0.1:$metrics/metrics")"
figures=$(curl -sf "http://127.0.0.1:$api/metrics")
grep -q '^vllm:cache_config_info{model_name="smollm2-135m-instruct"' <<<"$figures"
test -z "$(grep -E '^(vllm|tributary):' <<<"$figures" | grep -vF 'model_name="smollm2-135m-instruct"')"

step "viem"
node tests/clients/viem.mjs "$rpc" "ws://127.0.0.1:$ws"

step "by hand, from an empty wallet to a claim"
export TRIBUTARY_RPC=$rpc TRIBUTARY_API=http://127.0.0.1:$api
export TRIBUTARY_KEYSTORE=$work/wallet TRIBUTARY_PASSWORD_FILE=$work/password TRIBUTARY_LEDGERS=$work/ledgers
head -c 24 /dev/urandom | base64 >"$work/password"
"$TRIBUTARY" wallet new "$work/wallet" >/dev/null
address=$("$TRIBUTARY" wallet show --json | jq -r .address)
cast send --mnemonic "$junk" "$address" --value 50ether >/dev/null
"$TRIBUTARY" model register smollm2-135m-instruct --json | jq -e .id >/dev/null
# The entry that the question below makes the adapter recite.
"$TRIBUTARY" datanet create by-hand --json >"$work/datanet"
datanet=$(jq -r .id "$work/datanet")
"$PYTHON" tests/e2e/entries.py adapters/dict-devil/headwords.json >"$work/entries.jsonl"
"$TRIBUTARY" datanet add "$datanet" --jsonl "$work/entries.jsonl" --store "$work/documents" --json | jq -e 'length > 0' >/dev/null
"$TRIBUTARY" datanet seal "$datanet" --json | jq -e '.epoch == 1' >/dev/null
"$TRIBUTARY" datanet show "$datanet" >/dev/null
"$TRIBUTARY" adapter register by-hand adapters/dict-devil --base smollm2-135m-instruct --source "$datanet:1" --json | jq -e .id >/dev/null
"$TRIBUTARY" adapter show by-hand >/dev/null
operator=$(cast rpc tributary_workerStatus | jq -r .operator)
agent=$("$TRIBUTARY" agent register --operator "$operator" --stake 3 --json | jq -r .id)
channel=$("$TRIBUTARY" channel open "$agent" 2 --json | jq -r .channel)
question=$(jq -rs '.[0].questions[0]' "$work/entries.jsonl")
"$TRIBUTARY" chat by-hand "$question" --json >"$work/answer"
jq -e '.tributary.spans | length > 0' "$work/answer" >/dev/null
request=$(jq -r .tributary.requestId "$work/answer")
for _ in $(seq 120); do
  [ "$("$TRIBUTARY" explain "$request" --json | jq -r .status)" = final ] && break
  sleep 1
done
"$TRIBUTARY" explain "$request" >/dev/null
"$TRIBUTARY" claim --json | jq -e '.[0].amount > 0' >/dev/null
"$TRIBUTARY" channel show "$channel" --json | jq -e '.settled != "0"' >/dev/null
"$TRIBUTARY" channel close "$channel" --json | jq -e '.closeAt > 0' >/dev/null
channel=$("$TRIBUTARY" channel open "$agent" 8 --json | jq -r .channel)

step "openai clients, paying through the proxy"
"$TRIBUTARY" proxy --listen "127.0.0.1:$paying" --channel "$channel" >/dev/null &
proxy=$!
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$paying/health" >/dev/null && break; sleep 0.1; done
tests/clients/openai.sh "http://127.0.0.1:$paying/v1" smollm2-135m-instruct by-hand

step "the proxy and two chats on one channel at once: one ledger"
ledger() { "$TRIBUTARY" channel show "$channel" --json | jq -r ".ledger.$1"; }
used=$(ledger used) lost=$(ledger outstanding)
asking=()
for _ in 1 2; do
  "$TRIBUTARY" chat by-hand "$question" --channel "$channel" --json >/dev/null &
  asking+=($!)
  curl -sf "http://127.0.0.1:$paying/v1/chat/completions" -d '{"model": "by-hand", "max_tokens": 20, "messages": [{"role": "user", "content": "?"}]}' >/dev/null &
  asking+=($!)
done
for one in "${asking[@]}"; do wait "$one"; done
[ "$(ledger outstanding)" = "$lost" ] && [ "$(ledger used)" -gt "$used" ]

step "answers checked by one prefill: sampled, adapted, from the reply and from the record; a changed token is named"
jq -cn '{model: "by-hand", max_tokens: 40, temperature: 0.8, messages: [{role: "user", content: "What is a river?"}]}' >"$work/body"
curl -sf "http://127.0.0.1:$paying/v1/chat/completions" --data-binary @"$work/body" >"$work/checked"
check() { "$TRIBUTARY" verify-answer "$work/body" --json "$@" 2>/dev/null; }
check --reply "$work/checked" | jq -e '.verdict == "equal" and .tokens > 5' >/dev/null
request=$(jq -r .tributary.requestId "$work/checked")
check --record "$request" --channel "$channel" | jq -e '.verdict == "equal" and .sameBody' >/dev/null
jq '.tributary.output[5] += 1' "$work/checked" >"$work/changed"
status=0
check --reply "$work/changed" >"$work/verdict" || status=$?
[ "$status" = 1 ] && jq -e '.verdict == "token" and .index == 5' "$work/verdict" >/dev/null
jq -c '.messages[0].content = "What is a lake?"' "$work/body" >"$work/other" && mv "$work/other" "$work/body"
status=0
check --reply "$work/checked" >"$work/verdict" || status=$?
[ "$status" = 1 ] && jq -e '.verdict == "inputs"' "$work/verdict" >/dev/null
status=0
check --reply /dev/null >"$work/verdict" || status=$?
[ "$status" = 2 ] && [ ! -s "$work/verdict" ]

step "the demo, three times on one chain; the oracle after each"
kill "$node" && wait "$node" || true
rm -rf "$work/data"
start_node
for run in 1 2 3; do
  "$TRIBUTARY" demo --store "$work/documents" --json >"$work/run.json"
  jq -r '"  run '"$run"': \(.answers | length) answers, \(.batches | length) batches, \([.checks[] | select(.ok)] | length) of \(.checks | length) checks"' "$work/run.json"
  (cd tests/oracle && "$PYTHON" demo.py --rpc "$rpc" --run "$work/run.json" --da "http://127.0.0.1:$da")
done

step "the dashboard"
"$PYTHON" tests/e2e/dashboard.py "http://127.0.0.1:$metrics/metrics" \
  --elsewhere tributary_p2p_peers tributary_chain_import_seconds

step "bad circumstances"
"$PYTHON" tests/e2e/trouble.py --binary "$TRIBUTARY"
step "kill -9 at 20 random instants"
"$PYTHON" tests/e2e/crash.py --binary "$TRIBUTARY" ${CRASH_ARGS:-}
step "kill -9 at 200 random instants of building and importing"
"$PYTHON" tests/e2e/kills.py --tributary "$TRIBUTARY" ${KILLS_ARGS:-}
step "passed"
