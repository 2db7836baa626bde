# What a newcomer needs is `make demo` and `make test`. Everything is installed into .venv, nothing outside it.

BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
CHECKED := $(wildcard tests scripts benchmarks examples)

.PHONY: help prerequisites install demo test test-all pythons lint format accuracy figures docs bench wheel-check clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

prerequisites: ## name everything that is missing on this machine, each with its fix
	@sh scripts/prerequisites.sh

$(INSTALLED): pyproject.toml constraints.txt scripts/peers.txt scripts/peers_need.txt | prerequisites
	@echo "Installing into .venv; the first time takes some minutes."
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
		|| "$$(sh scripts/prerequisites.sh --python)" -m venv --clear .venv
	@$(PIP) '$(TORCH)'
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@$(PIP) --requirement scripts/peers_need.txt
	@$(PIP) --no-deps --no-build-isolation --requirement scripts/peers.txt
	@touch $@

install: prerequisites $(INSTALLED) ## create .venv with everything that development needs

demo: install ## compile, simulate, run in Lava and verify the example network
	$(BIN)/ranvier demo

test: install ## run the tests, with branch coverage of compiler and runtimes
	$(PYTEST) --cov --cov-report=term

test-all: install ## run the tests with many more random examples
	HYPOTHESIS_PROFILE=all $(PYTEST) --timeout 3600

pythons: install ## run the tests that need no torch under Python 3.12 and 3.13
	$(BIN)/python scripts/other_pythons.py

lint: install ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p ranvier
	$(BIN)/mypy $(CHECKED)

format: install ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

accuracy: install ## what weights of few bits cost, into docs/accuracy.md
	PYTHONPATH=tests $(BIN)/python -m benchmarks.accuracy

figures: install ## run what stands in docs/figures.md again
	PYTHONPATH=tests $(BIN)/python -m benchmarks.figures

docs: install ## write the tables of docs/support.md and the README again
	PYTHONPATH=tests $(BIN)/python scripts/write_docs.py

bench: install ## measure all peers side by side and write docs/performance.md; QUICK=1: a rehearsal
	PYTHONPATH=tests $(BIN)/python -m benchmarks.speed $(if $(QUICK),--quick)

wheel-check: install ## sdist -> wheel -> clean environment -> demo from another folder
	$(BIN)/python scripts/wheel_check.py --torch '$(TORCH)'

clean: ## remove what make has created
	rm -rf .venv build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
