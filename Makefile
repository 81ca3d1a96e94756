# asyncendpoints: every task of a developer. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
# The stamp carries the hash of pyproject.toml: a change of dependencies reinstalls, a touch does not.
STAMP := $(VENV)/.installed-$(shell cksum < pyproject.toml | tr -dc '0-9a-f')

.PHONY: help venv
help: ## List the tasks
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F':.*?## ' '{printf "  make %-16s %s\n", $$1, $$2}'

venv: $(STAMP) ## Create .venv with the project (editable) and every development tool

$(STAMP):
	@tools/make_venv.sh $(VENV)
	@rm -f $(VENV)/.installed-* && touch $@
