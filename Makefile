# make demo: images to verified firmware; make test: everything that CI checks. Both set up .venv first.

EPOCHS ?= 5
N ?= 10000
DEVICE ?= 84
CASES ?= ai8x-synthesis/tests/conformance
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test test-all conformance fuzz lint figures clean

help:
	@echo "make demo      train, quantize, evaluate, generate and run the Fashion-MNIST network (EPOCHS=$(EPOCHS))"
	@echo "make test      linters, type checks and tests"
	@echo "make test-all  the slow tests too"
	@echo "make conformance  compare with the conformance cases; CASES=FOLDER for others"
	@echo "make fuzz      compare N=$(N) random networks for DEVICE=$(DEVICE) (84, 85) in all implementations"
	@echo "make figures   draw the pictures of docs/, write docs/limits.md and docs/ai84net.xlsx again"
	@echo "make clean     remove everything that the other targets made, except .venv and data"

.venv/complete: setup.sh constraints.txt requirements-test.txt ai8x-training/requirements.txt ai8x-synthesis/requirements.txt
	./setup.sh

demo: .venv/complete
	@python3 demo.py --epochs $(EPOCHS)

lint: .venv/complete
	python3 -m ruff check .
	python3 -m mypy ai8x-synthesis/izer ai8x-synthesis/chip ai8x-training/ai8x.py

conformance: .venv/complete
	@python3 ai8x-synthesis/tests/run_conformance.py $(CASES)

fuzz: .venv/complete
	@OMP_NUM_THREADS=1 python3 ai8x-synthesis/tests/run_fuzz.py --device $(DEVICE) $(N)

test: lint
	python3 -m pytest -n auto

test-all: lint
	python3 -m pytest -n auto -m ""

figures: .venv/complete
	python3 docs/figures/draw.py
	python3 docs/limits.py
	python3 docs/weight_storage.py

clean:
	rm -rf ai8x-training/logs ai8x-synthesis/demos ai8x-synthesis/rtlsim ai8x-synthesis/chip/build
