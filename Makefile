# The front door: a thin layer over scripts/setup (packages) and meson (everything else).
#
#   make          build build/doppel
#   make run      ... fetch Debian's kernel and busybox, boot them to a shell (no terminal: a short scripted session)
#   make test     ... and pass the tests
#                 (ARCH=riscv64: a riscv64 machine; guests takes it, too)
#   make guests   fetch the guest kernels        make check    formatting, static checks, layers
#   make bench    measure (BENCH='ARGUMENTS')    make fuzz     the long differential and fuzz runs (FUZZ='ARGUMENTS')
#   make soak     20 minutes of engine bt under random disturbances (SOAK_SECONDS)
#   make install  PREFIX=~/.local by default     make clean
#
# Every target may be the first command on a machine that has only gcc, make and apt, and may be repeated.

ARCH ?= x86-64
PREFIX ?= $(HOME)/.local

.PHONY: all run test guests guests-all guests-riscv64 check bench fuzz soak install clean setup-build setup-test setup-check
.NOTPARALLEL: # the steps share apt's lock; ninja does the parallel part

all: setup-build
	@scripts/build program

setup-build setup-test setup-check:
	@scripts/setup $(@:setup-%=%) $(ARCH)

guests: setup-build
	@scripts/get-guest --arch $(ARCH)

guests-all: setup-build
	@scripts/get-guest --arch $(ARCH) --flavour all

guests-riscv64: setup-build
	@scripts/get-guest --arch riscv64 || echo "doppel: no riscv64 guest (see above): its tests are skipped"

run: all guests
	@scripts/demo-run $(ARCH)

test: setup-test guests-all guests-riscv64
	@scripts/run-tests

check: setup-check
	@scripts/check

bench: all guests
	@scripts/run-bench $(BENCH)

fuzz: setup-test guests
	@scripts/run-fuzz $(FUZZ)

soak: setup-test guests
	@scripts/build release
	@scripts/run-soak

install: all
	@install -D -m 755 build/release/src/cli/doppel $(DESTDIR)$(PREFIX)/bin/doppel
	@install -D -m 755 scripts/make-image $(DESTDIR)$(PREFIX)/share/doppel/make-image

clean:
	rm -rf build/release build/asan build/doppel
