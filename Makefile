# `make demo` and `make test` do all set-up on a fresh machine. They share one environment, .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported: to compile all takes longer than to install them.
INSTALL := -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
PIP := $(BIN)/python $(INSTALL)
SETUP := pyproject.toml constraints.txt

CONSUMERS := $(VENV)/consumers
ALONE := -c tests/consumers/alone.ini --confcutdir

.PHONY: demo test test-rest test-all test-python test-consumers dist bench micro torture fuzz lint format docs lexicon clean

demo: $(VENV)/.demo
	$(BIN)/lexicell demo --out demo

# What guards numbers, formats, resumed runs and bad input, in less than five minutes on two cores.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --durations=10

# The others: those marked slow (pyproject.toml says which), and those that need the real data sets.
test-rest: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or data" --durations=25

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The quick tests on another Python, in an environment of its own and without PyTorch, which not all Pythons get for a
# CPU: make test-python PYTHON=python3.13
OTHER = $(VENV)-other/$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
test-python:
	$(PYTHON) -m venv $(OTHER)
	$(OTHER)/bin/python $(INSTALL) -e ".[demo,evaluate,harmony,plot,bench,distributed,remote,gsea]" \
		pytest pytest-xdist pytest-benchmark hypothesis griffelib flask flask-cors "moto[s3]" zarrs
	$(OTHER)/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

# Wheel and sdist, installed into an empty environment and used as the README says; some minutes.
dist: $(VENV)/.test
	$(BIN)/python -m tests.distribution

# Reads exports with the packages that they are for, in environments of their own: some 5 GB, a quarter of an hour.
test-consumers: $(CONSUMERS)/.installed
	$(CONSUMERS)/all/bin/python -m pytest $(ALONE) tests/consumers tests/consumers
	PYTHONPATH=. $(CONSUMERS)/squidpy/bin/python -m pytest $(ALONE) tests/engine/exports \
		tests/engine/exports/test_spatial_graph.py -k squidpy
	PYTHONPATH=. $(CONSUMERS)/soma/bin/python -m pytest $(ALONE) tests/engine/exports \
		tests/engine/exports/test_soma.py
	rm -rf $(CONSUMERS)/exports
	$(CONSUMERS)/all/bin/python tests/consumers/conftest.py $(CONSUMERS)/exports
	LEXICELL_EXPORTS=$(CONSUMERS)/exports $(CONSUMERS)/datasets2/bin/python -m pytest $(ALONE) tests/consumers \
		tests/consumers/test_datasets.py

# Measures this machine, ourselves and what people use today, and appends to bench/results: about 15 minutes.
bench: $(VENV)/.test
	$(BIN)/python -m bench
	$(BIN)/python -m bench report

# Times single parts; in `make test-all` the same files run once each, as tests.
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

# Builds the site of docs/ and runs its tutorials; every warning is an error, dead links and remote assets too.
docs: $(VENV)/.docs
	rm -rf docs/_api
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "the site is docs/_build/html/index.html"

# Rebuilds the lexicon that comes with the package, and the vectors of its cell types; about five minutes on two cores.
lexicon: $(VENV)/.test
	$(BIN)/python lexicons/human-go-minilm/build.py
	$(BIN)/python lexicons/cell_types.py

clean:
	rm -rf $(VENV) $(VENV)-other demo dist docs/_api docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find engine kernels bench studies tests lexicons -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Where each consumer can be read: their pins exclude one another.
$(CONSUMERS)/.installed: $(SETUP) tests/consumers/requirements.txt tests/consumers/requirements-no-deps.txt
	for name in all squidpy soma datasets2; do $(PYTHON) -m venv $(CONSUMERS)/$$name; done
	$(CONSUMERS)/all/bin/python -m pip install -q -c constraints.txt torch
	$(CONSUMERS)/all/bin/python -m pip install -q -c constraints.txt -r tests/consumers/requirements.txt -e .
	$(CONSUMERS)/all/bin/python -m pip install -q --no-deps -r tests/consumers/requirements-no-deps.txt
	$(CONSUMERS)/squidpy/bin/python -m pip install -q pytest squidpy==1.8.2 -e .
	$(CONSUMERS)/soma/bin/python -m pip install -q pytest tiledbsoma==2.3.0 -e .
	$(CONSUMERS)/datasets2/bin/python -m pip install -q pytest datasets==2.21.0 "pyarrow<20" "numpy<2"
	@touch $@

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

$(VENV)/.docs: $(BIN)/python $(SETUP)
	@echo "installing into $(VENV) (a few minutes, once)"
	$(PIP) --editable ".[docs]"
	@touch $@
