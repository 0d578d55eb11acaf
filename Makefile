PYTHON  ?= python3
WORKERS ?= 2

# Relative on purpose: a checkout path may contain spaces.
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo test test-system docs lint clean links

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.harkd  ## train, distil, export and report on the demo recordings
	$(BIN)/harkd demo

test: lint  ## every check, and every test but the system tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not system"

test-system: .venv/.harkd-all  ## the tests that need programs from outside Python (g++, Chromium)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m system

docs: .venv/.harkd-all  ## the documentation as HTML, in docs/_build
	$(BIN)/sphinx-build -W --keep-going -n -b html -c docs . docs/_build/html

lint: .venv/.harkd-all  ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove the environment, builds and caches
	rm -rf .venv build dist harkd.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find harkd datasets augment tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps: installed once, and again when what is to be installed changed.
.venv/.harkd: pyproject.toml constraints.txt | links
	$(call install,.[export])

.venv/.harkd-all: pyproject.toml constraints.txt | links
	$(call install,.[all])
	@touch .venv/.harkd

define install
@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("harkd needs Python 3.11 or newer: make PYTHON=python3.12")'
$(PYTHON) -m venv .venv
$(BIN)/python -m pip install -c constraints.txt -e '$(1)'
@touch $@
endef

links:
	@for name in datasets augment; do test -d harkd/$$name || { \
		echo "harkd/$$name must be a symlink to ../$$name, but this checkout has a plain text file there." >&2; \
		echo "Allow symlinks (git config core.symlinks true; on Windows also Developer Mode, or use WSL)," >&2; \
		echo "delete harkd/datasets and harkd/augment, and run: git checkout -- harkd/datasets harkd/augment" >&2; \
		exit 1; }; done
