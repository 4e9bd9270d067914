# diffufix: `make demo` shows it at work, `make test` checks it. Each makes its own environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The build of PyTorch without CUDA; on a machine without an NVIDIA GPU nothing else is needed.
TORCH_CPU := torch==2.13.0+cpu
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

# LOCKED=1 installs the versions of requirements-dev.lock.
CONSTRAINTS := $(if $(LOCKED),-c requirements-dev.lock)

# Processes that the tests are shared by.
JOBS := 2

# Folders of tests that start many sandboxes or train models: minutes each.
LENGTHY := attacks e2e sandbox packaging train

.DEFAULT_GOAL := help
.PHONY: help setup demo learn test quick lint types unit coverage format docs figures wheel clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## Make the environment in .venv and install diffufix into it.

demo: $(READY)  ## Repair an example project with four faults.
	@bash examples/demo.sh $(abspath $(BIN))

learn: $(READY)  ## Repair it, practise on it for five minutes, repair it again.
	@bash examples/learn.sh $(abspath $(BIN))

test: lint types unit  ## Everything that must pass: lint, types, tests.

quick: lint types  ## What to run while editing: lint, types, quick tests.
	$(BIN)/python -m pytest -q -m 'not slow' $(addprefix --ignore=tests/,$(LENGTHY))

lint: $(READY)  ## ruff: rules and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy.
	$(BIN)/mypy

unit: $(READY)  ## pytest, in JOBS=2 processes.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

coverage: $(READY)  ## pytest under coverage.py; the report ends in build/coverage.
	$(BIN)/python -m coverage run -m pytest -q -m 'not slow'
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage html

format: $(READY)  ## Let ruff format the sources.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Build the documentation's site into build/site.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --config-file docs/site/mkdocs.yml

figures: $(READY)  ## Draw the pictures of a real repair anew (needs tmux).
	$(BIN)/python bench/figures.py

wheel: $(READY)  ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## Remove the environment and everything that was built.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is needed (Debian: apt-get install python3-venv)." >&2; exit 2; }
	@if ! command -v nvidia-smi >/dev/null 2>&1 && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
		echo "No NVIDIA GPU: installing PyTorch without CUDA."; \
		$(BIN)/pip install --quiet --retries 0 --no-deps --extra-index-url $(TORCH_CPU_INDEX) '$(TORCH_CPU)' || \
		echo "That build is not to be had here; taking the one pip chooses."; \
	fi
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e '.[dev]'
	@touch $@
