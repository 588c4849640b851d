# Everything that people and CI do with this tree. `make` lists it.
# On a fresh machine Python 3.11 or newer, git and make are enough; the rest goes into .venv.

VENV  := .venv
BLIND := .venv-blind
BIN   := $(VENV)/bin
ARGS  :=
# Processes that tests run in; 0: in this one, which shows what they print.
JOBS  := 2
PARALLEL := -n $(JOBS) --dist worksteal

# A PYTHONPATH of the caller must not decide what is tested.
unexport PYTHONPATH PYTHONHOME PIP_USER

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test coverage simulate chaos test-blind verify-blind lint docs screenshots bench bench-quick bench-peers build clean

help:  ## List the targets
	@echo "usage: make TARGET [ARGS=...]     for example: make test ARGS='tests/protocol -k session'"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.ready  ## Make .venv with everything that development needs (the others do it when needed)

demo: setup  ## Run a relay and a conversation, and prove that the relay could not listen
	@$(BIN)/sealcast demo $(ARGS)

test: setup  ## Run the tests
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: setup  ## Run the tests and print their coverage; every process is slower
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term $(ARGS)

simulate: setup  ## Replay a simulated conversation: make simulate SEED=7
	@$(BIN)/python -m tests.simulator.judging $(SEED)

chaos: setup  ## Kill, stall and cut a relay under load for minutes (ARGS='--seed 7 --minutes 5')
	@$(BIN)/python -m tests.chaos.conversation $(ARGS)

test-blind: $(BLIND)/.ready  ## Run the tests of relay and protocol where no cipher library is installed
	@if $(BLIND)/bin/python -c 'import cryptography' 2>/dev/null; then \
		echo "$(BLIND) can import cryptography: remove it and try again" >&2; exit 1; fi
	@$(BLIND)/bin/python -m pytest -q $(PARALLEL) tests/server tests/protocol $(ARGS)

verify-blind: setup  ## Prove that the relay cannot read, and that the proof finds a relay that can
	@$(BIN)/sealcast verify-blind $(ARGS)
	@echo && echo "The same with a relay that is given keys: now they must be found." && echo
	@status=0; shown=$$($(BIN)/sealcast verify-blind --sabotage $(ARGS)) || status=$$?; \
	printf '%s\n' "$$shown"; \
	if [ $$status -ne 1 ]; then \
		echo "verify-blind --sabotage must end with status 1, and ended with $$status" >&2; exit 1; fi; \
	for row in memory windows-16 windows-32; do \
		if ! printf '%s\n' "$$shown" | grep -q "^LEAK: $$row: .* at 0x"; then \
			echo "verify-blind --sabotage did not say where in the row $$row" >&2; exit 1; fi; \
	done; \
	echo; echo "As it should be: the keys that were given away have been found."

lint: setup  ## Check style, types and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: setup  ## Check that the generated sections of the documentation are up to date
	@$(BIN)/python docs/generate.py --check

screenshots: setup  ## Make the pictures of the console in docs/images again (needs Chromium)
	@$(BIN)/python -m tests.console.shots

bench: setup  ## Measure (see bench/README.md)
	@$(BIN)/python -m bench $(ARGS)

bench-quick: setup  ## The same in small, in less than five minutes
	@$(BIN)/python -m bench --quick $(ARGS)

build: setup  ## Build the distribution, install it elsewhere, and run it there
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(BIN)/python -m build --outdir "$$scratch/dist" . && \
	$(BIN)/python -m venv "$$scratch/venv" && \
	{ "$$scratch/venv/bin/python" -m pip install --quiet "$$scratch"/dist/*.whl || { $(offline); }; } && \
	cd "$$scratch" && venv/bin/sealcast version && \
	venv/bin/python -c 'import sealcast.client, sealcast.protocol.session'

bench-peers:  ## Install servers to compare with, into the tree (ARGS='python nats': only these)
	@bench/peers/install.sh $(ARGS)

clean:  ## Remove the environments and everything that can be made again
	rm -rf $(VENV) $(BLIND) .venv-bench bench/.cache build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find protocol client server tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: made once, and again when pyproject.toml changes ---

$(VENV)/.ready: pyproject.toml
	@$(call environment,$(VENV))
	@$(call install,$(VENV),dev)
	@touch $@

$(BLIND)/.ready: pyproject.toml
	@$(call environment,$(BLIND))
	@$(call install,$(BLIND),test)
	@$(BLIND)/bin/python -m pip uninstall --quiet --yes cryptography
	@touch $@

# $(call environment,FOLDER): a virtual environment of the newest Python here that is new enough.
# A name on the path proves nothing (version managers put shims there), so each one is asked.
define environment
if ! $(1)/bin/python -m pip --version >/dev/null 2>&1; then \
	found=; bare=; \
	for name in $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3 python); do \
		"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if "$$name" -c 'import venv, ensurepip' >/dev/null 2>&1; then found=$$name; break; fi; \
		bare=$$name; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
		echo "$$bare has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	if [ -z "$$found" ]; then \
		echo "sealcast needs Python 3.11 or newer: install one, or say make PYTHON=/where/it/is" >&2; \
		exit 1; fi; \
	echo "making $(1) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(1); fi
endef

# $(call install,FOLDER,GROUP): sealcast itself, editable, with the relay's extra and a dependency group.
# pip learned --group in 25.1.
define install
echo "installing sealcast[server] and its $(2) tools into $(1)"; \
{ $(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1' && \
  $(1)/bin/python -m pip install --quiet --editable '.[server]' --group $(2); } || { $(offline); }
endef

define offline
{ echo; echo "pip could not install what sealcast needs; its own words stand above."; \
  echo "Without a way to the package index, name a mirror (PIP_INDEX_URL=...) or a folder of wheels"; \
  echo "(PIP_NO_INDEX=1 PIP_FIND_LINKS=...), and run the same command again."; } >&2; exit 1
endef
