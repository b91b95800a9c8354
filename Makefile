# Two commands do all the set-up: `make serve` and `make test`.
PYTHON ?= python3
EXTRA := $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
SERVE := .venv/.installed-$(EXTRA)
TEST := .venv-test/.installed
AUDIT := .venv-audit/.installed
TEST_GPU := .venv-test-gpu/.installed
CLIENTS := .venv-clients/.installed
FOREIGN := .venv-foreign/.installed
RAY := .venv-ray/.installed
TYPESCRIPT := build/typescript/.installed
PROMETHEUS := build/prometheus/.unpacked
NGINX := build/nginx/.unpacked
HAPROXY := build/haproxy/.unpacked
SCHEMAS := build/schemas/.installed
RECIPES ?= all
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1200
RELEASE_IMAGES ?= cpu,cuda

.PHONY: serve test test-slow test-gpu gpu fuzz soak peers check audit release train locks clean help

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(SERVE) ## make .venv and serve the bundles in models/ on 127.0.0.1:8000 (DIGITALIS_BIND: elsewhere)
	@.venv/bin/python -m service

test: $(TEST) ## make .venv-test with all that the tests need, and run them
	.venv-test/bin/python -m pytest

test-slow: $(TEST) $(CLIENTS) $(TYPESCRIPT) $(FOREIGN) $(RAY) $(PROMETHEUS) $(NGINX) $(HAPROXY) $(SCHEMAS) ## the tests that take minutes: the container, a training run, other projects' clients and networks
	.venv-test/bin/python -m pytest -m "slow or clients"

# In the second environment ONNX Runtime has the CUDA libraries of the extra `cuda` alone, as `make serve` installs them.
test-gpu: gpu $(TEST) $(TEST_GPU) ## the tests that need an NVIDIA GPU: training and TorchScript in .venv-test, ONNX Runtime in .venv-test-gpu
	.venv-test-gpu/bin/python -m pytest -m gpu -k onnx tests/test_devices.py
	.venv-test/bin/python -m pytest -m gpu -k torchscript tests/test_devices.py
	.venv-test/bin/python -m pytest -m gpu tests/test_augmentation.py

gpu:
	@nvidia-smi -L 2>/dev/null || { echo "make test-gpu needs an NVIDIA GPU, and nvidia-smi -L lists none here" >&2; exit 1; }

fuzz: $(TEST) ## fuzz all that reads what clients send, each part for FUZZ_SECONDS (default: 600)
	PYTHONPATH=tests .venv-test/bin/python -m fuzz --seconds $(FUZZ_SECONDS)

soak: $(TEST) ## mixed load, bursts and killed workers for SOAK_SECONDS (default: 1200); every response is checked
	PYTHONPATH=tests .venv-test/bin/python -m soak --seconds $(SOAK_SECONDS)

peers: $(TEST) $(CLIENTS) ## what `python -m benchmarks serve` needs: the other servers, without running any test

check: $(TEST) ## lint, formatting and types
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

audit: $(AUDIT) ## known vulnerabilities of the locked packages, and unsafe patterns in the code
	.venv-audit/bin/python deploy/audit

release: $(TEST) ## build the wheel and the images (RELEASE_IMAGES: cpu,cuda) of this version in dist/, check them, write the change log
	.venv-test/bin/python deploy/release --images $(RELEASE_IMAGES)

train: $(TEST) ## train RECIPES (default: all) from scratch and write their bundles
	.venv-test/bin/python -m training train $(RECIPES)

locks: ## resolve deploy/locks/ again to the newest versions that pyproject.toml allows (needs pip-tools)
	deploy/locks/resolve

clean: ## remove all environments and every cache
	rm -rf .venv .venv-audit .venv-test .venv-test-gpu .venv-clients .venv-foreign .venv-ray .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock is installed to the hash, then this project, editable, with no more of its own to fetch.
$(SERVE): deploy/locks/$(EXTRA).txt pyproject.toml
	@echo "making .venv: Python packages for $(EXTRA)"
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/pip install --quiet --require-hashes -r deploy/locks/$(EXTRA).txt
	@.venv/bin/pip install --quiet --no-deps --editable .
	@touch $@

$(TEST): deploy/locks/test.txt pyproject.toml
	@echo "making .venv-test: Python packages for training and tests, PyTorch among them (some minutes, 5 GB)"
	@$(PYTHON) -m venv --clear .venv-test
	@.venv-test/bin/pip install --quiet --require-hashes -r deploy/locks/test.txt
	@.venv-test/bin/pip install --quiet --no-deps --editable .
	@touch $@

$(TEST_GPU): deploy/locks/test-gpu.txt pyproject.toml
	@echo "making .venv-test-gpu: Python packages for tests on a GPU, NVIDIA's libraries among them (2 GB)"
	@$(PYTHON) -m venv --clear .venv-test-gpu
	@.venv-test-gpu/bin/pip install --quiet --require-hashes -r deploy/locks/test-gpu.txt
	@.venv-test-gpu/bin/pip install --quiet --no-deps --editable .
	@touch $@

$(AUDIT): deploy/locks/audit.txt
	@echo "making .venv-audit: pip-audit and bandit"
	@$(PYTHON) -m venv --clear .venv-audit
	@.venv-audit/bin/pip install --quiet --require-hashes -r deploy/locks/audit.txt
	@touch $@

$(CLIENTS): deploy/locks/clients.txt
	@echo "making .venv-clients: other projects' clients and servers"
	@$(PYTHON) -m venv --clear .venv-clients
	@.venv-clients/bin/pip install --quiet --require-hashes -r deploy/locks/clients.txt
	@touch $@

$(FOREIGN): deploy/locks/foreign.txt
	@echo "making .venv-foreign: other libraries, whose networks are imported"
	@$(PYTHON) -m venv --clear .venv-foreign
	@.venv-foreign/bin/pip install --quiet --require-hashes -r deploy/locks/foreign.txt
	@touch $@

$(RAY): deploy/locks/ray.txt
	@echo "making .venv-ray: Ray, and what digitalis predict needs"
	@$(PYTHON) -m venv --clear .venv-ray
	@.venv-ray/bin/pip install --quiet --require-hashes -r deploy/locks/ray.txt
	@touch $@

# Where there is no npm, the tests that need it are skipped, and say so.
$(TYPESCRIPT): tests/clients/typescript/package-lock.json
	@mkdir -p $(@D)
	@cp tests/clients/typescript/package*.json $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm ci --silent --no-audit --no-fund; fi
	@touch $@

$(SCHEMAS): tests/schemas/package-lock.json
	@mkdir -p $(@D)
	@cp tests/schemas/package*.json $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm ci --silent --no-audit --no-fund; fi
	@touch $@

# Needs no root; where there is no Debian, the tests of Prometheus, nginx and HAProxy are skipped, and say so.
$(PROMETHEUS):
	@mkdir -p $(@D)
	@cd $(@D) && if apt-get download -qq prometheus; then dpkg -x prometheus_*.deb .; fi
	@touch $@

$(NGINX):
	@mkdir -p $(@D)
	@cd $(@D) && if apt-get download -qq nginx; then dpkg -x nginx_*.deb .; fi
	@touch $@

$(HAPROXY):
	@mkdir -p $(@D)
	@cd $(@D) && if apt-get download -qq haproxy; then dpkg -x haproxy_*.deb .; fi
	@touch $@
