# Tribar. `make demo` and `make test` set everything up by themselves; nothing else is needed than
# Python 3.11 to 3.13, make and a reachable package index.
SHELL := /bin/bash
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
LEAN := .venv-executor
BIN := $(VENV)/bin
MARKET ?= simulated
ARGS ?=
PYTEST := $(BIN)/python -m pytest
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo up test test-fast soak check lint format bench lock audit golden clean
help: ## Show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements/bootstrap.lock requirements/pipeline.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Tribar needs Python 3.11 to 3.13, and {sys.executable} is {v[0]}.{v[1]}: run make PYTHON=python3.12 ...")'
	@echo "[setup] pipeline environment ($(VENV))"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/pipeline.lock \
	  || { echo "[setup] uv could not install (it does not read pip's configuration): trying pip"; \
	       $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pipeline.lock; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

$(LEAN)/.installed: $(VENV)/.installed requirements/executor.lock
	@echo "[setup] executor environment ($(LEAN))"
	@test -x $(LEAN)/bin/python || $(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LEAN)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(LEAN)/bin/python --require-hashes requirements/executor.lock \
	  || $(BIN)/python -m pip --python $(LEAN)/bin/python install --quiet --disable-pip-version-check --require-hashes -r requirements/executor.lock
	@$(BIN)/uv pip install --quiet --python $(LEAN)/bin/python --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

READY := $(VENV)/.installed $(LEAN)/.installed

demo: $(READY) ## Run the whole loop once: candles in, model trained, gated, promoted, traded on the paper exchange
	@$(BIN)/tribar demo --market "$(MARKET)" $(ARGS)

up: $(READY) ## Keep the whole system running (servers, schedule, executor)
	@$(BIN)/tribar up $(ARGS)

test: $(READY) ## Run the tests (no soak runs)
	@$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder -m "not soak" $(ARGS)

test-fast: $(READY) ## Run the unit tests alone, under a minute
	@$(PYTEST) -n 2 --dist loadfile -m "not slow and not servers and not soak" $(ARGS)

soak: $(READY) ## Run the full counts that the issues name (long)
	@$(PYTEST) -m "soak" --timeout 7200 $(ARGS)

lint: $(READY) ## Format, lint, types, architecture, security
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml features executor flows
	@$(BIN)/python .ci/audit.py requirements/pipeline.lock requirements/executor.lock

check: lint test ## Everything that CI runs

format: $(READY) ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(READY) ## Measure the speed beside the peers, as ratios of one run
	@$(BIN)/python -m tests.benchmarks.run $(ARGS)

lock: $(VENV)/.installed ## Resolve the locks anew
	@$(LOCK) --upgrade --extra pipeline --extra dev pyproject.toml -o requirements/pipeline.lock
	@$(LOCK) --extra executor --constraint requirements/pipeline.lock pyproject.toml -o requirements/executor.lock
	@sed -n '/^uv==/,/^[a-z]/p' requirements/pipeline.lock | sed '$$d' > requirements/bootstrap.lock
	@! grep -nE '://|index-url' requirements/*.lock || { echo "a lock names a host: set the index by environment, not in the lock"; exit 1; }

golden: $(READY) ## Write the golden files anew (review them as a diff)
	@TRIBAR_GOLDEN=write $(PYTEST) tests/golden $(ARGS)

clean: ## Remove the environments and caches (never data/ or mlruns/)
	@rm -rf $(VENV) $(LEAN) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
