# make demo   a whole blue/green upgrade on this machine      make test   the same set-up, then all tests
# make lab / lab-down   the lab alone, kept up                make test-long   soaks and wide matrices, before a change is done
# make bench  speed as ratios                                 make check  lint, types, layers
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
WORKLOADS ?=
# Each `pulumi up` starts Python programs that read large SDKs: compiled once, they start in a fraction of the time.
unexport PYTHONDONTWRITEBYTECODE

help:
	@sed -n '1,3s/^# //p' Makefile

# uv comes from the locked list; everything else by uv, with hashes.
$(READY): requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit("bluegreen needs Python 3.11 or newer; python3 here is %s" % sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	$(VENV)/bin/uv pip sync -q --python $(PY) --require-hashes requirements.lock
	$(VENV)/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

programs: $(READY)
	@$(PY) -m lab programs

demo: $(READY)
	@$(PY) -m lab demo $(if $(WORKLOADS),--workloads '$(WORKLOADS)')

lab: $(READY)
	@$(PY) -m lab up

lab-down: $(READY)
	@$(PY) -m lab down

# pytest's own closing line stays; the line after it is what a run costs.
timed = began=$$(date +%s); $(PY) -m pytest $(1); code=$$?; echo "make $@: $$(($$(date +%s) - began)) s"; exit $$code

test: programs
	@$(call timed,-m "not long")

test-long: programs
	@$(call timed,-m long)

unit: $(READY)
	$(PY) -m pytest tests/unit

bench: programs
	@$(PY) -m lab bench

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

lock:
	$(VENV)/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements.in -o requirements.lock

.PHONY: help programs demo lab lab-down test test-long unit bench check lock
