# Every target makes its own virtual environment; VENV=DIR puts it elsewhere, PYTHON=python3.12 makes it with another Python.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# these measure how often the diagnosis is right, not how fast it is
MEASURED := benchmarks/accuracy.py benchmarks/calibration.py benchmarks/demo.py

.PHONY: demo test lint bench bench-planted bench-accuracy docs clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	@$(BIN)/unplateau demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --basetemp="$$(mktemp -d /tmp/u.XXXX)"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/docs.py --check

# writes the pages that are made from the code, then the site, which opens from disk: site/index.html; --quiet would silence strict
docs: $(VENV)/.installed
	$(BIN)/python tools/docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(VENV)/.installed
	for f in $(filter-out $(MEASURED), $(wildcard benchmarks/*.py)); do $(BIN)/python $$f || exit 1; done

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

bench-planted: $(VENV)/.installed
	$(BIN)/python benchmarks/planted/check.py
	$(BIN)/python benchmarks/planted/constants.py
	$(BIN)/python benchmarks/planted/loop.py score

# writes docs/accuracy.md; less than twenty minutes on two cores
bench-accuracy: $(VENV)/.installed
	$(BIN)/python benchmarks/accuracy.py
