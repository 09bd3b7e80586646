# What a person types. Every target does its own set-up on a fresh machine with Rust and Python 3.10 or newer.
#
#   make demo           the clinic: real requests, a trail, proof, tampering; Ctrl-C ends it
#   make demo DEMO=once the same, ends by itself
#   make test           all tests, on SQLite and PostgreSQL, with the oldest and newest supported Django
#   make lint           formats, linters, types, doc comments, licences, rules of the house
#   make torture        the crash tests of `make test`, twenty times as long
#   make third-party    the tests of djangorestframework, wagtail and django-oscar: as without us, with everything audited
#   make bench          what recording costs: instructions per Django operation, nanoseconds per append

.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.PHONY: demo test lint torture bench fuzz mutants third-party clean

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export INDELIBLE_BINARY := $(CARGO_TARGET_DIR)/debug/indelible
export CARGO_TERM_COLOR ?= never
export PYTHONDONTWRITEBYTECODE := 1

STEP := scripts/step
NEXTEST := cargo nextest run --locked --workspace --exclude indelible-python
PYTEST := -m pytest -q -n 2 --dist loadgroup --durations=20 --durations-min=0.5 -p no:cacheprovider tests/python
# Kills and faults are about processes, databases and disks, not about the version of Django.
ONCE := $(addprefix --ignore=tests/python/,test_kill_matrix.py test_pgbouncer.py test_django_faults.py)
# What Django itself is asked for: the newest version has only these, in a third of the time.
HOOKS := $(foreach name,actor auth checks connection_pools context degraded drf evidence fail_modes formatters intent \
  model_admin models_* plain_views reasons record recorded_commands requests requests_async requests_bodies requests_differential \
  requests_routes requests_streaming settings settings_callables swapped_user testing trail_pages transactions transactions_fuzz writes_*,\
  tests/python/test_$(name).py)
PYTHON_SOURCES := python tests examples bench scripts/check-crates scripts/check-house scripts/third-party-suites

demo: venv
	@$(STEP) "build indelible" cargo build --locked --package indelible-server
	@$(STEP) "build native module" scripts/build-native
	@cd examples/clinic && DEMO=$(DEMO) exec ../../.venv/bin/python -m demo

# Targets of their own, so that with --keep-going one fault does not hide the next.
TESTS := test-rust test-django52 test-django42 test-django60
test: $(TESTS)

test-rust: tools
	@$(STEP) "rust tests" $(NEXTEST)
	@$(STEP) "rust doc tests" cargo test --locked --workspace --exclude indelible-python --doc --quiet

test-django52: binaries venv
	@$(STEP) "chromium" scripts/require chromium
	@$(STEP) "python tests, Django 5.2" .venv/bin/python $(PYTEST)

test-django42: binaries
	@$(STEP) "venv django42" scripts/venv django42
	@$(STEP) "python tests, Django 4.2" .venv-django42/bin/python $(PYTEST) $(ONCE)

test-django60: binaries
	@if PYENV_VERSION=3.12 python3.12 -c '' 2>/dev/null; then \
	  $(STEP) "venv django60" scripts/venv django60; \
	  $(STEP) "python tests of the hooks, Django 6.0" .venv-django60/bin/python $(filter-out tests/python,$(PYTEST)) $(HOOKS); \
	else echo "--- python tests of the hooks, Django 6.0: skipped, no python3.12 that works"; fi

tools:
	@$(STEP) "cargo-nextest" scripts/require cargo-nextest
	@$(STEP) "postgresql" scripts/require postgresql
	@$(STEP) "pgbouncer" scripts/require pgbouncer
	@$(STEP) "redis" scripts/require redis

# Built as the Rust tests build it: with the features that their crates ask for, so that nothing is compiled twice.
binaries: tools
	@$(STEP) "build indelible" $(NEXTEST) --no-run
	@$(STEP) "build native module" scripts/build-native

LINTS := lint-rustfmt lint-clippy lint-rustdoc lint-ruff lint-format lint-mypy lint-pyright lint-crates lint-house
lint: $(LINTS)

venv:
	@$(STEP) "venv django52" scripts/venv django52

lint-rustfmt:
	@$(STEP) "rustfmt" cargo fmt --all --check

lint-clippy:
	@$(STEP) "clippy" cargo clippy --locked --workspace --all-targets --all-features --quiet -- -D warnings

lint-rustdoc:
	@$(STEP) "rustdoc" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

lint-ruff: venv
	@$(STEP) "ruff" .venv/bin/ruff check --no-cache $(PYTHON_SOURCES)

lint-format: venv
	@$(STEP) "ruff format" .venv/bin/ruff format --no-cache --check $(PYTHON_SOURCES)

lint-mypy: venv
	@$(STEP) "mypy" .venv/bin/mypy --no-incremental --cache-dir=/dev/null

# What a user's type checker says of the public names; mypy asks the same file.
lint-pyright: venv
	@$(STEP) "venv pyright" scripts/venv pyright
	@$(STEP) "pyright" .venv-pyright/bin/basedpyright --project tests/typing/pyrightconfig.json

lint-crates:
	@$(STEP) "crates: licences, sources, bans, counts" scripts/check-crates

