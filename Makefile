# One-word targets. `make demo` and `make test` need only Python 3.11+, git and make:
# each sets up .venv first, and is done with that at once when it stands.

PATH ?= /usr/local/bin:/usr/bin:/bin
export PATH
PYTHON_BIN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help venv demo test e2e lint types wheel vsix picture clean

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1	/p' Makefile | expand -t 16

venv: ## make .venv, or bring it up to date
	@sh scripts/setup.sh

demo: venv ## fill a hole in a real file, live, on the model that ships
	@sh scripts/demo.sh

test: lint types ## everything that needs no editor and no GPU
	$(PYTHON_BIN) -m pytest -m 'not gpu and not e2e'

e2e: venv ## drive real editors (fetches them first)
	@bash tests/e2e/run.sh

lint: venv ## ruff: layout and rules
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m ruff check .

types: venv ## mypy, strict, on everything that does not import torch
	$(PYTHON_BIN) -m mypy

wheel: venv ## dist/*.whl and the source archive
	$(PYTHON_BIN) -m build --outdir dist .

vsix: ## the VS Code extension, editors/vscode/dist/dlmd.vsix (needs Node 20 and npm)
	@command -v npm >/dev/null || { echo "make vsix: no npm on this machine; install Node 20 or newer with npm" >&2; exit 1; }
	cd editors/vscode && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent package

picture: venv ## docs/live.svg, drawn from a real run of the model that ships
	@PICTURE=docs/live.svg sh scripts/demo.sh

clean: ## remove everything that is made here, .venv too
	rm -rf .venv .e2e dist build editors/vscode/dist editors/vscode/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
