# SPDX-License-Identifier: GPL-2.0-only
# vhost-direct. `make help` lists what there is.

# The running kernel's headers, else the newest that are installed.
KDIR ?= $(shell d=/lib/modules/$$(uname -r)/build; [ -e $$d ] && echo $$d || \
	ls -d /lib/modules/*/build 2>/dev/null | sort -V | tail -n 1)
DESTDIR ?=
PREFIX ?= /usr/local
J ?= $(shell nproc)
# For what is built on the way to tests: as many compilers as make was asked for, else $(J).
SPREAD = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(J))
SANITIZERS ?= lockdep kasan kcsan
KERNEL ?= 6.1
KERNELS ?= 6.1 6.12 7.2 7.3

.PHONY: all modules clean install install-dkms install-tools uninstall sign deb programs \
	bench bench-mm bench-ring test test-kernels test-dkms test-sanitize features fuzz fuzz-ci check \
	help qemu test-qemu setup setup-lab

all: modules

# Kbuild cuts M= at blanks and colons; its clean would then go for another folder.
PLACE = [ $(words $(subst :, ,$(CURDIR))) = 1 ] || { echo "Kbuild takes no blank and no colon in a path; move $(CURDIR) to one without." >&2; exit 1; }

modules:
	@$(PLACE)
	@[ -e "$(KDIR)/Makefile" ] || { echo "No kernel headers found. Install them (Debian: apt-get install linux-headers-amd64) or set KDIR=." >&2; exit 1; }
	+$(MAKE) -C $(KDIR) M=$(CURDIR) modules

programs:
	+$(MAKE) -C bench all
	+$(MAKE) -C virtio/tests all
	+$(MAKE) -C virtio/user/vhost_user all
	+$(MAKE) -C guest-tests/progs all
	+$(MAKE) -C guest-tests/workload all

# Keys that a firmware may have enrolled can't be made again, and figures took hours.
KEPT = build/(sign|results|bench/partial)(/.*)?|build/bench/(ring/)?[^/]*\.(json|html|svg|png)

# Kbuild's own takes every object below here, those of .cache's images and kernels among them.
clean:
	@$(PLACE)
	@[ ! -e "$(KDIR)/Makefile" ] || $(MAKE) -C $(KDIR) M=$(CURDIR) \
		RCS_FIND_IGNORE='\( -name .cache -o -name .git \) -prune -o' clean
	[ ! -d build ] || find build -depth -mindepth 1 -regextype posix-extended ! -regex '$(KEPT)' \( ! -type d -o -empty \) -delete

# Kbuild runs in the headers' folder, which a relative DESTDIR isn't meant from.
install: modules install-tools
	+$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(abspath $(DESTDIR)) INSTALL_MOD_DIR=extra CONFIG_MODULE_SIG_ALL= modules_install
	install -D -m 644 packaging/60-vhost-direct.rules $(DESTDIR)/etc/udev/rules.d/60-vhost-direct.rules
	# Debian's headers lack what modules_install wants for this, so it skips it.
	@release=$$(modinfo -F vermagic vhost_direct.ko | cut -d' ' -f1); \
	[ -n "$(DESTDIR)" ] || { depmod $$release || exit 1; packaging/shadowed $$release; \
		[ $$release = $$(uname -r) ] || echo "Installed for $$release, not for $$(uname -r), which runs: modprobe finds them after a reboot. For this one: apt-get install linux-headers-$$(uname -r), make clean, make." >&2; }

# The sources for DKMS, which builds them for each kernel that is installed.
VERSION := $(shell sed -n 's/^VD_VERSION := //p' Kbuild)
install-dkms:
	for f in Makefile Kbuild LICENSE $$(find vhost -name '*.[ch]') virtio/ring*.h; do \
		install -D -m 644 $$f $(DESTDIR)/usr/src/vhost-direct-$(VERSION)/$$f || exit 1; done
	install -m 644 packaging/dkms.conf $(DESTDIR)/usr/src/vhost-direct-$(VERSION)/dkms.conf

install-tools:
	install -D -m 755 bench/vhost-direct-top $(DESTDIR)$(PREFIX)/sbin/vhost-direct-top
	install -D -m 644 packaging/vhost-direct-top.8 $(DESTDIR)$(PREFIX)/share/man/man8/vhost-direct-top.8
	install -D -m 644 vhost/uapi/vhost_direct.h $(DESTDIR)$(PREFIX)/include/vhost_direct.h

# For Secure Boot: KEY= and CERT=, or keys made here once.
sign: modules
	packaging/sign --kdir $(KDIR) $(if $(KEY)$(CERT),--key "$(KEY)" --cert "$(CERT)") vhost_direct.ko vhost_direct_net.ko

deb:
	.ci/setup deb
	packaging/deb

# In a source package debian/ is where dpkg wants it.
LEFT_OVER = $(firstword $(wildcard packaging/debian/vhost-direct-dkms.postrm debian/vhost-direct-dkms.postrm))

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/vhost-direct-top $(DESTDIR)$(PREFIX)/share/man/man8/vhost-direct-top.8 \
		$(DESTDIR)$(PREFIX)/include/vhost_direct.h
	[ ! -d $(DESTDIR)$(PREFIX)/share/man/man8 ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/share/man/man8
	rm -f $(DESTDIR)/etc/udev/rules.d/60-vhost-direct.rules
	for release in $$(ls $(DESTDIR)/lib/modules 2>/dev/null); do \
		found=$$(find $(DESTDIR)/lib/modules/$$release -name 'vhost_direct*.ko*' -path '*/extra/*' -print -delete); \
		[ -n "$$found" ] || continue; \
		rmdir --ignore-fail-on-non-empty $(DESTDIR)/lib/modules/$$release/extra; \
		[ -n "$(DESTDIR)" ] || depmod $$release || exit 1; \
	done
	@DPKG_ROOT="$(DESTDIR)" sh $(LEFT_OVER) remove

setup:
	.ci/setup

setup-lab:
	.ci/setup build lab

# The figures are there without the page, too. On the running host nothing is installed, and
# nothing is changed before it was asked.
ifeq ($(HOST),)
bench: setup-lab
	@.ci/setup page || echo "make: going on without the page of plots" >&2
	bench/bench $(BENCH)

bench-mm: setup-lab
	bench/bench-mm $(BENCH)
else
bench bench-mm:
	bench/host $(HOST_ARGS) $@ -- $(BENCH)
endif

# The modules that are tested are of the kernel that the virtual machines run. Those of other
# kernels than 6.1 are built inside their images, by run-tests.
test: setup-lab
	.ci/setup test
	+$(if $(filter 6.1,$(KERNEL)),kdir=$$(guest-tests/lab/vm kdir --install) && $(MAKE) $(SPREAD) modules KDIR=$$kdir VD_TESTS=y)
	+$(MAKE) $(SPREAD) programs
	guest-tests/run-tests --kernel $(KERNEL) $(TESTS)

# Each kernel's run counts, also after one that failed.
test-kernels:
	+@status=0; for kernel in $(KERNELS); do \
		echo "== $$kernel"; $(MAKE) test KERNEL=$$kernel || status=1; \
		$(MAKE) test-dkms KERNELS=$$kernel || status=1; \
		guest-tests/features --strict --kernel $$kernel || status=1; \
	done; exit $$status

# Installation as an operator does it, inside of each kernel's image; run-tests has no time for it.
test-dkms: setup-lab
	.ci/setup deb
	+$(MAKE) -C bench all
	@status=0; for kernel in $(KERNELS); do \
		echo "== $$kernel"; \
		VD_DKMS=$$kernel packaging/tests/dkms | guest-tests/lab/ktap.py || status=1; \
	done; exit $$status

test-sanitize: setup-lab
	+$(MAKE) $(SPREAD) programs
	@status=0; for name in $(SANITIZERS); do \
		echo "== $$name"; guest-tests/run-tests --kernel $(KERNEL) --sanitizer $$name $(TESTS) || status=1; \
	done; exit $$status

qemu: setup-lab
	qemu-patches/build $(QEMU)

# Each on the Debian release that it is of. As in test, only Debian 12's has modules from here: a
# machine of Debian 13 has no headers of 6.1.
test-qemu: qemu
	+$(if $(filter 7.2,$(or $(QEMU),7.2)),kdir=$$(guest-tests/lab/vm kdir --install) && $(MAKE) $(SPREAD) modules KDIR=$$kdir VD_TESTS=y)
	+$(MAKE) $(SPREAD) programs
	@status=0; for version in $(or $(QEMU),7.2 10.0); do \
		case $$version in 7.2) kernel=6.1 ;; *) kernel=6.12 ;; esac; \
		guest-tests/run-tests --kernel $$kernel --only vm/qemu.py || status=1; \
	done; exit $$status

# By the results that those left behind; runs nothing.
features:
	guest-tests/features $(FEATURES)

bench-ring:
	.ci/setup build ring
	+$(MAKE) -C bench/ring run ARGS="$(BENCH)"

fuzz:
	.ci/setup build fuzz
	+$(MAKE) -C virtio/fuzz run TIME=$(or $(TIME),60)

# All targets side by side, from the corpus alone.
fuzz-ci:
	.ci/setup build fuzz
	+$(MAKE) -C virtio/fuzz ci TIME=$(or $(TIME),60)

check: setup
	.ci/check

help:
	@sed -n 's/^#: //p' Makefile

#: make             build vhost_direct.ko and vhost_direct_net.ko here
#:                  (KDIR= other kernel headers)
#: make bench       measure beside stock vhost-net in virtual machines, print
#:                  tables, in about 8 minutes; as root: it installs what is
#:                  missing and makes the machines' image (BENCH="--help" for
#:                  its options, BENCH="--full" for every row: hours,
#:                  resumable; on Debian 13 BENCH="--image trixie")
#: make bench-mm    measure what memory events cost: packets a second under
#:                  invalidations, latency, the notifier's callbacks; as bench
#: sudo make HOST=1 bench, sudo make HOST=1 bench-mm
#:                  the same on the running host's own kernel: asks first, puts
#:                  everything back (docs/hardware.md; HOST_ARGS="--help")
#: make bench-ring  measure the ring engine beside DPDK's vhost library, here
#: make fuzz        fuzz the ring engine, TIME=60 seconds a target
#: make test        all tests, user space and virtual machines
#:                  (TESTS="--list", TESTS="--only 'nested*'", KERNEL=6.12)
#: make test-kernels
#:                  the same on each kernel (KERNELS="6.1 6.12 7.2 7.3")
#: make test-dkms   DKMS packages, make install and uninstall inside of each
#:                  kernel's image, and booted there (KERNELS=)
#: make test-sanitize
#:                  the suites on sanitizer kernels, built on first use
#:                  (SANITIZERS="lockdep kasan kcsan", KERNEL=6.12)
#: make qemu        build Debian's QEMU with the series of qemu-patches/
#:                  (QEMU="7.2 10.0")
#: make test-qemu   the same, then test it with nested guests
#: make features    what stock does and this one, too, by the results of the
#:                  last test runs on each kernel
#: make check       style, sparse, kernel-doc, shellcheck, warnings
#: make install     install modules, udev rule and vhost-direct-top on this
#:                  host; then modprobe vhost_direct_net
#: make sign        sign the modules for Secure Boot, before make install
#:                  (KEY=, CERT=; else keys are made once in build/sign)
#: make deb         build Debian packages vhost-direct-dkms and -tools in
#:                  build/deb
#: make install-dkms
#:                  install the sources for DKMS: docs/operators.md
#: make install-tools
#:                  vhost-direct-top and vhost_direct.h alone, beside DKMS
#: make uninstall   take away what make install and install-tools installed,
#:                  and the udev rule
#: make clean       remove what was built (images stay in .cache/; keys, and
#:                  results of tests and of benches, in build/)
