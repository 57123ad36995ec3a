#!/usr/bin/env bash
# Compiles the interfaces and the reference contracts; artefacts go to contracts/out. `make setup` installs the tools.
set -euo pipefail
cd "$(dirname "$0")"
forge=node_modules/@foundry-rs/forge-linux-amd64/bin/forge
if [ ! -x "$forge" ] || [ ! -d node_modules/solc ]; then
  echo "contracts: forge or solc is missing; run make setup" >&2
  exit 1
fi
# Two tests that build at once must not write the same files.
exec 9>.build.lock
flock 9
exec "$forge" "${@:-build}"
