# Everything a fresh clone needs: `make train` and `make test` set themselves up.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= $(or $(shell cat $(VENV)/.torch 2>/dev/null),default)
READY := $(VENV)/.ready$(if $(filter-out default,$(TORCH)),-$(TORCH))
unexport PYTHONDONTWRITEBYTECODE  # else each start compiles the libraries anew

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:[^=]*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Create .venv with the locked dependencies; TORCH=cpu for a build without CUDA, remembered

# The lock names every package, so nothing is resolved; without make: python tools/environment.py.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) tools/environment.py --torch $(TORCH)

add: $(READY)  ## A dependency more, in pyproject.toml, lock and .venv: make add PKG="pandas polars>=1"
	@$(BIN)/python tools/environment.py --add $(PKG)

train: $(READY)  ## Train the default: LeNet on the bundled handwritten digits; ARGS="model=mlp" for others
	$(BIN)/python src/train.py $(ARGS)

serve: $(READY)  ## Serve the newest run as a web page; ARGS="ckpt_path=model.onnx port=8001" for another
	$(BIN)/python src/serve.py $(ARGS)

test: $(READY)  ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test-lightning-loop: export LIGHTLOOM_LOOP = lightning
test-lightning-loop: test  ## Run the tests under Lightning's own training loop, as CI does each night

test-fast: $(READY)  ## Run some cases of the tests that start no process and train nothing, in two to three minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --fast --numprocesses auto --maxprocesses 4 --dist worksteal

coverage: $(READY)  ## Run the tests and report the lines that none of them reaches, in logs/coverage
	rm -rf logs/coverage && mkdir -p logs/coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
	$(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report

test-portable: $(READY)  ## Repeat the tests that learn on other kernels, threads and seeds; ARGS="--threads 1" for fewer
	$(BIN)/python tools/portable.py $(ARGS)

bench: $(READY)  ## Run the benchmarks that need no GPU, in 20 minutes at most; results go to logs/bench
	$(BIN)/python benchmarks/all.py

scoreboard: $(READY)  ## Write the scoreboard of docs/results.md from the runs in logs; fails where a figure has drifted
	$(BIN)/python benchmarks/scoreboard.py

reproduce: $(READY)  ## All that fills docs/results.md, the cheapest first, resumable; ARGS="--list" or "--until 30" minutes
	$(BIN)/python benchmarks/reproduce.py $(ARGS)

lint: $(READY)  ## Check style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

format: $(READY)  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(READY)  ## Renew requirements.lock from pyproject.toml
	$(BIN)/python tools/environment.py --lock

errors: $(READY)  ## Write docs/errors.md anew: mistakes, and what is said of them
	OMP_NUM_THREADS=1 $(BIN)/python tests/support/mistakes.py

option-pairs: $(READY)  ## Write docs/option-pairs.md anew: runs in which each option meets each other one
	OMP_NUM_THREADS=1 $(BIN)/python tests/support/pairs.py

lightning-options: $(READY)  ## Write docs/lightning-options.md anew: what becomes of Lightning's options and callbacks
	$(BIN)/python -c "from lightloom.engine.lightning_options import page; print(page(), end='')" > docs/lightning-options.md

docs: $(READY)  ## Build the site of docs/ into site/, to be read without a network
	$(BIN)/python tools/site.py

new: $(READY)  ## A project of your own, renamed: make new NAME=myproject [KIND=thin] [DIR=] [WITH=images] [WITHOUT=boxes]
	@$(BIN)/python tools/new.py "$(NAME)" $(if $(DIR),--dir "$(DIR)") --kind "$(KIND)" --with "$(WITH)" --without "$(WITHOUT)"

clean:  ## Remove the environment and caches; keep data and logs
	rm -rf $(VENV) build *.egg-info src/*.egg-info .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup add train serve test test-fast test-portable test-lightning-loop coverage bench scoreboard reproduce lint format lock errors docs new \
	clean
