# `make help` prints the lines below that begin with a target and hold two hashes.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
TORCHVISION := $(shell sed -n 's/^ *"\(torchvision==[^"]*\)".*/\1/p' pyproject.toml)
DEEPSPEED := $(shell sed -n 's/^ *"\(deepspeed==[^"]*\)".*/\1/p' pyproject.toml)
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test test-unit test-models lint docs benchmarks slurm-up slurm-demo slurm-down test-slurm fault-matrix clean

help:  ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(STAMP)  ## make .venv/ with the paceline command (Python 3.11 or 3.12; CPU torch where pip offers it)

# torch first: DeepSpeed's build asks for it, and would fetch another one into a build environment of its own.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "paceline needs Python 3.11 or 3.12; $(PYTHON) is $$($(PYTHON) --version). Give PYTHON=..."; exit 2; }
	@echo "installing into $(VENV)/ (about 2 GB; minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(TORCH) setuptools wheel ninja
	$(BIN)/python -m pip install -q --no-build-isolation $(TORCH) $(DEEPSPEED)
	$(BIN)/python -m pip install -q -e '.[dev]'
# The usual torchvision is built for CUDA: beside a CPU torch its library can't load, which breaks plain imports of
# transformers. Where pip is set up with PyTorch's own index of CPU builds, that one is taken.
	@$(BIN)/python -c 'import torchvision' 2>/dev/null || \
		$(BIN)/python -m pip install -q --no-deps --timeout 15 --retries 0 "$(TORCHVISION)+cpu" 2>/dev/null || \
		echo "no CPU build of torchvision here: scripts of your own begin with: import paceline.models.torchvision"
	@touch $@

demo: setup  ## a sweep of tiny models on satellite tiles and digits: prepared, run, killed, resumed, reported (10 minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

test: setup lint test-unit test-models  ## lint, the unit and the model lane (no root, no GPU; under 20 minutes)

test-unit: setup  ## what needs no torch (three minutes on two cores)
	$(BIN)/python -m pytest -n 2 tests/unit

test-models: setup  ## tiny models on the CPU: families, tuning, ZeRO on two ranks, kill and resume
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/models

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup  ## write the generated pages: docs/reference.md, docs/models.md, docs/memory.md
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/models.py
	$(BIN)/python docs/memory.py

# These are told what to measure or to write.
ASKED = benchmarks/shuffled_pictures.py benchmarks/smollm2_weights.py

benchmarks: setup  ## run the measurements and print their ratios
	@for script in $(filter-out $(ASKED),$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

slurm-up:  ## a real Slurm on this machine (root, Debian); VARIANT="--preempt cancel" chooses, see slurm/README.md
	@slurm/dev/cluster.py up $(VARIANT)

slurm-demo: setup  ## the demo sweep as Slurm job arrays, a node that dies, and a resume (root, Debian; 10 minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/slurm_demo.sh

slurm-down:  ## stop every Slurm that slurm-up started
	@slurm/dev/cluster.py down --all

test-slurm: setup  ## what needs a real Slurm, which the tests start themselves (root, Debian; minutes)
	PACELINE_SLURM=1 $(BIN)/python -m pytest tests/slurm

fault-matrix: setup  ## harm small sweeps on a real Slurm in every way we know; writes docs/faults.md (root, Debian; half an hour)
	$(BIN)/python tests/slurm/matrix.py

clean:  ## remove .venv/ and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
