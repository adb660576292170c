# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check setup clean

demo: .stamps/serve  ## set everything up and run the main job on this Python's standard library
	$(BIN)/repotune demo

test: .stamps/dev check  ## everything CI checks
	$(BIN)/pytest -n 2 --dist loadfile

check: .stamps/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .stamps/dev  ## the environment of a contributor

.stamps/venv:
	$(PYTHON) -c 'import sys; sys.exit("repotune needs Python 3.11 or later; try: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	mkdir -p .stamps && touch $@

.stamps/serve: .stamps/venv pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[serve]'
	touch $@

.stamps/dev: .stamps/venv pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .stamps/serve

clean:
	rm -rf .venv .stamps repotune-demo
