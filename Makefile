# The commands of the project. Each sets up .venv itself; stamp files make the second run quick.
#
#   make demo     build the accelerator for ZCU102 and run one image through its Verilog, both tasks
#   make test     lint, format, types and tests
#   make check    the same without the tests that take long
#   make lint     ruff check, ruff format --check, basedpyright
#   make format   let ruff rewrite the sources
#   make bench    measure whole images on whole machines; writes benchmarks/results.json and the tables of documents
#   make bench-check  measure again and fail when a figure is worse than kept by more than 1 %
#   make docs     build the documentation site in build/site; warnings are errors
#   make synth    synthesise the ZCU102 machine: what every unit takes, its longest path, its clock on an ECP5 (hours)
#   make notebooks  open the notebooks of notebooks/ in JupyterLab
#   make train    train m3vit-micro and quantise it (15 minutes on two cores)
#   make clean    remove build/ and .venv/
#
# PYTHON=/path/to/python chooses the interpreter of .venv; WORKERS=n the number of test processes.

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
RUN_STAMP := $(VENV)/installed-run
TEST_STAMP := $(VENV)/installed-test
DOCS_STAMP := $(VENV)/installed-docs
NOTEBOOK_STAMP := $(VENV)/installed-notebooks

.DEFAULT_GOAL := help
.PHONY: help demo test check lint format bench bench-check docs synth notebooks train clean

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: $(RUN_STAMP)
	@$(BIN)/hwgen doctor
	@$(BIN)/hwgen demo

test: $(TEST_STAMP)
	@$(BIN)/hwgen doctor
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n $(WORKERS)

check: $(TEST_STAMP)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

lint: $(TEST_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

format: $(TEST_STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(TEST_STAMP)
	$(BIN)/python -m benchmarks

bench-check: $(TEST_STAMP)
	$(BIN)/python -m benchmarks --check

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --directory build/site"

synth: $(TEST_STAMP)
	$(PIP) --editable '.[synth]'
	$(BIN)/hwgen build --board zcu102 --synth -o build/synth-zcu102
	$(BIN)/python -m pytest tests/synth
	$(BIN)/python -m hwgen.synth.fmax build/synth-zcu102/hwgen_accelerator.v docs/fmax.md

# The .ipynb follow the .py, and the other way round: whichever is newer. Outputs stay.
notebooks: $(NOTEBOOK_STAMP)
	$(BIN)/jupytext --sync --set-kernel python3 notebooks/*.py
	cd notebooks && ../$(BIN)/jupyter lab

train: $(TEST_STAMP)
	$(BIN)/python -m hwgen.frontend.train

clean:
	rm -rf build $(VENV)

# The first Python of at least 3.11 that can make virtual environments; constraints.txt is tested with 3.11.
$(BIN)/python:
	@for name in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14 python; do \
		if $$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "creating $(VENV) with $$($$name --version)"; \
			exec $$name -m venv $(VENV); \
		fi; \
	done; \
	echo "no Python >= 3.11 with the venv module; on Debian or Ubuntu: apt-get install python3 python3-venv" >&2; \
	exit 2

# What `hwgen` needs to run. No torch: packages load without it.
$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# The same, the checkers, cocotbext-axi, torch, what builds the site, and networks of others where they can be had.
$(TEST_STAMP): pyproject.toml constraints.txt | $(RUN_STAMP)
	$(PIP) --editable '.[cocotb,dev,docs,onnx,train]'
	$(PIP) --editable '.[zoo]' || echo "no networks of others: tests/frontend/zoo is skipped"
	@touch $@

# The same as to run, and what builds the site.
$(DOCS_STAMP): pyproject.toml constraints.txt | $(RUN_STAMP)
	$(PIP) --editable '.[docs]'
	@touch $@

# What `hwgen` needs to run, and what opens notebooks.
$(NOTEBOOK_STAMP): pyproject.toml constraints.txt | $(RUN_STAMP)
	$(PIP) --editable '.[notebooks]'
	@touch $@
