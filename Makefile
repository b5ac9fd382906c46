# promptc: `make demo` and `make test` work on a fresh machine; everything else builds on .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types layers bench schema clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/promptc: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	# The plots of report.html need a wheel that not every machine has; without it they stand as tables.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[report]' || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(BIN)/promptc pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo: $(BIN)/promptc ## Optimize a sample on the embedded model, on this machine, without a key
	$(BIN)/promptc optimize samples/triage/spec.yaml

test: $(VENV)/.test ## Run all tests
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.test lint types layers test ## Everything that CI runs: format, lint, types, layers, tests

format: $(VENV)/.test ## Put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.test ## Format and lint, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.test ## spec <- runners <- optimizers <- cli
	$(BIN)/lint-imports --no-cache

schema: $(BIN)/promptc ## Write the committed JSON Schema of a spec
	$(BIN)/python -m promptc.cli.schema --write

bench: $(VENV)/.test ## Measure; prints what docs/benchmarks.md keeps
	$(BIN)/python benchmarks/bench.py

clean: ## Remove what make made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
