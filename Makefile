# Tributary: the two commands are `make dev` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tributary
TARGET := $(or $(CARGO_TARGET_DIR),target)
VENV := $(CACHE)/venv

.PHONY: help setup dev test lint unit e2e interop fuzz oracle bench bench-chain bench-serving bench-gpu soak test-gpu genesis clean-dev

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 12

setup: ## install everything a bare Debian machine lacks (idempotent)
	scripts/setup.sh

dev: setup ## build, pull the model, start a node with an embedded sequencer
	$(CARGO) build --release --locked --bin tributary
	$(TARGET)/release/tributary model pull
	exec $(TARGET)/release/tributary dev $(DEV_ARGS)

test: setup lint unit e2e interop fuzz ## everything CI runs

lint: ## formatting, clippy and docs, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

unit: ## every Rust test
	$(CARGO) build --locked --bin tributary
	$(TARGET)/debug/tributary model pull
	$(CARGO) test --workspace --locked

e2e: ## whole-system tests that other languages drive: clients, wallets, the oracle
	$(CARGO) build --locked --bin tributary
	$(VENV)/bin/python scripts/cli_docs.py $(TARGET)/debug/tributary --check
	TRIBUTARY=$(abspath $(TARGET))/debug/tributary PYTHON=$(VENV)/bin/python tests/e2e/run.sh

interop: setup ## op-node, op-batcher, op-geth and geth around this node (SCENARIOS="sequencer verifier ...": only these)
	PYTHON=$(VENV)/bin/python tests/interop/prepare.sh $(CACHE)/interop
	$(CARGO) build --locked --bin tributary
	$(VENV)/bin/python tests/interop/run.py --tributary $(TARGET)/debug/tributary --bin $(CACHE)/interop/bin --jobs 2 $(SCENARIOS)

fuzz: ## a minute of fuzzing for each target (SECONDS_EACH=600: longer)
	fuzz/run.sh $(CACHE)/fuzz

bench: ## every figure of docs/STATUS.md
	scripts/bench.sh

soak: ## 20,000 requests through the engine while its adapter store and its clients misbehave
	SOAK_REQUESTS=20000 $(CARGO) test --locked -p tributary-engine --test it soak -- --nocapture

bench-chain: setup ## this node and op-geth on the same blocks (CASES="import build": only these; BENCH_ARGS: its flags)
	PYTHON=$(VENV)/bin/python tests/interop/prepare.sh $(CACHE)/interop
	$(CARGO) build --release --locked --bin tributary --bin tributary-bench-chain
	$(TARGET)/release/tributary-bench-chain --tributary $(TARGET)/release/tributary \
	  --op-geth $(CACHE)/interop/bin/op-geth --folder $(CACHE)/bench-chain $(BENCH_ARGS) $(CASES)

bench-serving: setup ## the serving engine beside llama.cpp and the machine's bounds (BENCH_ARGS="--help": sizes and cases)
	tests/bench/llama-venv.sh $(CACHE)/venv-llama
	$(CARGO) build --release --locked --bin tributary --bin tributary-bench-serving
	$(TARGET)/release/tributary-bench-serving --model "$$($(TARGET)/release/tributary model pull)" \
	  --tributary $(TARGET)/release/tributary --folder $(CACHE)/bench-serving --python $(CACHE)/venv-llama/bin/python $(BENCH_ARGS)

test-gpu: ## the GPU against the definition and the CPU; fails where there is none
	$(CARGO) build --release --locked --bin tributary
	$(TARGET)/release/tributary model pull
	$(CARGO) run --release --locked -p tributary-cuda --example gpu -- check
	! command -v compute-sanitizer >/dev/null || compute-sanitizer --error-exitcode 1 $(TARGET)/release/examples/gpu check

bench-gpu: ## steps on the GPU beside their bounds, then torch and peft on the same shapes (BENCH_ARGS: its flags); fails where there is none
	$(CARGO) run --release --locked -p tributary-cuda --example gpu -- bench
	tests/bench/gpu-venv.sh $(CACHE)/venv-gpu
	$(CACHE)/venv-gpu/bin/python tests/bench/gpu.py $(BENCH_ARGS)

genesis: ## remake genesis/dev.json
	$(CARGO) run --locked -p tributary-genesis

clean-dev: ## forget the dev chain
	rm -rf $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/tributary/dev
