# make run: set up and run the quickstart study.  make test: set up and run the tests.
# Both work on a fresh clone with Python 3.11 or newer; neither installs twice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= results/quickstart
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: run test test-slow test-faults check docs guide bench clean

run: $(VENV)/.installed
	$(BIN)/raysweep run quickstart --out $(OUT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What takes long: clusters, servers, signals, simulations.
test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

test-faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m faults

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, in build/site; a link that leads nowhere is a fault.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

guide: $(VENV)/.installed
	$(BIN)/python -m tests.support.rewrite_guide

bench: $(VENV)/.installed-bench
	$(BIN)/python tests/benchmarks/bench_training.py --jax $(BIN)/python
	$(BIN)/python tests/benchmarks/bench_encoders.py
	$(BIN)/python tests/benchmarks/bench_metrics.py
	$(BIN)/python tests/benchmarks/bench_models.py
	$(BIN)/python tests/benchmarks/bench_sweep.py
	$(BIN)/python tests/benchmarks/bench_cells.py
	$(BIN)/python tests/benchmarks/bench_plain_pytorch.py
	$(BIN)/python tests/benchmarks/bench_tracking.py
	$(BIN)/python tests/benchmarks/bench_busy.py
	$(BIN)/python tests/benchmarks/bench_trials.py
	$(BIN)/python tests/benchmarks/bench_gpu.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("raysweep needs Python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[bench]'
	touch $@
