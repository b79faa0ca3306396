# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo

.PHONY: demo docs test test-full test-arm64 test-jetson-userland lint bench pictures clean

$(VENV)/.desk: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[desk]'
	touch $@

$(VENV)/.dev: $(VENV)/.desk
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# PyTorch: a reference that only the full tests compare with.
$(VENV)/.full: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[reference]'
	touch $@

demo: $(VENV)/.desk ## export, calibrate, build, run and bench in one go
	$(BIN)/posetrt demo -o $(OUT)

test: lint ## lint, types and the fast tests: pip packages alone
	$(BIN)/python -m pytest -m "not slow and not gpu and not jetson"

test-full: $(VENV)/.full ## the slow tests: whole networks, references, real bindings
	$(BIN)/python -m pytest -m "slow and not gpu and not jetson"

test-arm64: $(VENV)/.desk ## a Jetson's processor, emulated: debootstrap, qemu-user-static and root
	PYTHON=$(BIN)/python tests/arm64.sh build/arm64 tests/runtime/model/test_skeleton.py tests/bench/test_comparison.py tests/runtime/test_pixel_centres.py tests/jetson/test_board.py tests/jetson/test_telemetry.py tests/jetson/test_doctor.py -k 'not costs_less_than'

test-jetson-userland: ## setup.sh and the units on Ubuntu 22.04 and 24.04, booted: debootstrap, systemd-container and root
	tests/jetson_userland.sh build/userland

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev ## the parser's benchmark, drawn maps
	$(BIN)/posetrt bench-parser

docs: $(VENV)/.dev ## the documents as a site, in out/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pictures: $(VENV)/.desk ## the README's animation
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf $(VENV) out build dist
