# tradewright: run it, test it, build it. `make help` names the targets.
#
# Every target first names a prerequisite that is missing. Arguments go through ARGS, as in
# `make run ARGS="--port 9000"` or `make test ARGS="tests/unit -x"`; another interpreter through PYTHON.

PYTHON ?= python3
ARGS ?=
VENV := .venv/bin

.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: prerequisites ## name the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: run
run: environment vendor ## start the server on http://127.0.0.1:8000; the first time installs what it needs
	@exec $(VENV)/tradewright serve $(ARGS)

.PHONY: test
test: development vendor ## run every check and every test, with private PostgreSQL and Redis servers
	@exec $(VENV)/python -m tools.run_tests $(ARGS)

.PHONY: check
check: development vendor ## lint, types, import contracts, front end, lock files; no tests
	@exec $(VENV)/python -m tools.checks $(ARGS)

.PHONY: bench
bench: development vendor ## measure what the project promises to be fast at
	@exec $(VENV)/python -m tools.measure bench $(ARGS)

.PHONY: soak
soak: development vendor ## run the long measurements and endurance tests
	@exec $(VENV)/python -m tools.measure soak $(ARGS)

.PHONY: wheel
wheel: environment vendor ## build dist/tradewright-*.whl with the pages and their scripts inside
	@rm -f dist/tradewright-*.whl
	@mkdir -p build && $(VENV)/python -m build --wheel --no-isolation --outdir dist . > build/wheel.log 2>&1 \
		|| { cat build/wheel.log >&2; exit 1; }
	@ls dist/tradewright-*.whl

.PHONY: lock
lock: development ## resolve the dependencies anew into requirements/; make lock ARGS=--upgrade for newer ones
	@exec $(VENV)/python -m tools.lock $(ARGS)

.PHONY: clean
clean: prerequisites ## remove everything that was built here; the data directory stays
	@rm -rf .venv build dist node_modules test-results src/tradewright/web/static/vendor
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The steps behind the targets. Each is idempotent and cheap when nothing changed.

.PHONY: prerequisites
prerequisites:
	@tools/prerequisites.sh "$(PYTHON)"

.PHONY: environment
environment: prerequisites
	@$(PYTHON) tools/environment.py run

.PHONY: development
development: prerequisites
	@$(PYTHON) tools/environment.py develop

# Needs the environment, since node may come from it; run, test and the others name that first.
.PHONY: vendor
vendor:
	@$(VENV)/python tools/frontend.py vendor
