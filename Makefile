# `make run` and `make test` do all the set-up they need; the second call starts at once.

# The first interpreter that will do; another with `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
  && echo $$python && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: run test test-slow test-all check bench clean
.DEFAULT_GOAL := run

run: $(STAMP) ## the whole pipeline, then the verdict and where the report is
	@toto run

test: $(STAMP) ## what does not take long
	@pytest -q -m "not slow and not gpu"

test-slow: $(STAMP) ## what takes long: real Prefect servers, whole pipelines, killed runs
	@pytest -q -m "slow and not gpu"

test-all: test test-slow

check: $(STAMP) ## format, lint, types and the rules on who imports what: what CI checks
	@ruff format --check --quiet .
	@ruff check --quiet .
	@basedpyright --level error
	@pytest -q -p no:xdist -o addopts=--strict-markers tests/test_layers.py tests/test_setup.py

bench: $(STAMP) ## how long the pipeline takes where there is nothing to do
	@python benchmarks/orchestration.py

clean: ## every output of the pipeline; DVC's cache, your data in data/raw and .venv stay
	rm -rf data/series data/valid data/quarantine data/corpus data/fingerprints.npz data/forecasts \
	  data/splits.json data/targets.parquet data/losses.parquet models reports/index.html \
	  reports/validation.html runs wandb

# The stamp is written last, so an installation that was stopped half-way is taken up again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(None if ok else \
	  "make: python = %d.%d, 3.11 to 3.13 is needed; install one, or name it with make PYTHON=..." \
	  % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) -m venv failed, the \
	  venv module is needed; install it (Debian and Ubuntu: python3-venv)" >&2; exit 1; }
	@echo "make: installing the locked versions into $(VENV), some minutes the first time"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
	  --constraint constraints.txt --editable '.[dev]'
	@touch $@
