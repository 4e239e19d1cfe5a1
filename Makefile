# `make demo` shows what hfclient does, `make test` checks it, `make docs` builds its pages. Each installs what it needs.
PYTHON  ?= python3
TORCH   ?= 2.13.0
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
READY   := $(VENV)/.ready
ENGINES := $(VENV)/.engines

.PHONY: demo test lint types core local coverage docs clean

demo: $(READY)
	@$(BIN)/python examples/demo.py

test: lint types core local

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

core: $(READY)
	PYTHONHASHSEED=0 $(BIN)/pytest -n 2 --ignore=tests/local

local: $(ENGINES)
	PYTHONHASHSEED=0 $(BIN)/pytest -n 2 tests/local

coverage: $(ENGINES)
	PYTHONHASHSEED=0 $(BIN)/pytest -n 2 --cov --cov-report=term

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY)
	$(PIP) --editable ".[docs]"
	@touch $(VENV)/.docs

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[dev]"
	@touch $(READY)

# torch first, and held to its version: else another package brings a build for an accelerator, gigabytes of it.
$(ENGINES): $(READY)
	$(PIP) torch==$(TORCH)
	@echo torch==$(TORCH) > $(VENV)/constraints.txt
	$(PIP) --constraint $(VENV)/constraints.txt --editable ".[dev,torch,mlx,gguf]"
	@touch $(ENGINES)

clean:
	rm -rf $(VENV) build dist site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
