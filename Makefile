# BIN is the virtual environment that holds the tools: make check BIN=path/to/venv/bin
BIN ?= .venv/bin
OLDEST ?= .venv-oldest
OLDEST_PYTHON ?= python3.10

.PHONY: check lint types imports docs coverage test slow format test-oldest gpu-check bench audit

# What a contributor runs before a commit. .ci/run does the same and adds the slow tests.
check: lint types imports docs coverage

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

# Not --quiet: with it --strict sees no warning.
docs:
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The fast tests and the doctests, with at least 95% of the package's lines run.
coverage:
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term --cov-fail-under=95

test:
	$(BIN)/python -m pytest -n 2

slow:
	$(BIN)/python -m pytest -m slow

# Speed beside deepctr-torch and FuxiCTR, and the quality of the fast ways to train: half an hour on a quiet machine.
bench:
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/quality.py

# Correctness and speed on a machine with CUDA; writes benchmarks/results/gpu.json.
gpu-check:
	$(BIN)/python benchmarks/gpu_check.py

# Known faults of the pinned versions; needs pip-audit and the network, and says so where it has neither.
audit:
	$(BIN)/python tools/audit.py

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The suite on the lowest Python and the lowest torch promised, in an environment of its own. That torch comes as a CUDA
# build; --no-deps leaves out what it can be imported without (see constraints-oldest.txt).
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python -m pytest -n 2

$(OLDEST)/installed: constraints-oldest.txt pyproject.toml
	$(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --no-deps -r constraints-oldest.txt
	$(OLDEST)/bin/python -m pip install --no-deps -e .
	touch $@
