# The one list of commands. `make help` prints it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What a proto change is compared with: the newest release, or the last commit while there is none.
BREAKING_BASE ?= $(shell git describe --tags --abbrev=0 2>/dev/null || echo HEAD)
PYTEST := $(BIN)/python -m pytest
# One worker more than there are cores, since a third of a worker's time is waiting for processes and followers, and at
# most eight: each runs a PostgreSQL and a NATS, and the longest file sets the time. A file stays in one worker; files
# go out in the order of their paths, so that the long ones of the end-to-end tier come early.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help install gen format lint types openapi walls protos-check k8s-check test test-fast check demo run bench fuzz simulate model-check clean

help: ## Print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed ## Install everything into .venv, at the exact versions of requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

gen: gen/.stamp ## Generate gen/farebox from protos/

gen/.stamp: $(VENV)/.installed $(shell find protos -name '*.proto') protos/generate.py
	$(BIN)/python protos/generate.py
	@touch $@

format: install ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w protos

lint: install ## Check style, and that what is imported is declared and the reverse
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/deptry . --no-ansi

types: gen ## Check types (mypy strict)
	$(BIN)/mypy services gateway farebox

openapi: gen ## Write gateway/openapi.yaml from the operations
	$(BIN)/python -m gateway.openapi

walls: gen ## Check which room imports which (import-linter)
	$(BIN)/lint-imports

protos-check: install ## Check the protos: style, comments, and that nothing breaks older callers
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against '.git#ref=$(BREAKING_BASE),subdir=protos'

k8s-check: install ## Render the Kubernetes manifests and check them against the API's schemas
	$(BIN)/python k8s/check.py

test: gen ## Run every tier: unit, property, contract, integration, end-to-end
	$(PYTEST) $(PARALLEL)

test-fast: gen ## Run the tiers without I/O
	$(PYTEST) $(PARALLEL) tests/contract tests/property tests/unit

check: lint types walls protos-check k8s-check test ## Everything that CI checks

demo: gen ## Play the story: from usage events to an invoice and its margin
	$(BIN)/python examples/demo.py $(DEMO_FLAGS)

run: gen ## Keep the whole suite up on this machine; Ctrl-C ends it
	@$(BIN)/python -m services.local

bench: gen ## Measure: make bench BENCH=ingest|rating|…
	$(BIN)/python -m benchmarks $(BENCH)

fuzz: gen ## Throw a million hostile inputs at the ingest decoder
	$(BIN)/python -m benchmarks.fuzz_ingest

simulate: gen ## Five years of 1,000 subscriptions: no gap, no overlap, no double-billed second
	$(BIN)/python -m benchmarks.simulate $(SIMULATE_FLAGS)

model-check: gen ## Bill 20,000 random histories, prices and calendars, and compare each with the independent oracle
	$(BIN)/python -m tests.oracles.model_check $(MODEL_FLAGS)

clean: ## Remove what the other commands made, the demo's data included
	rm -rf $(VENV) gen .farebox .mypy_cache .ruff_cache .hypothesis .import_linter_cache
