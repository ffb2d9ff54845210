# SPDX-License-Identifier: MIT
.PHONY: help all deps deps-vm demo test test-unit test-vm bench coverage install uninstall clean
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

help: ## this list
	@echo 'sluice: TCP of unmodified programs over AF_XDP, inside the process. Targets:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Switches: V=1 shows commands; SAN=address|thread builds into build-SAN; CC, CFLAGS, LDFLAGS, WERROR=;'
	@echo '          PREFIX (/usr/local) and DESTDIR for install; QUICK=1 for a short bench; ONLY=WORD: tests whose path has WORD.'

# ---- switches --------------------------------------------------------------------------------------------

V ?= 0
SAN ?=
COVERAGE ?=
WERROR ?= -Werror
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
CLANG ?= clang
AR ?= ar
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
BPFTOOL ?= $(shell PATH="$$PATH:/usr/sbin:/sbin" command -v bpftool)
VERSION := 0.1.0

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

B := build
ifneq ($(SAN),)
ifeq ($(filter $(SAN),address thread),)
$(error SAN=$(SAN) is not known; it is address or thread)
endif
B := build-$(SAN)
# liburcu's reader records are misaligned and its lists reach below their heads by design: not looked at.
SANFLAGS_address := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-sanitize=alignment,pointer-overflow -fno-omit-frame-pointer
# (fences order atomics only, which TSan follows by themselves; gcc would refuse them)
SANFLAGS_thread := -fsanitize=thread -Wno-tsan
# (gcc's own note: instrumentation makes this warning see what is not there)
SANFLAGS := $(SANFLAGS_$(SAN)) -Wno-maybe-uninitialized
endif
ifeq ($(COVERAGE),1)
B := build-coverage
SANFLAGS += --coverage -fprofile-update=atomic
CFLAGS := -O1 -g
endif

MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
ALL_CFLAGS := -std=gnu11 -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -fPIC -fvisibility=hidden -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' -DSLUICE_MULTIARCH='"$(MULTIARCH)"' \
	-I$(B) $(SANFLAGS) $(CFLAGS)
LIBS := -lxdp -lbpf -lurcu-bp -lurcu-cds -lurcu-common -lmnl -lpthread

# ---- what is built ---------------------------------------------------------------------------------------

