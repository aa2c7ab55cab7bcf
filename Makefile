# Two commands set everything up on a fresh machine:  make demo   and   make test
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
KEEP ?= 0
LANES ?= 2
CONFIG ?= demo/ae_config.yaml

.PHONY: demo viewer test scores faults fuzz bench check sbom audit docs peers clean

$(VENV)/node: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/test: $(VENV)/node
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,docs]'
	touch $@

demo: $(VENV)/node ## start a node on loopback, send the sample studies, show every result
	$(BIN)/dicom-ai-node demo demo $(if $(filter 1,$(KEEP)),--keep)

viewer: $(VENV)/node ## fetch the viewer (OHIF) for the node of the demo, or of CONFIG
	$(BIN)/dicom-ai-node viewer install --config $(CONFIG)

peers: ## install the peers and validators of the tests, where this account may
	bash tests/peers/install.sh

test: $(VENV)/test peers ## everything: style, types, structure, unit, contract, journey, peer and fault tests
	$(MAKE) check
	$(BIN)/python -m compileall -q -x /bundles/ dicom_ai_node # for the hundreds of processes to come
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(LANES) --dist loadfile --no-loadscope-reorder

scores: $(VENV)/test ## measure the scores of the slow models again, where their material is
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(LANES) -m score tests/bundles

faults: $(VENV)/test peers ## the fault matrix as a table; ARGS="--only 11,14", --fast, --seed 7
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/test peers ## this node beside its peers on this machine; ARGS="receive --quick"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	OMP_NUM_THREADS=1 $(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/test ## let a fuzzer look for inputs that nobody has thought of; ARGS="pdu --minutes 60"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

check: $(VENV)/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.supply licences
	$(BIN)/python -m deploy.supply audit --tolerant
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

sbom: $(VENV)/test ## the bill of material, CycloneDX: dist/sbom.json
	$(BIN)/python -m deploy.supply bill dist/sbom.json

audit: $(VENV)/test ## is a hole known in what is installed? Fails where nobody can be asked
	$(BIN)/python -m deploy.supply audit

docs: $(VENV)/test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) demo site
