# The commands of the project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := --quiet --disable-pip-version-check --no-deps --require-hashes

.DEFAULT_GOAL := help
.PHONY: help setup run up test prove prove-marquez lint types docs bench lock clean minio compose

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(BIN)/python:
	@deploy/check-python $(PYTHON)
	@$(PYTHON) -m venv $(VENV)

# Stamps, so that a second `make run` installs nothing.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked environment into $(VENV) (about a minute the first time) …"
	@$(BIN)/python -m pip install $(LOCKED) -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the development tools …"
	@$(BIN)/python -m pip install $(LOCKED) -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.runtime ## Install the locked environment

run: setup ## Set up, sample data if the lake is empty, then raw → staging → curated → marts
	@$(BIN)/lakehouse sample bioreactor --batches 24 --if-empty
	@$(BIN)/lakehouse run

up: setup ## Start Postgres, web pages, code server, daemon, worker, and lineage where a server is set; Ctrl-C stops all
	@$(BIN)/lakehouse up

# Many tests kill and start real processes; one that failed is tried once more, and the summary lists it as a rerun.
RERUN := --reruns 1
SLOWEST := --durations=25 --durations-min=5

test: $(VENV)/.dev ## The tests (minutes)
	@$(BIN)/python -m pytest -m "not prove and not marquez" -n 2 $(RERUN) $(SLOWEST) --cov --cov-report=term

prove: $(VENV)/.dev minio compose ## The long proofs
	@$(BIN)/python -m pytest -m "prove and not marquez" -n 2 --dist loadfile $(RERUN) $(SLOWEST)

prove-marquez: $(VENV)/.dev ## The lineage graph on a real Marquez, which MARQUEZ_URL names
	@$(BIN)/python -m pytest -m marquez

lint: $(VENV)/.dev ## ruff, sqlfluff, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/sqlfluff lint dbt_project/models
	@$(BIN)/hadolint deploy/Dockerfile

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

docs: $(VENV)/.dev ## Build the documentation site, strictly
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev ## The measured comparisons; a table and JSON in benchmarks/results/
	@$(BIN)/python -m benchmarks

lock: ## Compile requirements/*.in (needs uv)
	@for name in runtime dev; do \
	  uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links \
	    --override requirements/overrides.txt requirements/$$name.in -o requirements/$$name.txt; done

minio: ## Build a real MinIO for the proofs where Go is present (2–3 minutes, cached outside the tree)
	@deploy/build-minio

compose: ## Build Docker Compose and MinIO's client for the tests of docker-compose.yml (3 minutes, cached likewise)
	@deploy/build-compose

clean: ## Remove the environment and caches; data/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache site