lint-house:
	@$(STEP) "rules of the house" scripts/check-house

# Seeds and counts of every step are printed, so that a run can be repeated.
TORTURE := $(NEXTEST) --profile torture --success-output final
# Where there is a folder in memory, what is copied and thrown away half a million times need not reach a disk.
IN_MEMORY := $(if $(wildcard /dev/shm/.),TMPDIR=/dev/shm)
torture: binaries venv
	@$(STEP) "200 killed agents" env INDELIBLE_KILLS=200 $(TORTURE) --test kill_agent
	@$(STEP) "an agent killed at every failpoint" $(TORTURE) --test failpoints
	@$(STEP) "files that fail at every call, a worker killed at every failpoint" env INDELIBLE_FAULTS=all $(TORTURE) --test faults
	@$(STEP) "the loss of power, 10 pending changes, and 1,000 states of a whole agent" \
	  env INDELIBLE_FAULTS=all INDELIBLE_LOSSES=1000 INDELIBLE_SEQUENCES=2000 $(TORTURE) --test power_loss
	@$(STEP) "every state of the largest model of the protocol" $(TORTURE) --test protocol --run-ignored only
	@$(STEP) "every byte changed" env $(IN_MEMORY) INDELIBLE_FLIPS=all $(TORTURE) --cargo-profile torture --test verify_flips
	@$(STEP) "200 killed workers" env INDELIBLE_WORKER_KILLS=100 .venv/bin/python $(PYTEST)/test_kill_worker.py -rP
	@$(STEP) "workers, agent and database killed at every failpoint, and 2,000 times at random" \
	  env INDELIBLE_MATRIX_SEEDS=10 INDELIBLE_MATRIX_KILLS=2000 .venv/bin/python $(PYTEST)/test_kill_matrix.py -rP
	@$(STEP) "a bouncer killed 200 times" env INDELIBLE_MATRIX_KILLS=2000 .venv/bin/python $(PYTEST)/test_pgbouncer.py -rP
	@$(STEP) "a Django site whose files fail" env INDELIBLE_FAULTS=all .venv/bin/python $(PYTEST)/test_django_faults.py -rP
	@$(STEP) "400 forks while a journal is opened" env INDELIBLE_FORKS=200 .venv/bin/python $(PYTEST)/test_forks.py
	@rm -f $(BENCH_RESULTS)
	@$(STEP) "a trail of 10 M events" $(SCALE) --events 10000000
	@.venv/bin/python -m bench.table $(BENCH_RESULTS)

# Tests that others wrote, without and with Indelible in their sites. Needs the network; SUITES=rest-framework runs one of them.
third-party: venv
	@$(STEP) "build native module, release" scripts/build-native --release
	@scripts/third-party-suites $(SUITES)

# Each target runs for FUZZ_SECONDS, one minute by default.
fuzz:
	@$(STEP) "cargo-fuzz" scripts/require cargo-fuzz
	@$(STEP) "fuzz" scripts/fuzz

# What a stronger test would have to notice: hours on two cores; MUTANTS_SHARD=1/20 takes a twentieth of it.
mutants: tools
	@$(STEP) "cargo-mutants" scripts/require cargo-mutants
	@$(STEP) "mutants" scripts/mutants

# Every figure of the run goes to BENCH_RESULTS, and the table at the end is made of that file.
BENCH_RESULTS := $(CARGO_TARGET_DIR)/bench-results.jsonl
BENCH := env BENCH_RESULTS=$(BENCH_RESULTS)
SCALE := $(BENCH) cargo bench --locked --quiet -p indelible-server --bench scale --
bench: venv
	@$(STEP) "valgrind" scripts/require valgrind
	@$(STEP) "postgresql" scripts/require postgresql
	@rm -f $(BENCH_RESULTS)
	@$(STEP) "journal append" $(BENCH) cargo bench --locked --quiet -p indelible --bench append
	@$(STEP) "before COMMIT and before the answer" $(BENCH) cargo bench --locked --quiet -p indelible --bench promises
	@$(STEP) "mask and encode" $(BENCH) .venv/bin/python -m bench.encode
	@$(STEP) "a trail of 1 M events" $(SCALE) --events 1000000
	@$(STEP) "build native module, release" scripts/build-native --release
	@$(STEP) "build indelible, release" cargo build --locked --release --package indelible-server
	@$(STEP) "requests behind gunicorn" $(BENCH) INDELIBLE_BINARY=$(CARGO_TARGET_DIR)/release/indelible .venv/bin/python -m bench.served
	@$(STEP) "instructions per Django operation" .venv/bin/python -m bench.instructions
	@$(STEP) "letting go of Python's lock" .venv/bin/python -m bench.lock
	@$(STEP) "rows and actors recorded, queries sent" .venv/bin/python -m bench.peers_table
	@$(STEP) "what evidence costs a transaction" $(BENCH) .venv/bin/python -m bench.evidence
	@.venv/bin/python -m bench.table $(BENCH_RESULTS)

.PHONY: $(TESTS) $(LINTS) tools binaries venv
clean:
	rm -rf target .venv .venv-django42 .venv-django60 python/indelible/*.so
