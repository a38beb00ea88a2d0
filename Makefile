# The front door: a thin layer over scripts/setup (packages) and meson (everything else).
#
#   make          build build/doppel
#   make run      ... fetch Debian's kernel and busybox, boot them to a shell (no terminal: a short scripted session)
#   make test     ... and pass the tests
#   make guests   fetch the guest kernels        make check    formatting, static checks, layers
#   make bench    measure                        make fuzz     the long differential and fuzz runs
#   make install  PREFIX=~/.local by default     make clean
#
# Every target may be the first command on a machine that has only gcc, make and apt, and may be repeated.

ARCH ?= x86-64
PREFIX ?= $(HOME)/.local
BUILD := build
RELEASE := $(BUILD)/release
ASAN := $(BUILD)/asan
NINJA = $(shell command -v ninja || command -v ninja-build || echo ninja)
SOURCES := $(shell find src include guests tests scripts -name '*.[ch]' -o -name meson.build -o -name '*.tab' -o -name '*.asl' 2>/dev/null)

.PHONY: all run test guests check bench fuzz install clean setup-build setup-test setup-check

all: setup-build
	@scripts/build $(RELEASE) release
	@ln -sf release/src/cli/doppel $(BUILD)/doppel

setup-build setup-test setup-check:
	@scripts/setup $(@:setup-%=%)

guests: setup-build
	@scripts/get-guest --arch $(ARCH)

run: all guests
	@scripts/demo-run $(ARCH)

test: setup-test all guests
	@scripts/run-tests

check: setup-check
	@scripts/check

bench: setup-test all guests
	@scripts/run-bench

fuzz: setup-test all
	@scripts/run-fuzz

install: all
	@$(NINJA) -C $(RELEASE) >/dev/null
	@install -D -m 755 $(RELEASE)/src/cli/doppel $(DESTDIR)$(PREFIX)/bin/doppel

clean:
	rm -rf $(RELEASE) $(ASAN) $(BUILD)/doppel
