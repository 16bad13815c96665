# Two commands do everything on a machine with Python 3.11 and pip: `make quickstart` and `make test`.
PYTHON ?= python3
# On Linux PyPI's torch brings CUDA along. For the smaller CPU build:
#   make quickstart TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

BIN := .venv/bin
READY := .venv/ready
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Packages are installed without bytecode, so the first process writes it. Without it, every process that a test starts
# compiles PyTorch and transformers again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test check acceptance docs site lock

quickstart: $(READY)
	$(BIN)/understudy run quickstart

# A worker a core, each with one thread: the models are tiny, and threads that wait for each other cost more than they do.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not acceptance" -n auto --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

acceptance: $(READY)
	$(BIN)/python -m pytest -m acceptance

docs: $(READY)
	$(BIN)/python -m understudy.recipe.reference > docs/recipe.md
	$(BIN)/python docs/figures.py

# Opens as files, too; its search wants a server: python -m http.server --directory site
site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# torch stands apart: which file it is differs between machines, everything else is pinned by hash. Python compiles what
# it imports; compiling all of torch and transformers beforehand takes longer.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --no-compile $(TORCH)
	$(PIP) install --quiet --no-compile --no-deps --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Resolves pyproject.toml anew and pins what it finds.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet ".[distill,offline,onnx,dev]" setuptools uv
	$(PIP) freeze --all | grep -vE '^(torch|understudy-distill|pip|uv)( |=|@)' > .venv/pins.txt
	$(BIN)/uv pip compile --quiet --no-deps --no-annotate --generate-hashes --custom-compile-command "make lock" .venv/pins.txt -o requirements.lock
	rm -rf .venv build
