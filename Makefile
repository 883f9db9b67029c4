# Two commands do everything on a machine with Python 3.11+ and make:
#   make demo    the main job, on real files, with workers killed on the way
#   make test    lint, types, layers and every test
# Both make .venv by themselves. `make help` lists the rest.

SHELL = /bin/sh
VENV = .venv
BIN = $(VENV)/bin
PYTHON =
WORKERS = 4
FOLDER =
URL =
ARGS =
SEEDS =
JOBS =
MINUTES =
ENGINE =
RATE =
KEEP =
SEED =
WORLD =
ONLY =

PYTEST = $(BIN)/python -m pytest
# Timing never beside processor-bound work. Real processes that must end right, however long it takes, run among the
# others of the first group; those that are judged by seconds, and mostly wait for a lease to pass, run beside each
# other; what counts milliseconds runs alone. The last two say where their few tests are (a tidy test knows whether
# that is all of them): to collect everything costs each process of the runner more than many of these tests do.
FIRST_GROUP = -n $(WORKERS) --dist worksteal --durations=15 -m "not waits and not timing"
WAITING_GROUP = -n 4 --dist worksteal --durations=5 -m waits tests/processes tests/storage/test_postgres_together.py
TIMED_GROUP = --durations=5 -m timing tests/processes tests/storage

# Hundreds of processes of the tests import the same files, and whoever may not keep what it has compiled compiles
# all of them each time. `make clean` takes it away.
unexport PYTHONDONTWRITEBYTECODE

# To look for the tests compiles them. It is done once, where a processor would be idle beside the types, and not by
# each process of the runner at the same moment; what goes wrong in it is said by the first group.
COMPILE_TESTS = $(PYTEST) --collect-only -qq >/dev/null 2>&1

# A storm has the machine to itself; its seed stays the same from run to run, so that two runs can be compared.
CHAOS = $(BIN)/python -m tests.chaos
CHAOS_SEED = 3

.PHONY: help demo test lint format types layers unit conformance crashpoints simulate mutants processes chaos bench docs-check clean

help:
	@echo "make demo         the main job on real files; FOLDER=… takes others, URL=postgresql://… another store"
	@echo "make test         everything below, as the gate runs it"
	@echo "make lint         ruff: rules and format         (make format repairs both)"
	@echo "make types        mypy --strict, pyright strict, and the file of typed examples"
	@echo "make layers       the contracts about who may import whom"
	@echo "make unit         tests of the pure parts"
	@echo "make conformance  one suite over memory, SQLite and PostgreSQL"
	@echo "make simulate     simulated worlds; SEEDS=500, SEED=17 to repeat one, both from there on; WORLD=memory|sqlite|postgres"
	@echo "make crashpoints  every request of every operation struck by every fault, twice for some, and a real SIGKILL at each"
	@echo "make mutants      bugs planted one at a time in a copy, and who catches them; ONLY=part-of-a-name for some; no part of make test"
	@echo "make processes    real processes, real signals, and timing; run alone; JOBS=20000 for the full number"
	@echo "make chaos        a storm over real processes and servers: MINUTES=1 SEED=7 ENGINE=sqlite|postgres; run alone"
	@echo "make bench        this project beside its peers, alternately, in one run; ARGS='--quick --peers unstuck,pgqueuer'; no part of make test"
	@echo "make docs-check   links, and the file names in ARCHITECTURE.md"
	@echo "make clean        remove .venv, caches and builds"

$(BIN)/python:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		for name in python3.11 python3.12 python3.13 python3 python; do \
			if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$name; break; fi; \
		done; \
	fi; \
	if [ -z "$$python" ]; then \
		echo "make: no Python 3.11 or newer was found; install one, or say make PYTHON=/path/to/python." >&2; exit 1; \
	fi; \
	if ! $$python -c 'import venv, ensurepip' >/dev/null 2>&1; then \
		echo "make: $$python has no venv module; on Debian or Ubuntu, apt-get install python3-venv, then try again." >&2; exit 1; \
	fi; \
	rm -rf $(VENV) && $$python -m venv $(VENV)

# A stamp is written last, so an interrupted installation is simply done again.
$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[postgres]'
	@touch $@

# Of three thousand files two in three are never imported: what is, is compiled when it is first needed.
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $(VENV)/.core $@

demo: $(VENV)/.core
	@$(BIN)/unstuck demo $(if $(FOLDER),'$(FOLDER)') $(if $(URL),--url '$(URL)') $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

format: $(VENV)/.dev
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

types: $(VENV)/.dev
	@failed=0; set -x; \
	( failed=0; $(BIN)/mypy || failed=1; $(BIN)/python tests/typing/check.py || failed=1; exit $$failed ) & others=$$!; \
	$(BIN)/pyright --pythonpath $(BIN)/python || failed=1; \
	wait $$others || failed=1; \
	exit $$failed

layers: $(VENV)/.dev
	$(BIN)/lint-imports

# Every part runs even when an earlier one failed; the exit code is that of the whole.
test: $(VENV)/.dev
	@failed=""; \
	$(COMPILE_TESTS) & compiling=$$!; \
	for part in lint types layers; do \
		$(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	wait $$compiling; \
	echo "== first group: everything that is not judged by seconds =="; \
	tests/timed.sh $(PYTEST) $(FIRST_GROUP) || failed="$$failed first-group"; \
	echo "== real processes that wait =="; \
	tests/timed.sh $(PYTEST) $(WAITING_GROUP) || failed="$$failed waiting-group"; \
	echo "== what counts milliseconds, alone =="; \
	tests/timed.sh $(PYTEST) $(TIMED_GROUP) || failed="$$failed timed-group"; \
	echo "== a minute of chaos on PostgreSQL, alone =="; \
	$(MAKE) --no-print-directory chaos MINUTES=1 SEED=$(CHAOS_SEED) ENGINE=postgres || failed="$$failed chaos"; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

unit: $(VENV)/.dev
	$(PYTEST) tests/unit -n $(WORKERS)

conformance: $(VENV)/.dev
	$(PYTEST) tests/conformance -n $(WORKERS)

simulate: $(VENV)/.dev
	UNSTUCK_SEEDS="$(SEEDS)" UNSTUCK_SEED="$(SEED)" UNSTUCK_WORLD="$(WORLD)" $(PYTEST) tests/simulation -n $(WORKERS)

crashpoints: $(VENV)/.dev
	UNSTUCK_CRASHPOINTS=all $(PYTEST) tests/crashpoints -n $(WORKERS) --dist worksteal

mutants: $(VENV)/.dev
	ONLY="$(ONLY)" WORKERS="$(WORKERS)" $(BIN)/python -m tests.mutants

processes: $(VENV)/.dev
	UNSTUCK_JOBS="$(JOBS)" $(PYTEST) -n 2 --dist worksteal --durations=5 -m "processes and not waits and not timing"
	$(PYTEST) $(WAITING_GROUP)
	$(PYTEST) $(TIMED_GROUP)

chaos: $(VENV)/.dev
	$(CHAOS) $(if $(ENGINE),--engine $(ENGINE)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE)) $(if $(KEEP),--keep '$(KEEP)')

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks --out .bench/results $(ARGS)

docs-check: $(VENV)/.dev
	$(PYTEST) tests/tidy/test_documents.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
