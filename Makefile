# Everloop. `make` lists what there is. Everything is installed into $(VENV), once; the stamps in it say what it holds.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
ARGS ?=
ONLY ?=
QUICK ?=
CHROMIUM ?= /usr/bin/chromium

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt -e
export PYTHONUNBUFFERED := 1
unexport PYTHONDONTWRITEBYTECODE  # the tests start dozens of processes: each would compile everything again

.DEFAULT_GOAL := help
.PHONY: help demo test quick slow lint up bench chromium format constraints clean
.DELETE_ON_ERROR:

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.core ## turn the wheel on real data and print what happened (ARGS="--data banking77")
	@$(BIN)/everloop demo $(ARGS)

test: lint quick $(if $(QUICK),,slow) ## lint and every test (QUICK=1 leaves the slow ones out)

lint: $(VENV)/.test ## style, types, layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends the layout of the files above"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > $(VENV)/layers.txt || { cat $(VENV)/layers.txt; exit 1; }
	@echo "lint: style, types and layers hold"

up: $(VENV)/.core ## gateway, worker and pages on http://127.0.0.1:8700
	@$(BIN)/everloop up $(ARGS)

bench: $(VENV)/.core ## benchmarks/*.py, which rewrite benchmarks/RESULTS.md (ONLY=footprint runs one)
	@set -e; for file in benchmarks/$(or $(ONLY),[a-z]*).py; do echo "$$file"; $(BIN)/python $$file $(ARGS); done

# ---- what the targets above stand on

quick: $(VENV)/.test chromium
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

slow: $(VENV)/.test chromium
	@$(BIN)/python -m pytest -m slow $(ARGS) || [ $$? = 5 ]  # 5: no slow test was chosen

# The pages are tested in Debian's Chromium. Without it, and without the right to install it, those tests are skipped.
chromium:
	@if [ -x $(CHROMIUM) ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "installing Chromium for the browser tests"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	    > $(VENV)/chromium.txt 2>&1 || echo "no Chromium ($(VENV)/chromium.txt says why): browser tests are skipped"; \
	else echo "no $(CHROMIUM), and only root can install it here: browser tests are skipped"; fi

format: $(VENV)/.test
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

# New pins: take the newest of everything in a venv of its own, run the tests with it, then commit the file.
constraints:
	@rm -rf $(VENV)-pins && $(PYTHON) -m venv $(VENV)-pins
	@$(VENV)-pins/bin/pip install -qq --disable-pip-version-check -e '.[test,clients,browser,lint,arrow,pii]'
	@{ grep '^#' constraints.txt; $(VENV)-pins/bin/pip freeze --exclude-editable | grep -v '^#'; } > $(VENV)-pins/new.txt
	@mv $(VENV)-pins/new.txt constraints.txt && rm -rf $(VENV)-pins && echo "constraints.txt is new: make test"

clean:
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find everloop tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Everloop needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
	  { echo "Everloop needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1 | head -n 1)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

# The stamps depend on what is installed, not on when the venv's python was made.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	@start=$$(date +%s); $(INSTALL) . && touch $@ && echo "installed into $(VENV) in $$(( $$(date +%s) - start )) s"

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@start=$$(date +%s); $(INSTALL) '.[test,clients,browser,lint,arrow]' && touch $@ $(VENV)/.core && \
	  echo "installed into $(VENV), with what the tests need, in $$(( $$(date +%s) - start )) s"
