#!/usr/bin/env bash
# Both openai clients against an endpoint that asks nothing of them: a node without payments, or `tributary proxy`.
#   openai.sh BASE_URL MODEL [ADAPTER]        PYTHON names the interpreter that has the openai package
set -euo pipefail
cd "$(dirname "$0")"
"${PYTHON:-python3}" openai_client.py "$@"
node openai.mjs "$@"