obj = $(patsubst %.c,$(B)/%.o,$(1))
STACK_O := $(call obj,$(wildcard stack/core/*.c stack/sched/*.c stack/ipv4/*.c))
NETDEV_O := $(call obj,$(filter-out %.bpf.c,$(wildcard netdev/*.c)))
PROGRAMS_C := shim/launcher.c shim/sluicectl.c shim/doctor.c
SHIM_O := $(call obj,$(filter-out $(PROGRAMS_C),$(wildcard shim/*.c)))
# A call of the program's is the outermost function of what --trace prints, so it must not jump out of its frame.
$(SHIM_O): ALL_CFLAGS += -fno-optimize-sibling-calls
# The two programs and what they share with the library: the option list.
LAUNCHER_O := $(call obj,$(wildcard shim/launcher.c shim/config.c shim/filter.c shim/qdisc_option.c))
CTL_O := $(call obj,$(wildcard shim/sluicectl.c shim/doctor.c shim/firewall.c))
TESTLIB_O := $(call obj,$(wildcard tests/lib/*.c))
TEST_C := $(wildcard tests/unit/*_test.c tests/tcp/*_test.c tests/sim/*_test.c)
TEST_LIB := -lcriterion
ifeq ($(SAN),thread) # Criterion cannot start there: the threaded tests alone, see tests/lib/tinytest.h
TEST_C := $(wildcard tests/unit/*_threads_test.c)
TEST_LIB :=
endif
TESTS := $(patsubst %.c,$(B)/%,$(TEST_C))
BENCH := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))

all: $(B)/libsluice.so $(B)/sluice $(B)/sluicectl ## build/libsluice.so, build/sluice, build/sluicectl

$(B)/libstack.a: $(STACK_O)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(STACK_O)

$(B)/libnetdev.a: $(NETDEV_O)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(NETDEV_O)

# The version script: exactly the intercepted symbols, from the list that also makes the wrappers.
$(B)/sluice.map: shim/intercept.def tests/check/exports.sh
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)tests/check/exports.sh --map > $@

# -z initfirst: a library that the program needs may make sockets in its constructor, before ours otherwise.
$(B)/libsluice.so: $(SHIM_O) $(NETDEV_O) $(B)/libstack.a $(B)/sluice.map
	$(say) LINK $@
	$(Q)$(CC) -shared $(SANFLAGS) $(LDFLAGS) -Wl,-z,initfirst -Wl,-z,defs,-z,relro,-z,now -Wl,--exclude-libs,ALL \
	    -Wl,--version-script=$(B)/sluice.map -Wl,-soname,libsluice.so -o $@ \
	    $(SHIM_O) $(NETDEV_O) $(B)/libstack.a $(LIBS)

$(B)/sluice: $(LAUNCHER_O)
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LAUNCHER_LIBS)

$(B)/sluicectl: $(CTL_O)
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -lmnl

$(B)/%.o: %.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The steering program, and the header that carries it into the library.
$(B)/steer.bpf.o: netdev/steer.bpf.c
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -Wall $(WERROR) -target bpf -I/usr/include/$(MULTIARCH) -MMD -MP -c -o $@ $<

$(B)/steer.skel.h: $(B)/steer.bpf.o
	$(say) GEN $@
	$(Q)$(BPFTOOL) gen skeleton $< > $@

$(NETDEV_O): | $(B)/steer.skel.h

# ---- tests -----------------------------------------------------------------------------------------------

$(B)/libtest.a: $(TESTLIB_O)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(TESTLIB_O)

# One Criterion program for each file. The group twice: the test library and the stack use each other's symbols.
# A test of a shim file names that object as a further prerequisite (the shim as a whole would intercept the
# test program's own calls).
$(B)/tests/%_test: $(B)/tests/%_test.o $(B)/libtest.a $(B)/libnetdev.a $(B)/libstack.a
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(TEST_LIB) $(LIBS) -lm

$(B)/tests/unit/config_test: $(call obj,$(wildcard shim/config.c shim/qdisc_option.c))
$(B)/tests/unit/filter_test: $(call obj,$(wildcard shim/filter.c))
$(B)/tests/unit/file_threads_test: $(call obj,$(wildcard shim/file.c))

# The simulator's parts, and its tool for the targets below.
SIM_O := $(call obj,tests/sim/scenario.c tests/sim/scenario_run.c tests/sim/programs.c tests/sim/feature.c tests/sim/campaign.c tests/sim/wire.c tests/sim/bulk.c tests/sim/theory.c)
$(patsubst %.c,$(B)/%,$(wildcard tests/sim/*_test.c)): $(SIM_O)

$(B)/tests/sim/simtool: $(B)/tests/sim/simtool.o $(SIM_O) $(B)/libtest.a $(B)/libnetdev.a $(B)/libstack.a
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) -lm

.PHONY: sim soak theory plots
SEED ?= 1
sim: $(B)/tests/sim/simtool ## one simulator scenario, SEED=n, described; COUNT=m: so many from there on, and totals
	$(Q)$(B)/tests/sim/simtool $(if $(COUNT),seeds $(SEED) $(COUNT),run $(SEED))

soak: $(B)/tests/sim/simtool ## simulator scenarios with new seeds for SECONDS=60, or until one fails; its seed is printed
	$(Q)$(B)/tests/sim/simtool soak $(SECONDS)

theory: $(B)/tests/sim/simtool ## congestion control against theory: all rows of tests/sim/theory.tsv, measured
	$(Q)$(B)/tests/sim/simtool theory tests/sim/theory.tsv

plots: $(B)/tests/sim/simtool ## cwnd, in-flight, throughput and queue of reno, cubic and bbr as SVG into build/plots/
	$(Q)python3 tests/sim/plots.py $(B)/tests/sim/simtool $(B)/plots

test-unit: $(TESTS) $(B)/libsluice.so ## the tests that need neither root nor a network
	$(Q)BUILD=$(B) SAN=$(SAN) tests/run.sh --no-app $(ONLY)

test: deps ## everything that CI runs (root): unit tests, segment scripts, structure checks, real programs
	$(Q)$(MAKE) --no-print-directory test-build
	$(Q)[ -n "$(SAN)" ] || $(MAKE) --no-print-directory fuzz-build
	$(Q)[ -n "$(SAN)" ] || $(MAKE) --no-print-directory SAN=thread threads-build
	$(Q)BUILD=$(B) SAN=$(SAN) tests/run.sh $(ONLY)

.PHONY: test-build threads-build
test-build: all $(TESTS) $(BENCH)
threads-build: $(TESTS)

demo: deps ## a file down and a file up with an unmodified curl over AF_XDP (root)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(B) SAN=$(SAN) tests/app/demo.sh

test-vm: deps-vm ## the demo's transfers in a virtual machine whose driver does zero-copy (root; downloads a kernel)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(B) tests/vm/run.sh

bench: deps ## the kernel and sluice side by side (root); QUICK=1: a short run
	$(Q)$(MAKE) --no-print-directory all bench-build
	$(Q)BUILD=$(B) QUICK=$(QUICK) bench/run.sh

.PHONY: bench-build
bench-build: $(BENCH)

# This one is the stack alone, driven as the unit tests drive it.
$(B)/bench/window: $(B)/bench/window.o $(B)/libtest.a $(B)/libnetdev.a $(B)/libstack.a
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) -lm

$(B)/bench/%: $(B)/bench/%.o
	$(say) LINK $@
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $< -lpthread

# The figures are printed when a test fails, too; then the status is that of the tests.
coverage: deps ## line coverage of stack/ by the tests that need no root, per file and in total; an error below 90 %
	$(Q)[ ! -d build-coverage ] || find build-coverage -name '*.gcda' -delete
	$(Q)$(MAKE) --no-print-directory COVERAGE=1 test-unit; tests=$$?; \
	    tests/coverage.py --least=90 build-coverage stack/ && exit $$tests

# ---- fuzzing: clang's libFuzzer over the stack, with its own objects in build-fuzz ----------------------------

FUZZ_TARGETS := tcp options fragment arp cookie
FUZZ_CFLAGS := $(filter-out -I$(B) $(SANFLAGS),$(ALL_CFLAGS)) -O1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment,pointer-overflow,function
FUZZ_O := $(patsubst %.c,build-fuzz/%.o,$(wildcard stack/core/*.c stack/sched/*.c stack/ipv4/*.c) tests/lib/ipnet.c tests/fuzz/fuzznet.c)
SECONDS ?= 60
TARGET ?= $(FUZZ_TARGETS)

build-fuzz/%.o: %.c
	$(say) FUZZ-CC $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

build-fuzz/%_fuzz: build-fuzz/tests/fuzz/%_fuzz.o $(FUZZ_O)
	$(say) LINK $@
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined $(LDFLAGS) -o $@ $^ -lurcu-bp -lurcu-cds -lurcu-common -lpthread

.PRECIOUS: build-fuzz/%.o
.PHONY: fuzz fuzz-build
fuzz-build: $(FUZZ_TARGETS:%=build-fuzz/%_fuzz)

fuzz: deps ## libFuzzer with ASan and UBSan over what comes from the wire: SECONDS=60 each, TARGET="tcp arp"
	$(Q)$(MAKE) --no-print-directory fuzz-build
	$(Q)tests/fuzz/run.sh $(SECONDS) $(TARGET)

# ---- packages --------------------------------------------------------------------------------------------

PACKAGES := gcc libc6-dev make clang libclang-rt-dev llvm pkg-config libxdp-dev libbpf-dev bpftool liburcu-dev libunwind-dev libdw-dev libdw1 libmnl-dev \
	libcriterion-dev iproute2 iputils-ping ethtool nftables nginx-light curl wget python3 git openssl ca-certificates \
	netcat-openbsd iperf3 redis-server redis-tools tshark procps util-linux coreutils binutils sudo
PACKAGES_VM := $(PACKAGES) qemu-system-x86 busybox-static xz-utils

deps: ## install what is missing from Debian's archive (root; does nothing when all is there)
	$(Q).ci/deps $(PACKAGES)

deps-vm: ## the same for test-vm
	$(Q).ci/deps $(PACKAGES_VM)

# ---- install ---------------------------------------------------------------------------------------------

install: all ## libsluice.so to PREFIX/lib, sluice and sluicectl to PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(B)/libsluice.so $(DESTDIR)$(PREFIX)/lib/libsluice.so
	install -m 755 $(B)/sluice $(B)/sluicectl $(DESTDIR)$(PREFIX)/bin/
	printf 'prefix=%s\nlibdir=$${prefix}/lib\n\nName: sluice\nDescription: %s\nVersion: %s\nLibs:\n' \
	    '$(PREFIX)' 'TCP over AF_XDP for unmodified programs; $${libdir}/libsluice.so is for LD_PRELOAD' '$(VERSION)' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sluice.pc

uninstall: ## what install put there
	rm -f $(DESTDIR)$(PREFIX)/lib/libsluice.so $(DESTDIR)$(PREFIX)/lib/pkgconfig/sluice.pc \
	    $(DESTDIR)$(PREFIX)/bin/sluice $(DESTDIR)$(PREFIX)/bin/sluicectl

clean: ## remove build*/
	rm -rf build build-address build-thread build-coverage build-fuzz

-include $(shell find $(B) build-fuzz -name '*.d' 2>/dev/null)
