# Every target sets up .venv by itself, once: it needs Python >= 3.11 and make, nothing else.
# `make` alone lists the targets.

PYTHON    ?= python3
VENV      := .venv
BIN       := $(VENV)/bin
JOBS      ?= 2
ARGS      ?=
# uv (the fast way, with pip as the way back) or pip
INSTALLER ?= uv

# Two torch threads on one busy core spend their time waiting for each other.
export OMP_NUM_THREADS = 1
export OMP_WAIT_POLICY = PASSIVE
# Where it is set, every worker compiles every module again: seconds of each of the many processes that a run starts.
unexport PYTHONDONTWRITEBYTECODE

# uv does not read pip's settings. Hand over those that decide which torch arrives (uv wants commas between places).
empty :=
comma := ,
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(subst $(empty) $(empty),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY ?= unsafe-best-match
endif

.DEFAULT_GOAL := help
.PHONY: help setup zeroshot finetune audit cost roundtrip test benchmark report fuzz faults mutants flaky matrix tox lint types clean

help:  ## this list
	@echo 'make TARGET [ARGS="options for pytest or tox"] [JOBS=$(JOBS)] [PYTHON=$(PYTHON)] [INSTALLER=uv|pip]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' Makefile

zeroshot: $(VENV)/.test  ## what a seed keeps without any training; ARGS="--subject digits-mlp" picks
	$(BIN)/pytest -m zeroshot -n $(JOBS) $(ARGS)

finetune: $(VENV)/.test  ## what fine-tuning makes of a seed; ARGS="--full" takes hours and resumes
	$(BIN)/pytest -m finetune $(ARGS)

audit: $(VENV)/.test  ## the report's own protocol, fault by fault
	$(BIN)/pytest -m audit -n $(JOBS) $(ARGS)

cost: $(VENV)/.test  ## what a seed costs in bytes and seconds, beside a download
	$(BIN)/pytest -m cost -n $(JOBS) $(ARGS)

roundtrip: $(VENV)/.test  ## invariants of extract, store and assemble
	$(BIN)/pytest -m roundtrip -n $(JOBS) $(ARGS)

test: $(VENV)/.test  ## the whole default suite
	$(BIN)/pytest -n $(JOBS) $(ARGS)

benchmark: $(VENV)/.test  ## fine-tune or download, and the speed of each stage; writes reports/benchmarks/
	$(BIN)/pytest --benchmark --report --benchmark-autosave --benchmark-compare $(ARGS)

report: $(VENV)/.test  ## judge all claims but their long rows, and make reports/index.html; ARGS="--full" judges every row
	$(BIN)/pytest -m "zeroshot or finetune or audit or cost" -n $(JOBS) --report $(if $(findstring --full,$(ARGS)),,--short) $(ARGS)

fuzz: $(VENV)/.test  ## 120,000 mutated seed files: each refused or harmless; ARGS="--files N"
	$(BIN)/python -m tests.campaigns.fuzz --jobs $(JOBS) $(ARGS)

faults: $(VENV)/.test  ## kill -9 at random points of reports, builds and fine-tuning; ARGS="--kills N"
	$(BIN)/python -m tests.campaigns.faults $(ARGS)

mutants: $(VENV)/.test  ## named faults put into the product, each to be found by its tests; ARGS="NAME ..." picks
	$(BIN)/python -m tests.campaigns.mutants --jobs $(JOBS) $(ARGS)

flaky: $(VENV)/.test  ## zeroshot and roundtrip 20 times in random order: the same verdicts; ARGS="--times N"
	$(BIN)/python -m tests.campaigns.flaky --jobs $(JOBS) $(ARGS)

matrix: $(VENV)/.dev  ## zeroshot and roundtrip under other versions, compared with the pin; ARGS="pin lowest" picks
	$(BIN)/python -m tests.campaigns.matrix $(or $(ARGS),pin lowest newest)

tox: $(VENV)/.dev  ## lint, types and every environment; ARGS="-e lowest" picks
	$(BIN)/tox $(ARGS)

lint: $(VENV)/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## pyright
	$(BIN)/pyright

setup: $(VENV)/.test  ## only set up .venv

clean:  ## remove what runs leave behind, .tox and caches included; .venv stays
	rm -rf .tox .cache .pytest_cache .hypothesis .ruff_cache .benchmarks build dist *.egg-info
	find . -name $(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment: a stamp file per extra, renewed when the metadata or the pins change

define install
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(BIN)/python" -m ensurepip
	@if [ "$(INSTALLER)" = uv ] \
	  && "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv \
	  && "$(BIN)/uv" pip install --compile-bytecode --python "$(BIN)/python" --constraint constraints.txt --editable '.[$(1)]'; \
	then :; else \
	  echo "installing with pip"; \
	  "$(BIN)/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[$(1)]'; \
	fi
	@touch $@
endef

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,test)

$(VENV)/.dev: $(VENV)/.test
	$(call install,dev)

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { found=$$("$(PYTHON)" --version 2>/dev/null) || found=missing; \
	       echo "seeds needs Python 3.11 or newer; $(PYTHON) is $$found. Try: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; exit 1; }
