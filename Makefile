# Trident needs make and Python 3.11 or newer; everything else comes into .venv, pinned and hashed.
#
#   make demo    post a small company's month on embedded servers, show the result, and stop
#   make run     start everything and leave it running until Ctrl-C
#   make test    the whole test suite; it starts the servers that it needs
#   make check   style, types, the direction of imports, faults that are known (bandit, pip-audit)
#   make fuzz    hundreds of requests for each route, made of the OpenAPI document: for minutes
#   make bench   what it costs, and what others cost (BENCH_ARGS: scenarios and sizes, or --help)
#   make chaos   simulations, planted bugs and faults of every kind under load: for minutes
#   make lock    resolve the dependencies anew
#   make clean   remove what make made; the data in .trident is kept

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Scripts in a virtual environment hold its absolute path: a checkout that was moved needs a new one.
HERE := $(shell pwd | cksum | cut -d ' ' -f 1)
RUNTIME := $(VENV)/.runtime-$(HERE)
DEV := $(VENV)/.dev-$(HERE)
BENCH := $(VENV)/.bench-$(HERE)
# Tests mostly wait for processes: on two cores six at a time took 332 s, and four 390 s. Each one
# has servers of its own.
TEST_PROCESSES := 6
# Tests that a process is given at a time: with hundreds, the last process had minutes left when the
# others were done.
TEST_CHUNK := 24
# Requests of each route, fitting and not; another seed makes others.
FUZZ_EXAMPLES := 200
FUZZ_SEED := 1
PRODUCTION := api cli models pipeline tasks celeryconfig.py
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra build

.PHONY: demo run test check fuzz bench chaos lock clean

demo: $(RUNTIME)
	@$(BIN)/trident demo

run: $(RUNTIME)
	@$(BIN)/trident run

test: $(DEV)
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --maxschedchunk $(TEST_CHUNK)

check: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PRODUCTION)
	@$(BIN)/python -m tests.advisories

fuzz: $(DEV)
	@TRIDENT_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) TRIDENT_FUZZ_SEED=$(FUZZ_SEED) \
		$(BIN)/python -m pytest -q tests/api/test_fuzz.py

bench: $(BENCH)
	@$(BIN)/python -m bench $(BENCH_ARGS)

chaos: $(DEV)
	@$(BIN)/python -m tests.chaos

lock:
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(LOCK) --extra bench -c requirements.lock -c requirements-dev.lock pyproject.toml \
		-o requirements-bench.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis

$(RUNTIME): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Trident needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one:" \
			"make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "'$(PYTHON)' cannot make virtual environments: install its venv package" \
			"(python3-venv on Debian and Ubuntu)." >&2; exit 1; }
	@test -e $@ || { echo "Installing into $(VENV) ..."; $(PYTHON) -m venv --clear $(VENV); }
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(BENCH): $(RUNTIME) requirements-bench.lock
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@
