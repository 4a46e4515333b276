# The two commands of the README are `make demo` and `make test`; each works in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format bench eval clean

demo: $(VENV)/run
	$(BIN)/granite-stream tests/audio/talk.flac --live

test: $(VENV)/dev
	$(MAKE) check

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --cov

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make bench BENCH='capacity endless --minutes 10': what there is, is told by BENCH=--help
bench: $(VENV)/dev
	$(BIN)/python -m tests.benchmarks $(BENCH)

# make eval EVAL='--quick --work DIR': what it takes is told by EVAL=--help
eval: $(VENV)/dev
	$(BIN)/python -m tests.benchmarks.evaluation $(EVAL)

clean:
	rm -rf $(VENV)

# Two stamps: the daemon alone for the demo, and with the tools for the tests.
$(VENV)/run: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("granite-stream needs Python 3.11 or newer: make PYTHON=python3.11 demo" if sys.version_info < (3, 11) else 0)'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/dev: $(VENV)/run
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
