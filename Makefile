# Two commands: `make demo` and `make test`. Needs git, make and Python >= 3.11 with venv; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
PACKAGES := connectors ledger sync booking workers api

.DEFAULT_GOAL := help
.PHONY: help demo demo-reset test lint serve scenarios chaos bench browser screenshots openapi i18n lock clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# The stamps hold what was installed from which lock; a changed lock installs again.
$(VENV)/demo.stamp: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: requirements-test.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp ## start everything with a seeded world; Ctrl-C ends it
	PORT=$(PORT) $(BIN)/slotledger demo

demo-reset: $(VENV)/demo.stamp ## forget the demo's world and start it afresh
	PORT=$(PORT) $(BIN)/slotledger demo --reset

serve: $(VENV)/demo.stamp ## embedded, empty, for real use
	$(BIN)/slotledger migrate
	$(BIN)/slotledger serve

PYTEST_ARGS ?= -n auto --dist loadfile

test: $(VENV)/test.stamp ## every default test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/test.stamp ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## resolve again; needs uv
	uv pip compile pyproject.toml --extra demo --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock
	uv pip compile pyproject.toml --extra demo --extra test -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements-test.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info

i18n: $(VENV)/test.stamp ## gather every text; fails on missing or fuzzy translations
	$(BIN)/python -m booking.catalogues

openapi: $(VENV)/test.stamp ## write docs/openapi.json
	$(BIN)/slotledger openapi > docs/openapi.json

bench: $(VENV)/test.stamp ## paired timings as tables; takes some minutes, best on a machine that rests
	@set -e; for each in tests/benchmarks/bench_*.py; do \
		printf '\n%s\n\n' "$$each"; $(BIN)/python -m "$$(echo "$${each%.py}" | tr / .)"; done

chaos: $(VENV)/test.stamp ## SIGKILL at each passing of each boundary; takes long
	CHAOS=full $(BIN)/python -m pytest tests/chaos $(PYTEST_ARGS)

SCENARIO_ARGS ?= -n auto --dist loadscope
RESULTS := var/scenarios.xml

scenarios: $(VENV)/test.stamp ## the whole completion matrix and whole stories; writes docs/scenarios.md
	@mkdir -p var && rm -f $(RESULTS)
	SCENARIOS=full $(BIN)/python -m pytest tests/scenario $(SCENARIO_ARGS) --junitxml=$(RESULTS); \
	tests=$$?; $(BIN)/python -m tests.scenario.matrix.report $(RESULTS) docs/scenarios.md && exit $$tests

browser: $(VENV)/test.stamp ## the pages in a real Chromium
	BROWSER=required $(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

screenshots: $(VENV)/test.stamp ## write the pictures of pages and mails into docs/screenshots
	SCREENSHOTS=docs/screenshots BROWSER=required $(BIN)/python -m pytest tests/browser -k pictures
