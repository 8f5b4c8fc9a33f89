# Two targets matter: `make demo` shows what Caution does, `make test` proves that it does.
# Both install what this machine lacks (tools/install says what, and installs nothing twice).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

# git, make and a rustup toolchain are assumed; one that is missing is named.
missing := $(strip $(foreach tool,git rustup cargo,$(if $(shell command -v $(tool) 2>/dev/null),,$(tool))))
ifneq ($(missing),)
$(error Missing on this machine: $(missing). Fix: `apt-get install git` for git, https://rustup.rs for rustup and cargo)
endif

target := $(abspath $(or $(CARGO_TARGET_DIR),target))
# The program that the system tests, the demo and the benchmarks drive.
export CAUTION_BIN := $(target)/release/caution
# The AWS crate's reader, which ours is measured beside.
export AWS_DESCRIBE_BIN := $(target)/oracle-eif/release/describe
# Ours and other verifiers beside each other.
export ATTEST_BENCH_BIN := $(target)/oracle-attest/release/bench-attest
# What tools/install makes.
tools_folder := $${CAUTION_WORKDIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/caution}/tools
tools := $(tools_folder)/bin

.PHONY: help demo test test-long fuzz models bench check build install install-test install-long install-bench install-fuzz \
	enclaveos base-images docker-engine clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install build enclaveos base-images ## build examples/hello, boot it in a local enclave, verify it from source, then get caught cheating
	@tools/demo

test: install-test build enclaveos base-images docker-engine ## every test, the fast ones first
	@$(run_tests)

test-long: install-long build enclaveos base-images docker-engine ## every test, those that take long too
	@tools/stage "QEMU's nitro-enclave machine" tools/qemu-nitro
	@$(run_tests) -- --include-ignored
	@$(run_fuzz)
	@tools/stage "Rust and TypeScript agree" tools/fuzz-agreement 60

# Crates, the examples, the AWS image tools and other verifiers as judges of ours, then the whole system. What stands
# outside the workspace has its own lock file, and its own folder below the shared one.
define run_tests
tests() { \
	tools/stage "crates" cargo test --locked --workspace --exclude caution-system-tests "$$@"; \
	tools/stage "verifier with AWS-LC" cargo test --locked --package caution-attest --features aws-lc "$$@"; \
	STEVED_BIN=$(target)/debug/examples/loopback tools/stage "TypeScript verifier" tools/sdk-js test; \
	tools/stage "examples/hello" cargo test --locked --manifest-path examples/hello/Cargo.toml \
		--target-dir $(target)/hello "$$@"; \
	tools/stage "examples/llm-tokens" cargo test --locked --manifest-path examples/llm-tokens/Cargo.toml \
		--target-dir $(target)/llm-tokens "$$@"; \
	tools/stage "examples/secret-notes" cargo test --locked --manifest-path examples/secret-notes/Cargo.toml \
		--target-dir $(target)/secret-notes "$$@"; \
	tools/stage "examples/notes" python3 -B -m unittest discover --start-directory examples/notes; \
	tools/stage "AWS image tools" cargo test --locked --manifest-path tests/oracle-eif/Cargo.toml \
		--target-dir $(target)/oracle-eif "$$@"; \
	ATTEST_PYTHON="$(tools_folder)/python-verifier/bin/python" tools/stage "other verifiers" cargo test --locked --release \
		--manifest-path tests/oracle-attest/Cargo.toml --target-dir $(target)/oracle-attest "$$@"; \
	cargo test --locked --package caution-system-tests "$$@"; \
}; tests
endef

fuzz: install-fuzz ## every fuzz target for SECONDS (60)
	@$(run_fuzz)

run_fuzz = PATH="$(tools):$$PATH" tools/stage "fuzz targets" tools/fuzz $(or $(SECONDS),60)

models: ## STEVE's handshake, verified as a model, and attacked where it must be (specs/models)
	@specs/models/check

bench: install-bench build enclaveos base-images ## measure what SPECIFICATION.md promises: a table, and target/bench.jsonl
	@tools/stage "AWS image reader" cargo build --locked --release --manifest-path tests/oracle-eif/Cargo.toml \
		--target-dir $(target)/oracle-eif --bin describe
	@tools/stage "other verifiers" cargo build --locked --release --manifest-path tests/oracle-attest/Cargo.toml \
		--target-dir $(target)/oracle-attest
	@PATH="$(tools):$$PATH" cargo xtask bench

check: ## format, lints and layers, as CI checks them first
	@tools/stage "format" cargo fmt --all --check
	@tools/stage "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
	@tools/stage "layers" cargo xtask check-layers
	@tools/stage "fuzz targets" cargo check --locked --quiet --manifest-path fuzz/Cargo.toml --all-targets --target-dir $(target)
	@tools/stage "TypeScript" tools/sdk-js check

build: ## the caution command, the host agent as a service, and the platform
	@tools/stage "caution command" cargo build --locked --release --package caution-cli --package caution-host
	@tools/stage "platform" cargo build --locked --release --package caution-server

install: ## what building and running an application needs
	@tools/install demo

install-test:
	@tools/install test

install-long:
	@tools/install long

install-bench:
	@tools/install bench

install-fuzz:
	@tools/install fuzz

# Content-addressed: nothing is built again unless its inputs changed.
enclaveos: install build ## the EnclaveOS release of this tree
	@tools/stage "EnclaveOS" $(CAUTION_BIN) enclaveos build

base-images: install ## the Debian bases of the examples
	@tools/stage "base images" tools/base-images/build

# Unpacked once, beside the machine's own programs.
docker-engine: install-test
	@tools/stage "docker with BuildKit" tools/docker-engine

clean: ## remove what was built in this checkout
	@cargo clean --quiet
	@rm -rf examples/*/eif-stage examples/*/.caution docs/book
