# make demo   a whole blue/green upgrade on this machine      make unit       fast tests, without the lab
# make lab / lab-down   the lab alone, kept up                make test       all tests but `long`, on the lab
# make bench  speed as ratios                                 make test-long  soaks and wide matrices, before a change is done
# make lock   uv.lock anew after a change of dependencies     make check      lint, types, layers
.DEFAULT_GOAL := help
# A folder of its own: what Pulumi and `uv sync` do in .venv leaves it alone, and the other way round.
VENV := .venv-dev
UV := $(VENV)/bin/uv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
WORKLOADS ?=
# Processes that run tests side by side (tests/conftest.py); 0 is pytest's own.
WORKERS ?= 3
# Each `pulumi up` starts Python programs that read large SDKs: compiled once, they start in a fraction of the time.
unexport PYTHONDONTWRITEBYTECODE

help:
	@sed -n '1,4s/^# //p' Makefile

# uv comes from PyPI in the locked version; everything else by uv, with the lock's hashes. A venv without pip is one that
# stopped half-way (Debian's python3 without python3-venv): it is made anew, and does not stay where it fails again.
$(UV):
	@python3 -c 'import sys; sys.exit("bluegreen needs Python 3.11 or newer; python3 here is %s" % sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PY) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "no virtual environment could be made by python3 -m venv, see above. Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PY) -m pip install -q --disable-pip-version-check "uv==$$(sed -n '/^name = "uv"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' uv.lock)"

$(READY): uv.lock pyproject.toml | $(UV)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --frozen --all-groups --no-build-isolation-package bluegreen
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
timed = began=$$(date +%s); $(PY) -m pytest -n $(WORKERS) $(1); code=$$?; echo "make $@: $$(($$(date +%s) - began)) s"; exit $$code

test: programs
	@$(call timed,-m "not long" $(ARGS))

test-long: programs
	@$(call timed,-m long $(ARGS))

unit: $(READY)
	$(PY) -m pytest -n $(WORKERS) -m "not long" tests/unit $(ARGS)

bench: programs
	@$(PY) -m lab bench

check: $(READY)
	$(UV) lock --check
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Keeps the versions that are locked; `make lock ARGS=--upgrade` takes newer ones.
lock: $(UV)
	$(UV) lock $(ARGS)

.PHONY: help programs demo lab lab-down test test-long unit bench check lock
