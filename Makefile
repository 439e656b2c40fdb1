# Everything a fresh machine needs is Python 3.11 or newer, GNU make and the network for the first run.
#
#     make demo     compile the example model to an engine and show the report
#     make test     run the tests
#     make check    lint, types and layering
#     make format   lay the code out as `make check` wants it
#     make prove    prove every rule of the library on graphs made for it; takes minutes
#     make bench    vggc beside its peers
#     make docs     build the documentation as a site, build/site/index.html
#     make fuzz     look for files that vggc does not end on in words
#     make clean    remove what these targets made
#
# Another interpreter: make demo PYTHON=python3.12

PYTHON = python3
MINUTES = 10
VENV = .venv
BIN = $(VENV)/bin

# Editable: fine for running. `make check` looks at an installed copy instead, see below.
INSTALLED = $(VENV)/installed
COPY = build/check
PEERS = build/peers
PEERS_PYTHON = $(PEERS)/bin/python
PEERS_INSTALLED = $(PEERS)/installed

# Nothing of what make runs is taken from, or left in, the user's cache folder.
export VGGC_CACHE = off

.PHONY: demo test check format prove bench docs fuzz clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/vggc examples/digits/prune.opt examples/digits/digits_vgg.onnx -o build/demo

# pytest by its own command: `python -m pytest` would put this folder, and with it a second `passes`, on the path.
# More for pytest: make test TESTS="tests/grammar -k spans"
test: $(INSTALLED)
	$(BIN)/pytest $(TESTS)

# mypy and import-linter do not follow the editable install's mapping of folders to packages (compiler/ is vggc,
# passes/ is vggc.passes), so they get a plain install of the package alone; all else comes from the environment.
# build/lib goes first: setuptools would pack modules from it that are long deleted.
check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lib build/bdist.* $(COPY)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(COPY) .
	MYPYPATH=$(COPY) $(BIN)/mypy
	PYTHONPATH=$(COPY) $(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

prove: $(INSTALLED)
	set -e; for rules in $(filter-out %/all.opt,$(wildcard recipes/rules/*.opt)); do $(BIN)/vggc check --rules $$rules; done

# SHARED is a folder of nets and their data, which no clone has; without it what needs them is skipped, and says so.
# Torch-Pruning joins in once it is among the peers: build/peers/bin/python -m pip install torch torch-pruning
# Less of it: make bench BENCH="--models chain5000 --peers onnxsim" RULES=benchmarks/exports/torch_vit.onnx PRUNING="--nets vgg16"
bench: $(INSTALLED) $(PEERS_INSTALLED)
	$(BIN)/python benchmarks/simplify_fold.py --peers-python $(PEERS_PYTHON) $(BENCH)
	$(BIN)/python benchmarks/rules.py --peers-python $(PEERS_PYTHON) $(RULES)
	$(BIN)/python benchmarks/rewrite.py
	$(BIN)/python benchmarks/pruning.py $(SHARED) --peers-python $(PEERS_PYTHON) $(PRUNING)

# A page that is linked to and is not there, or a heading, ends it.
docs: $(INSTALLED)
	$(BIN)/properdocs build --strict

# Damaged recipes, models and sidecars: each must end in a message. Findings are kept in build/fuzz.
fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz/fuzz.py --minutes $(MINUTES)

clean:
	rm -rf build $(VENV) vggc.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find compiler passes grammar recipes tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'vggc needs Python 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(PEERS_INSTALLED): Makefile
	$(PYTHON) -m venv $(PEERS)
	$(PEERS_PYTHON) -m pip install --quiet onnxsim onnxslim onnxscript onnxruntime
	@touch $@
