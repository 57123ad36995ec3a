#!/usr/bin/env bash
# Installs what a bare Debian machine lacks to build, run and test Tributary. Safe to run again: what is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tributary"
mkdir -p "$cache"

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

debian_packages() {
  local wanted=(build-essential clang libclang-dev pkg-config git curl ca-certificates jq dict-devil dict-jargon) missing=()
  command -v python3 >/dev/null || wanted+=(python3 python3-venv)
  command -v python3 >/dev/null && ! python3 -c 'import venv, ensurepip' 2>/dev/null && wanted+=(python3-venv)
  command -v pip3 >/dev/null || python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3-pip)
  command -v npm >/dev/null || wanted+=(nodejs npm)
  for p in "${wanted[@]}"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return
  say "Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

rust_toolchain() {
  if ! command -v rustup >/dev/null && ! command -v cargo >/dev/null; then
    say "Rust"
    as_root apt-get install -y -qq rustup >/dev/null 2>&1 || {
      echo "setup: this Debian has no rustup package; install rustup by hand, then run make setup again" >&2
      exit 1
    }
  fi
  # rust-toolchain.toml names the version; asking for it installs it.
  cargo --version >/dev/null
}

python_packages() {
  local stamp="$cache/venv/.installed" want
  want=$(cat requirements.txt tests/oracle/requirements.txt tests/interop/requirements.txt | sha256sum | cut -d' ' -f1)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  say "Python packages in $cache/venv"
  [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
  echo "$want" >"$stamp"
}

node_packages() {
  local dir
  for dir in contracts tests/clients; do
    [ -f "$dir/package-lock.json" ] || continue
    local stamp="$dir/node_modules/.installed" want
    want=$(sha256sum "$dir/package-lock.json" | cut -d' ' -f1)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && continue
    say "npm packages of $dir"
    (cd "$dir" && npm ci --silent --no-audit --no-fund)
    echo "$want" >"$stamp"
  done
}

debian_packages
rust_toolchain
python_packages
node_packages
say "done"
