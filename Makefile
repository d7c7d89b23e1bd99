# Everything installs what it needs by itself, the first time: Debian packages as root or by sudo, the rest in this tree.

SHELL := /bin/bash
PYTHON := .venv/bin/python
LAB := $(PYTHON) tests/hosts/lab.py
# Test hosts are containers in network namespaces: root's work.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint unit bench bench-small fuzz fuzz-short molecule molecule-all shell lock clean \
        ready-to-run ready-to-boot ready-to-test

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

setup: ready-to-run ## Install Ansible into .venv, for hosts of your own
	@echo "Ansible is in .venv: . .venv/bin/activate"

demo: ready-to-boot ## Boot a sick mail VPS, harden it, look at it from two other hosts
	@# Before the lab is there: inside it there is no way to the archive.
	@$(ROOT) $(LAB) roots deb12
	@$(ROOT) $(LAB) run -- $(PYTHON) tests/hosts/demo.py

test: lint unit fuzz-short bench-small molecule ## Everything that a change must pass (what CI runs)

test-all: lint unit fuzz bench molecule-all ## The same with every scenario on every platform, benches at full size

lint: ready-to-test ## ansible-lint, yamllint, ruff, mypy
	@tools/lint

unit: ready-to-test ## Unit tests on the oldest and newest Python, playbook tests on the oldest and newest ansible-core
	@tools/unit

bench: ready-to-test ## Speed at full size, beside a peer
	@tools/bootstrap bench
	@$(ROOT) $(PYTHON) tests/bench/run.py

bench-small: ready-to-test
	@$(ROOT) $(PYTHON) tests/bench/run.py --scale 0.01 mail_queue_postfix queue_count

fuzz: ## A million inputs for the parsers of what others write into a mail queue
	@tools/fuzz

fuzz-short:
	@tools/fuzz --seconds $(or $(FUZZ_SECONDS),30)

molecule: ready-to-test ## The scenarios on booted hosts, a matrix of 45 minutes on 2 cores
	@$(ROOT) $(PYTHON) tests/molecule/run.py

molecule-all: ready-to-test
	@$(ROOT) $(PYTHON) tests/molecule/run.py --all

shell: ready-to-boot ## A shell on a sick mail VPS; it is gone when you leave
	@$(ROOT) $(LAB) run --host vps=deb12 --sick -- $(LAB) shell vps

lock: ready-to-test ## Resolve the requirements anew (UPGRADE=--upgrade: to the newest versions)
	@tools/lock $(UPGRADE)

clean: ## Remove what was installed in this tree and what tests left
	$(ROOT) rm -rf .venv .venv-* .cache .collections .ansible .pytest_cache .ruff_cache .hypothesis reports
	$(ROOT) find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready-to-run:
	@tools/bootstrap run
	@tools/bootstrap wordlists

ready-to-boot: ready-to-run
	@tools/bootstrap hosts

ready-to-test:
	@tools/bootstrap hosts
	@tools/bootstrap dev
	@tools/bootstrap wordlists
	@tools/bootstrap collections
