.DEFAULT_GOAL := help
.PHONY: help run test lint types bench soak audit lock clean

PORT ?= 8000
PYTHON ?= python3
UV := .venv/bin/uv
BIN := .venv/bin

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run ## install what is needed and serve the product with its demo (PORT=8000)
	@$(BIN)/python manage.py serve --port $(PORT)

test: .venv/dev ## run lint, types, import order, checks and every test
	@$(BIN)/python -m tests

lint: .venv/dev ## ruff and the import order
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: .venv/dev ## mypy
	$(BIN)/mypy

bench: .venv/dev ## measure, against the bare parts in the same run
	$(BIN)/python -m tests.bench
	$(BIN)/pytest tests/bench -m soak -q -s --timeout 3600

soak: .venv/dev ## the long runs that CI leaves out
	$(BIN)/pytest -m soak --timeout 3600

audit: $(UV) ## ask the public advisory databases about every pinned requirement; needs the internet, and fails without
	$(UV) tool run --from pip-audit==2.10.1 pip-audit --strict --require-hashes --disable-pip -r requirements-telemetry.txt -s osv

lock: $(UV) ## pin every requirement, with hashes
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.txt
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra telemetry -c requirements.txt -o requirements-telemetry.txt
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra dev -c requirements.txt -o requirements-dev.txt

clean: ## remove what is made: .venv, and the data under var
	rm -rf .venv var

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.9

.venv/run: requirements.txt | $(UV)
	@echo "Installing…"
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/run
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@
