# What a person does here; `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# The environment that up, down, watch and invoke mean.
NAME ?= dev
# Another stack than samconfig.toml names.
STACK ?=
CARGO_DENY_VERSION := 0.20.2

# Cargo and cargo-lambda share one target directory only if both name the target.
# (The local run needs Linux: the emulator runs the functions as its own processes.)
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET ?= $(HOST)
export SAM_CLI_TELEMETRY := 0

SAM_TOOLS := .local/sam/.installed
EMULATOR_TOOLS := .local/emulator/.installed
ENVIRONMENT := .local/emulator/bin/python infra/local/environment.py
# Cargo compiles a dependency once for each set of features that the named
# packages together ask of it. So the packages are always named in one of three
# groups: each function by itself (by sam), the programs, and all of it for tests.
PROGRAMS := --package waybill --package waybill-tests
ALL := --workspace --all-features
TOOLS_FIRST := PATH="$(CURDIR)/.local/sam/bin:$(CURDIR)/.local/cargo/bin:$$PATH"

.PHONY: help setup up down demo test fmt lint check-template deny advisories unit e2e model deploy watch invoke clean

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

## Checking it

test: fmt-check lint deny unit check-template e2e ## All checks and tests, what CI runs

fmt: ## Format the code
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

lint: ## Clippy, and no warning passes
	cargo clippy $(ALL) --all-targets -- -D warnings

unit: ## Tests that need nothing but the code
	cargo test $(ALL) --exclude waybill-tests

check-template: $(SAM_TOOLS) ## Lint the template
	$(TOOLS_FIRST) cfn-lint template.yaml
	$(TOOLS_FIRST) sam validate --lint --region us-east-1

e2e: setup ## Tests on the deployed template, in an environment of their own
	cargo build $(ALL) --bin waybill
	@trap '$(ENVIRONMENT) down --name test --keep' EXIT; \
	$(ENVIRONMENT) up --name test; \
	. .local/test/env; \
	export WAYBILL_REQUIRE_EMULATOR=1; \
	export RUST_TEST_THREADS=16; \
	cargo test $(ALL) --test dynamodb --test sqs --test failures --test it --test circuits --test outage

model: ## Explore every order of what can happen, and print what was explored (minutes)
	cargo run --package model

deny: .local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION) ## Licences and sources of the dependencies, and what is banned
	$(TOOLS_FIRST) cargo deny check bans licenses sources

advisories: .local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION) ## Known vulnerabilities; fetches the advisory database
	$(TOOLS_FIRST) cargo deny check advisories

.local/cargo/bin/cargo-deny-$(CARGO_DENY_VERSION):
	cargo install --debug --locked --root .local/cargo --target-dir .local/cargo/target --version $(CARGO_DENY_VERSION) cargo-deny
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
