# On a fresh machine with Python 3.11+ and make, any of these sets up all that it needs.
.DEFAULT_GOAL := help
.PHONY: help bench soak soak-bulk fuzz reliability models examples demo test test-slow check format format-check lint types imports docs docs-serve live has-key version dist constraints clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The machine's uv, that of .venv, or one in the environment that is made.
UV = $(or $(shell command -v uv 2>/dev/null),$(wildcard $(BIN)/uv),$(@D)/bin/uv)
PROJECTS := -e '.[cli,sandbox-ocr,numpy,pdf,subtitles,upload]' -e integrations/sandbox -e integrations/langchain \
	-e integrations/llama-index -e integrations/llama-index-vision-tests
READY := $(VENV)/.ready
RAY_READY := $(VENV)/.ready-ray
APPS_READY := $(VENV)/.ready-apps
PYPROJECTS := pyproject.toml $(wildcard integrations/*/pyproject.toml)
DEMO_READY := $(if $(wildcard $(READY)),$(READY),.venv-demo/.ready)

define make_venv
@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "qwen-vl needs Python 3.11 or newer: make PYTHON=python3.12 …")'
@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
@test -x "$(UV)" || $(@D)/bin/python -m pip install --quiet --disable-pip-version-check uv
endef

help: ## Show these commands.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(DEMO_READY) ## Ask about images and a video: the sandbox, or the service with a key.
	@$(dir $(DEMO_READY))bin/qwen-vl demo

# Only what the demo needs. Bytecode is not compiled: most of what is installed is never imported.
.venv-demo/.ready: $(PYPROJECTS)
	@echo "Installing what the demo needs into $(@D); this takes up to a minute, once."
	$(make_venv)
	@$(UV) pip install --quiet --python $(@D)/bin/python -e '.[cli,sandbox]' -e integrations/sandbox \
		-e integrations/langchain -e integrations/llama-index
# Not every machine has wheels for it, and building OpenCV takes an hour.
	@$(UV) pip install --quiet --python $(@D)/bin/python --only-binary :all: 'qwen-vl-sandbox[ocr]' || \
		echo "OCR cannot be installed here: the demo goes without it."
	@touch $@

# Where nothing may be left behind, each process of the tests, and each command that they run,
# would compile all that it imports anew, which takes longer than the tests.
test test-slow: export PYTHONDONTWRITEBYTECODE :=
# Cases of each test in `make test`.
CASES := 2
# Three processes, since some tests wait for servers and processes.
test: $(READY) ## Run the tests: up to two cases of each, and no slow ones.
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not slow' --max-cases $(CASES) --durations=20

test-slow: $(RAY_READY) $(APPS_READY) ## Run what `make test` leaves out: all other cases, and what takes longer.
	$(BIN)/python -m pytest -n 3 --dist worksteal --other-cases $(CASES) --durations=20

check: $(RAY_READY) $(APPS_READY) format-check lint types imports docs test test-slow ## Everything that must hold before a change lands.

format: $(READY) ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

live: has-key $(READY) ## Run the tests that ask the real service, and write docs/live.md (needs DASHSCOPE_API_KEY).
	$(BIN)/python -m pytest -m live --transcript docs/live.md tests/live

has-key:
	@test -n "$$DASHSCOPE_API_KEY" || { echo "make live asks the real service: set DASHSCOPE_API_KEY first." >&2; exit 1; }

version: ## Write the version of all packages: make version VERSION=0.2.0
	@$(PYTHON) tools/version.py $(or $(VERSION),$(error Usage: make version VERSION=0.2.0))

# An environment of its own: the wheels are built and checked from outside of it.
dist: .venv-release/.ready ## Build all packages into dist/, and check them where only their wheels are installed.
	.venv-release/bin/python tools/check_dist.py

.venv-release/.ready: pyproject.toml
	$(make_venv)
	$(UV) pip install --quiet --python $(@D)/bin/python --group release
	@touch $@

docs: .venv-docs/.ready ## Build the documentation site into build/site; a broken link is an error.
	.venv-docs/bin/python tools/docs_site.py
	.venv-docs/bin/zensical build --clean --strict

docs-serve: .venv-docs/.ready ## Show the documentation site on http://localhost:8000.
	.venv-docs/bin/python tools/docs_site.py --serve

# None of the packages: the API reference is read from their source.
.venv-docs/.ready: pyproject.toml
	$(make_venv)
	$(UV) pip install --quiet --python $(@D)/bin/python --group docs
	@touch $@

# Not by `make check`: what is measured beside other work says little.
bench: .venv-bench-openai2/.ready .venv-bench-openai3/.ready ## Measure speed and memory beside other adapters (half an hour).
	$(foreach major,2 3,PYTHONPATH=tests .venv-bench-openai$(major)/bin/python -m benchmarks run \
		--output .benchmarks/openai$(major).json &&) \
	PYTHONPATH=tests .venv-bench-openai2/bin/python -m benchmarks draw .benchmarks/ratios.png \
		.benchmarks/openai2.json .benchmarks/openai3.json

# LlamaIndex's OpenAILike wants version 2 of the SDK, so that it stands in one of them alone.
.venv-bench-openai%/.ready: pyproject.toml
	$(make_venv)
	$(UV) pip install --quiet --compile-bytecode \
		--python $(@D)/bin/python -e '.[cli]' -e integrations/sandbox -e integrations/langchain -e integrations/llama-index \
		--group bench $(if $(filter 2,$*),--group bench-llama-index) 'openai>=$*,<$(if $(filter 2,$*),3,4)'
	@touch $@

constraints: UV = $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)
reliability: $(READY) ## Write the table of docs/reliability.md.
	WRITE_RELIABILITY=1 $(BIN)/python -m pytest tests/core/transport/test_reliability.py -k rows

models: $(READY) ## Write the tables of docs/models.md.
	WRITE_MODELS=1 $(BIN)/python -m pytest -n 0 tests/core/test_prices.py -k page

examples: $(READY) ## Run the notebooks of docs/examples, and keep their outputs.
	WRITE_EXAMPLES=1 $(BIN)/python -m pytest -n 0 tests/examples/test_notebooks.py -k runs

soak: $(READY) ## Ask 20,000 times while the server misbehaves and calls are cancelled.
	PYTHONPATH=tests $(BIN)/python -m soak

soak-bulk: $(READY) ## Measure `qwen-vl map` and batch files: rate, memory, kills, faults (15 minutes).
	for step in rate kills batches; do PYTHONPATH=tests $(BIN)/python -m soak.bulk $$step || exit; done

MINUTES ?= 1
fuzz: $(READY) ## Fuzz each reader of foreign input (MINUTES=10 for each; TARGETS="images videos" for some).
	PYTHONPATH=tests $(BIN)/python -m fuzz --minutes $(MINUTES) $(TARGETS)

constraints: $(RAY_READY) $(APPS_READY) ## Write the versions that are installed to tests/constraints.txt.
	$(UV) pip freeze --python $(BIN)/python --exclude-editable --quiet > tests/constraints.txt

clean: ## Remove the environments, dist/ and all caches.
	rm -rf .venv .venv-* .wheelhouse dist build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# 400 MB, which `make test` does without.
$(RAY_READY): $(READY)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint tests/constraints.txt -e '.[ray,parquet]'
	@touch $@

# What the pages about operation run beside the packages: 300 MB.
$(APPS_READY): $(READY)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint tests/constraints.txt --group apps
	@touch $@

$(READY): $(PYPROJECTS) tests/constraints.txt
	$(make_venv)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint tests/constraints.txt $(PROJECTS) --group test --group check
	@touch $@
