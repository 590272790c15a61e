# `make demo` and `make test` need Python 3.10 or newer, pip and make: they set everything else up.
# Another interpreter or environment folder: make test PYTHON=python3.12 VENV=/tmp/latentsmooth-venv

PYTHON ?= python3
VENV ?= .venv
DEMO_FLAGS ?=
# One process a core; `make test PYTEST_FLAGS=` runs the tests in one.
PYTEST_FLAGS ?= --numprocesses auto --dist worksteal

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo check test lint format docs lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(INSTALLED) ## train, certify and compare LSRS and ISRS on the embedded images
	$(BIN)/latentsmooth demo $(DEMO_FLAGS)

check: $(INSTALLED) ## what to run at every change: style, types and the quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m 'not slow' --durations 10 $(PYTEST_FLAGS)

test: $(INSTALLED) ## run every test and doctest; fail below 90 % coverage
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered --cov-fail-under=90 $(PYTEST_FLAGS)

lint: $(INSTALLED) ## check style, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## mend style and format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## build the documentation into site/
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

lock: $(INSTALLED) ## write requirements.lock anew after a change of pyproject.toml
	$(BIN)/python scripts/lock.py

$(INSTALLED): requirements.lock pyproject.toml
	@sh scripts/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

clean: ## remove build outputs and caches
	rm -rf build dist site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf .venv
