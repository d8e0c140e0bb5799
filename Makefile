# The two commands are `make demo` and `make test`; everything else is a part of them.
.PHONY: help pictures demo demo-clean test test-fast lint format bench lock docs wheel clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1   \2/p' $(MAKEFILE_LIST)

demo: ## a factory on a sample image, from nothing to the terminal UI
	@scripts/demo.sh

demo-clean: ## remove everything the demo made
	@scripts/demo.sh clean

test: ## lint, types, contracts and every test, on a real engine (ARGS="-k word" goes to pytest)
	@scripts/test.sh $(ARGS)

test-fast: ## the same without an engine and without what is slow
	@FAST=1 scripts/test.sh $(ARGS)

lint: ## lint, types and contracts alone
	@FAST=1 LINT_ONLY=1 scripts/test.sh

format: ## put the code in order
	@scripts/env.sh
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

bench: ## the budgets, as ratios against a yardstick of the same run
	@scripts/env.sh
	@.venv/bin/python bench/run.py $(ARGS)

lock: ## requirements.lock from pyproject.toml
	@scripts/env.sh
	@[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet uv
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --no-annotate pyproject.toml --group dev -o requirements.lock

pictures: ## docs/*.svg: the screens that the pages speak of, as the app itself exports them
	@scripts/env.sh
	@.venv/bin/python scripts/pictures.py $(ARGS)

docs: ## docs/configuration.md and docs/keys.md, from the schemas
	@scripts/env.sh
	@.venv/bin/python scripts/reference.py

wheel: ## dist/*.whl
	@scripts/env.sh
	@.venv/bin/hatchling build -t wheel

clean: ## what can be made again
	@rm -rf dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
