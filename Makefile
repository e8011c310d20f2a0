# `make demo` and `make test` need only Python 3.11 or later.
PYTHON ?= python3
# The tests of one file run in one process, because they share fixtures.
TWO := --numprocesses 2 --dist loadfile
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GX_ANALYTICS_ENABLED := False
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export NO_MKDOCS_2_WARNING := true
# Without stored bytecode, every process compiles the packages that it imports again: 3 to 4 s for each command.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo pipeline test test-all fuzz check docs install clean

install: .venv/installed

# The tests compare metrics with the last two packages. Their own dependencies would install torchvision.
.venv/installed: pyproject.toml constraints.txt
	@echo "installing the tested packages (2.2 GB) into .venv: takes 2 to 8 minutes, in which pip prints nothing"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps torch-fidelity==0.4.0 clean-fid==0.1.35
	touch $@
	@echo "installed: run 'source .venv/bin/activate' to use the commands"

# With the starter model: images, evaluation, report.
demo: install
	synthcxr generate --n 200 --seed 1 --model starter --out demo/synthetic --force
	synthcxr evaluate --dataset demo/synthetic --params params/starter.yaml --models registry/starter --out demo/results --record
	synthcxr report --params params/starter.yaml --results demo/results --dataset demo/synthetic --out demo/report.html
	@echo "images: demo/synthetic/images"
	@echo "report: demo/report.html"

# The whole pipeline on phantoms, up to a registered champion, as in a project with its own films.
pipeline: install
	@echo "running the stages of dvc.yaml: takes 8 to 11 minutes on two idle cores"
	dvc repro
	synthcxr generate --n 64 --label Cardiomegaly --out demo/cardiomegaly --force
	@echo "All stages have run. The phantoms test the pipeline; the images say nothing about real films."
	@echo "evaluated images: data/synthetic/images"
	@echo "images with Cardiomegaly: demo/cardiomegaly/images"
	@echo "registered models: synthcxr models list"
	@echo "report: results/report.html"

test: install
	pytest $(TWO) -m 'not slow'

test-all: install
	pytest $(TWO)

# N inputs of SEED over all parsers, or those that match PARSER, such as 'dicom*'. REPLAY=FILE tries a saved input again,
# CORPUS=FOLDER tries the files of a folder on every parser.
N ?= 100000
SEED ?= 1
PARSER ?= *
fuzz: install
	PYTHONPATH=tests python -m fuzz $(if $(REPLAY),--replay $(REPLAY),--n $(N) --seed $(SEED) --parser '$(PARSER)' --corpus '$(CORPUS)')

check: install
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	mkdocs build --strict --quiet

# http://127.0.0.1:8000, rebuilt when a page changes.
docs: install
	mkdocs serve --strict --dev-addr 127.0.0.1:8000

clean:
	rm -rf data models results demo site checkpoints fuzz_failures registry/mlflow.db registry/artifacts
