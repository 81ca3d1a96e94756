# The tasks of a developer; `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
# Named after the hash of what it depends on: changed content reinstalls, a changed mtime does not.
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml requirements/dev.txt tools/make_venv.sh | cksum | cut -d' ' -f1)
PACKAGES := core console gateway worker operator cli sdk client
# More arguments for pytest, e.g. make test ARGS='-k claim -x'.
ARGS ?=

.PHONY: help venv lock redis programs demo test test-fast test-hostile test-servers test-ranges check release-check sbom lint generate format pictures site bench soak mutants clean

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort \
		| awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

venv: $(STAMP) ## Create .venv with the project (editable) and every development tool

$(STAMP):
	@tools/make_venv.sh $(VENV)
	@rm -f $(VENV)/.installed-*
	@touch $@

lock: venv ## Lock what pyproject.toml needs and is not locked; ARGS=--upgrade renews every version
	@tools/lock.sh $(ARGS)

redis:
	@tools/ensure_redis.sh

programs:
	@tools/ensure_programs.sh chromium promtool:prometheus npm faketime zsh fish

demo: venv ## Show HTTP requests, and a schedule, becoming jobs that run, retry, fail and complete, and webhooks
	@$(BIN)/python -m examples.demo

# Tests on the cluster wait for it most of the time: one process runs them, another all others.
test: venv redis programs ## Run every test
	@$(BIN)/python -m pytest --numprocesses=2 $(ARGS)

test-fast: venv redis programs ## Run every test that needs no Kubernetes cluster
	@$(BIN)/python -m pytest -m 'not cluster' $(ARGS)

# Which of them, e.g. SERVERS='valkey-8.1 tls': names of tests/support/redis/binaries.py, and the default behind TLS.
SERVERS ?= all

test-servers: venv redis programs ## Run the store's and the system's tests on each supported server, and behind TLS
	@servers="$(SERVERS)"; \
	[ "$$servers" != all ] || servers="default $$(PYTHONPATH=tests $(BIN)/python -m support.redis.binaries) tls"; \
	for server in $$servers; do \
		echo "== $$server"; \
		case $$server in tls) run=TEST_REDIS_TLS=1 ;; *) run=TEST_REDIS_SERVER=$$server ;; esac; \
		env $$run $(BIN)/python -m pytest tests/store tests/system $(ARGS) || exit; \
	done

test-hostile: venv redis ## Run the long tests with hostile clients and input
	@$(BIN)/python -m pytest tests/hostile $(ARGS)

test-ranges: venv redis ## Test the wheel with the lowest and the highest versions of its ranges
	@tools/test_ranges.sh $(ARGS)

check: lint test ## Everything that CI checks: lint, types, layers, generated files, every test

release-check: venv redis ## Check what a release needs: one version, notes, wheel, chart, workflows
	@$(BIN)/python tools/release.py check
	@$(BIN)/python -m pytest tests/unit/tools tests/system/test_wheel.py \
		tests/cluster/test_workflows.py tests/cluster/test_chart.py $(ARGS)

# The image, and the container engine that has it.
IMAGE ?=
ENGINE ?= docker

sbom: ## Print the CycloneDX SBOM of a built image: make -s sbom IMAGE=... [ENGINE=podman]
	@[ -n "$(IMAGE)" ] || { echo "name the image: make -s sbom IMAGE=asyncendpoints/gateway:0.1.0" >&2; exit 2; }
	@$(ENGINE) run --rm --interactive --network none --entrypoint python3 $(IMAGE) - $(IMAGE) < tools/sbom.py

lint: venv ## Check style, types, layers and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES) $(wildcard tools tests examples)
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.generate --check

generate: venv ## Write the generated files
	@$(BIN)/python -m tools.generate

format: venv ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

pictures: venv programs ## Make the pictures of the console for docs/console.md
	@PYTHONPATH=tests $(BIN)/python -m support.http.console_pictures

site: venv ## Build docs/ as a site; a dead link or a page outside the navigation is an error
	@$(BIN)/python tools/docs_site.py

bench: venv redis ## Measure speed and size beside dramatiq and a bare aiohttp echo
	@$(BIN)/python tests/bench/run.py $(ARGS)

MINUTES ?= 5
SEED ?= 1

soak: venv redis ## Inject faults under load, then prove that nothing was lost or done twice
	@tools/ensure_programs.sh faketime
	@PYTHONPATH=tests $(BIN)/python -m faults.soak --minutes $(MINUTES) --seed $(SEED) $(ARGS)

mutants: venv redis ## Apply deliberate faults to the code, each of which the tests must catch
	@PYTHONPATH=tests $(BIN)/python -m mutants.run $(ARGS)

clean: ## Remove everything that these tasks created in the checkout
	@rm -rf $(VENV) .cache build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include tools/cluster.mk
