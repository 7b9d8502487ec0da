# Thin, in front of Meson. `make run` and `make test` do all the set-up there is.
BUILD ?= build
PREFIX ?= /usr/local
SECONDS_A_TARGET ?= 60

.PHONY: all run test unit e2e bench interop lint fuzz format install clean deps help

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

help:
	@echo 'make run      set up, build, and start an authority, a gateway and an example to try'
	@echo 'make test     set up, build, and run every test'
	@echo 'make          build only: build/countersign and build/libexec/'
	@echo 'make unit     the unit tests only'
	@echo 'make e2e      the end-to-end tests only (K=word picks some)'
	@echo 'make lint     form, floors, banned calls, static analysis, man pages'
	@echo 'make bench    the figures of bench/'
	@echo 'make interop  what zlint, keytool and NSS say of what we issue (needs Go, its module proxy, Java)'
	@echo 'make fuzz     every fuzz target for SECONDS_A_TARGET=$(SECONDS_A_TARGET) seconds'
	@echo 'make format   put the C files into form'
	@echo 'make install  into PREFIX=$(PREFIX), below DESTDIR'
	@echo 'make deps     install the Debian packages of tools/packages.txt'
	@echo 'make clean    remove what was built'

deps:
	@tools/deps

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo 'meson is missing: run make deps first' >&2; exit 1; }
	@meson setup $(BUILD) --prefix=$(PREFIX)

run: deps all
	@exec $(BUILD)/countersign up

test: deps all
	@tools/test $(BUILD)

unit: all
	@tools/test --unit $(BUILD)

e2e: all
	@tools/test --e2e $(BUILD) $(if $(K),-k '$(K)')

bench: deps all
	@if [ -x bench/run ]; then bench/run; else echo 'there is no bench/run yet' >&2; exit 1; fi

interop: all
	@tools/interop $(BUILD)

lint: $(BUILD)/build.ninja
	@tools/lint $(BUILD)

fuzz:
	@tools/fuzz $(SECONDS_A_TARGET)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf build build-*
