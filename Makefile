# `make demo` and `make test` do all set-up on a fresh machine. They share one environment, .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.PHONY: demo test test-data bench micro torture fuzz lint format api lexicon clean

demo: $(VENV)/.demo
	$(BIN)/lexicell demo --out demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Those of them that need the real data sets.
test-data: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m data

# Measures this machine, ourselves and what people use today, and appends to bench/results: about 15 minutes.
bench: $(VENV)/.test
	$(BIN)/python -m bench
	$(BIN)/python -m bench report

# Times single parts; in `make test` the same files run once each, as tests.
micro: $(VENV)/.test
	$(BIN)/python -m pytest bench/micro --benchmark-enable --benchmark-columns=median,iqr,rounds

# Kills runs at every step and at random instants, 200 times; some minutes.
torture: $(VENV)/.test
	$(BIN)/python -m tests.torture

# Damages inputs N times and lists what is not told in a sentence; about ten cases a second.
N ?= 2000
FIRST ?= 0
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(N) --first $(FIRST)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint Dockerfile.cuda

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Makes docs/api.md anew, from the docstrings.
api: $(VENV)/.test
	$(BIN)/python docs/make_api.py

# Rebuilds the lexicon that comes with the package, and the vectors of its cell types; about five minutes on two cores.
lexicon: $(VENV)/.test
	$(BIN)/python lexicons/human-go-minilm/build.py
	$(BIN)/python lexicons/cell_types.py

clean:
	rm -rf $(VENV) demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find engine kernels bench tests lexicons -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python $(SETUP)
	@echo "installing into $(VENV) (a minute or two, once)"
	$(PIP) --editable ".[demo]"
	@touch $@

# torch first and by its pin, so that nothing else pulls a build with CUDA.
$(VENV)/.test: $(BIN)/python $(SETUP)
	@echo "installing into $(VENV) (a few minutes, once)"
	$(PIP) torch
	$(PIP) --editable ".[test]"
	@touch $@ $(VENV)/.demo
