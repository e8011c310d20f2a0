# `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
# Tests of one file stay in one process: they share what they made.
TWO := --numprocesses 2 --dist loadfile
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GX_ANALYTICS_ENABLED := False
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true

.PHONY: demo pipeline test test-all check install clean

install: .venv/installed

# The last two: whose formulas the tests hold ours against; their own dependencies would bring torchvision.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the tested set of packages into .venv: a minute or more, quietly"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps torch-fidelity==0.4.0 clean-fid==0.1.35
	touch $@

# The models that ship: images, evidence, report. From another folder, `--model starter` is what is taken anyway.
demo: install
	synthcxr generate --n 200 --seed 1 --model starter --out demo/synthetic --force
	synthcxr evaluate --dataset demo/synthetic --params params/starter.yaml --models registry/starter --out demo/results --record
	synthcxr report --params params/starter.yaml --results demo/results --dataset demo/synthetic --out demo/report.html
	@echo "images: demo/synthetic/images"
	@echo "report: demo/report.html"

# Drawn phantoms to a registered champion, by DVC: what a project does with films of its own.
pipeline: install
	dvc repro
	synthcxr generate --n 64 --label Cardiomegaly --out demo/cardiomegaly --force
	@echo "images: demo/cardiomegaly/images"
	@echo "report: results/report.html"

test: install
	pytest $(TWO) -m 'not slow'

test-all: install
	pytest $(TWO)

check: install
	ruff format --check .
	ruff check .
	mypy
	lint-imports

clean:
	rm -rf data models results demo checkpoints registry/mlflow.db registry/artifacts
