# `make help` lists what can be done here; the README opens with `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo run incident test test-redis test-long chaos soak bench bench-lock lint audit up down install uninstall test-systemd \
  test-compose test-hosts test-guide test-prometheus env-example screenshots lock clean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(VENV)/bin/oi ## only the environment: .venv/bin/python and .venv/bin/oi work after it

setup-test: $(VENV)/.test

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; say PYTHON=python3.x"; exit 1; }
	@echo "setting up $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: requirements/dev.lock | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	$(PY) -m dev.node --install
	@touch $@

$(VENV)/bin/oi: | $(PY)
	@ln -sf ../../cli/oi $@

$(VENV)/.test: requirements/test.lock $(VENV)/.dev
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/test.lock
	@touch $@

demo: setup ## the whole pipeline on the stand-ins; VENUES=all: with other venues; Ctrl-C ends it
	@$(PY) -m dev.demo

run: setup ## the live exchange, embedded Redis, local backend unless BACKEND_URL is set
	@$(PY) -m dev.demo --live

incident: setup ## replay the incident, and see it found, named and healed
	@$(PY) -m dev.incident

lint: setup-test ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy services shared cli bench

# Tests wait as much as they compute: three at a time on two cores, each file in one process.
PYTEST := $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: lint ## lint, types and all tests
	$(PYTEST) -m "not long"

# What a server may answer otherwise than another: scripts, streams and their groups, ACLs, its ways of being away.
OF_REDIS := tests/shared/test_store.py tests/shared/test_redis_servers.py tests/shared/test_failover.py \
  tests/shared/test_ban.py tests/shared/test_lease.py tests/shared/test_heartbeat.py tests/ws_daemon/test_writer.py \
  tests/oi_poller/test_sweepstore.py tests/publisher/test_outbox.py tests/publisher/test_redis_loses.py \
  tests/publisher/test_alerts.py tests/oi_alerter/test_memory.py tests/pipeline/test_end_to_end.py

test-redis: setup-test ## the tests of what Redis answers, against the server that REDIS_SERVER names
	REDIS_SERVER="$(or $(REDIS_SERVER),redis-server)" $(PYTEST) -m "not long" $(OF_REDIS)

test-long: setup-test ## what cannot be scaled down
	$(PYTEST) -m long

chaos: setup-test ## named faults through the real processes, and a table of what came of each
	$(PY) -m tests.chaos

soak: setup-test ## an hour of random kills and faults
	$(PY) -m tests.chaos --minutes 60

ADVISORIES := https://pypi.org/pypi/pip/25.0/json
# The peers live in an environment of their own; one that cannot be installed here is named as not measured.
bench/.venv/.done: bench/requirements.lock bench/package-lock.json
	@echo "installing the peers into bench/"
	@{ $(PYTHON) -m venv bench/.venv && bench/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes \
	  -r bench/requirements.lock && touch $@; } || echo "bench: not all Python peers could be installed"
	@npm ci --prefix bench --silent || echo "bench: tardis-dev could not be installed; it needs npm"

bench: setup bench/.venv/.done ## what it costs and how fresh it is, beside its peers, in eleven minutes; ARGS=--markdown
	@$(PY) -m bench $(ARGS)

bench-lock: ## write the lock files of the peers anew
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	cd bench && ../.venv-lock/bin/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --quiet --upgrade --custom-compile-command "make bench-lock" -o requirements.lock
	cd bench && npm update --package-lock-only --silent
	rm -rf .venv-lock

audit: ## known weaknesses in what a service installs, where PyPI answers for them; part of .ci/run
	@if $(PYTHON) -c 'import urllib.request as u; u.urlopen("$(ADVISORIES)", timeout=5)' 2>/dev/null; \
	  then $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1 \
	    && .venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/base.lock; \
	  else echo "audit: not done, $(ADVISORIES) does not answer here"; fi

up: ## the pipeline in containers, on the stand-in exchange
	docker compose up --build --detach --wait

down: ## end it
	docker compose down

install: ## on this machine, as root: services, venv, systemd units, settings; also the way to upgrade
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" PYTHON="$(PYTHON)" deploy/install.sh install

uninstall: ## remove them; the settings and the key stay
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" deploy/install.sh uninstall

test-systemd: setup ## as root: a real systemd in a throw-away overlay, installed and mistreated
	tests/deploy/systemd/boot.sh

test-hosts: setup-test ## as root: two hosts and a third Sentinel in network namespaces, hurt; ARGS=--all, ARGS="--random 20"
	$(PY) -m tests.hosts $(ARGS)

test-guide: setup-test ## as root: the commands of docs/two-hosts.md, as written, on three bare Debian machines that boot
	$(PY) -m tests.hosts.guide $(ARGS)

test-compose: setup ## as root: the compose file on a Docker daemon of its own
	tests/deploy/compose.sh

test-prometheus: setup-test ## a real Prometheus on a running pipeline; faults fire their alerts
	$(PY) -m pytest tests/deploy/live_prometheus.py

screenshots: setup-test ## the pictures of the README, taken from the pipeline on the stand-ins; some minutes
	@$(PY) -m dev.screenshots

env-example: setup ## write .env.example anew from what the services declare
	$(PY) -m dev.env_example > .env.example

lock: ## write the lock files anew from pyproject.toml
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	cd requirements && for want in "base:../pyproject.toml" "dev:../pyproject.toml --group ../pyproject.toml:dev" \
	  "test:../pyproject.toml --group ../pyproject.toml:test" "node:--group ../pyproject.toml:node"; do \
	  ../.venv-lock/bin/uv pip compile $${want#*:} --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock" -o $${want%%:*}.lock || exit 1; done
	rm -rf .venv-lock

clean: ## remove what setup, demo and tests made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/.venv bench/node_modules bench/out
