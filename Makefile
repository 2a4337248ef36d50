# Every task has a name here; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

GO ?= go
export CLANG ?= clang
export LLVM_STRIP ?= llvm-strip
export CLANG_FORMAT ?= clang-format
ARGS ?=
# In a checkout that belongs to another user, git refuses to answer, and go build would fail when it asks for the version.
export GOFLAGS += -buildvcs=false

MACHINE := $(shell uname -m)
HOST := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(MACHINE)))
# Ignore these in the environment: kernel builds export ARCH and V, and others may export PREFIX.
ARCH := $(HOST)
PREFIX := /usr/local
DESTDIR :=
V :=
TEST :=
UPDATE :=
DOC :=
TIME := 10m
KERNEL := 6.1 newest
VERSION :=

# The libbpf of the submodule. An older one, from a distribution's source package, needs LIBBPF_ANY=1.
LIBBPF_WANTED := 1.7.0

# A step prints one line: what is done and to what. V=1 prints the commands instead.
Q := $(if $(V),,@)
step = $(if $(V),,@printf '  %-8s%s\n' '$(1)' '$(2)')

# Sub-makes that only build run as many jobs as there are processors, unless make was told how many.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

TAGS := netgo,osusergo
BUILD := build
SOURCE := build/src/libbpf
LIBBPF = $(BUILD)/lib/libbpf.a
LIBBPF_ASAN := $(BUILD)/asan/lib/libbpf.a
LIBEU = $(BUILD)/lib/libeu.a

# What is built for another architecture has a folder of its own. Go programs embed the BPF objects beside
# their sources, which are those of this machine: -overlay makes go build read the other ones in their place.
ifneq ($(ARCH),$(HOST))
ifneq ($(ARCH),arm64)
$(error ARCH is $(HOST) or arm64, not "$(ARCH)")
endif
ifneq ($(words $(CURDIR)),1)
$(error ARCH=arm64 can't be built in a folder with a space in its name, $(CURDIR): CC has no place for it)
endif
.DEFAULT_GOAL := static
BUILD := build/$(ARCH)
MACHINE := aarch64
ROOT := $(BUILD)/root
OBJECTS := $(BUILD)/bpf/
OVERLAY := $(BUILD)/overlay.json
TAGS := $(TAGS),libbpf_external
export GOARCH := $(ARCH)
export CGO_ENABLED := 1
export CC := $(abspath scripts/arm64-cc)
export CGO_CFLAGS := -g -O2 -I$(abspath $(BUILD))/include
export CGO_LDFLAGS := -L$(abspath $(BUILD))/lib -lbpf -lelf -lz
endif

C_DIRS := bench tools testdata testdata/* examples/* selftest/* compat/*
C_FILES := $(wildcard *.[ch] $(C_DIRS:%=%/*.[ch]))
BPF_OBJECTS := $(patsubst %.c,$(OBJECTS)%.o,$(filter %.bpf.c,$(C_FILES)))

BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(MACHINE)))
# clang for BPF doesn't look where Debian keeps asm/types.h.
BPF_CFLAGS := -g -O2 -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) \
	-I $(BUILD)/include -idirafter $(ROOT)/usr/include/$(MACHINE)-linux-gnu

STATIC = $(shell scripts/static-flags)
STATIC_FLAGS = $(if $(findstring -pie,$(STATIC)),-buildmode=pie) -tags $(TAGS) $(OVERLAY:%=-overlay %) \
	-ldflags '-w -extldflags "$(STATIC)"'
HARDENING = $(shell CC='$(CC)' scripts/hardening)

##@ Building

all: deps ## Build libbpf and the BPF objects: after it go build and go test work (the default)
	@$(MAKE) --no-print-directory $(JOBS) built

built: $(LIBBPF) $(BPF_OBJECTS) $(LIBEU)
	@:

static: examples selftests ## Build the examples and the selftest, static programs (the default with ARCH=arm64)

libbpf: $(LIBBPF) ## Build libbpf and its headers in build/

bpf: $(BPF_OBJECTS) ## Compile the BPF objects of tests, examples and selftests

# Build libbpf again after the submodule was filled, moved to another commit or changed.
$(SOURCE).stamp: $(wildcard libbpf/src/* libbpf/include/uapi/linux/*) | deps
	@scripts/libbpf-source $(SOURCE) $(LIBBPF_WANTED)
	@touch $@

$(LIBBPF): CHECKS = $(HARDENING)
$(LIBBPF_ASAN): CHECKS := -fsanitize=address -fno-omit-frame-pointer
# libbpf's Makefile can't handle spaces in paths, and this checkout's path may have some: pass relative paths.
# Move the finished archive into place last, so that a build that is interrupted leaves none. Remove the programs that
# were linked with the old one: go build doesn't notice that libbpf.a has changed.
$(LIBBPF) $(LIBBPF_ASAN): %/lib/libbpf.a: $(SOURCE).stamp scripts/hardening | $(ROOT)
	$(call step,LIBBPF,$@)
	$Qrm -rf $*/obj $*/stage $*/include $*/bin $*/selftest
	$Qmkdir -p $*
	$Qhere=$$(realpath --relative-to=$(SOURCE)/src $*); \
		$(MAKE) --no-print-directory $(if $(V),V=1,-s) $(JOBS) -C $(SOURCE)/src BUILD_STATIC_ONLY=1 NO_PKG_CONFIG=1 \
		OBJDIR=$$here/obj DESTDIR=$$here/stage INCLUDEDIR=/include UAPIDIR=/include LIBDIR=/lib \
		CFLAGS="-g -O2 -Wall -fPIC $(CHECKS)" install install_uapi_headers $(if $(V),,>/dev/null)
	$Qmkdir -p $(@D)
	$Qmv $*/stage/include $*/include
	$Qmv $*/stage/lib/libbpf.a $@
	$Qrm -rf $*/obj $*/stage

# Static programs need this where the distribution's libelf.a lacks functions that it calls (Debian 13).
$(LIBEU): tools/libeu.c | deps $(ROOT)
	$(call step,CC,$@)
	$Qmkdir -p $(@D)
	$Q$(CC) -O2 -Wall -Werror -fPIC $(HARDENING) -c $< -o $(BUILD)/libeu.o
	$Q$(AR) rc $@ $(BUILD)/libeu.o

$(OBJECTS)%.bpf.o: %.bpf.c $(LIBBPF) | deps
	$(call step,CLANG,$@)
	$Qmkdir -p $(@D) $(BUILD)/dep
	$Q$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(BUILD)/dep/$(subst /,_,$*).d -MT $@ -c $< -o $@
	$Q$(LLVM_STRIP) -g $@

-include $(wildcard $(BUILD)/dep/*.d)

build/arm64/root: | deps
	@scripts/arm64-root $@

# It maps a path in the source tree to the file that go build reads: {"Replace":{"a.bpf.o":"build/arm64/bpf/a.bpf.o"}}.
comma := ,
build/arm64/overlay.json: Makefile $(filter %.bpf.c,$(C_FILES))
	$Qmkdir -p $(@D)
	$Qecho '{"Replace":{$(subst " ","$(comma)",$(foreach object,$(BPF_OBJECTS),"$(object:$(OBJECTS)%=%)":"$(object)"))}}' >$@

# Root, who installs, may have no Go and no clang in PATH: install what was built before, without building it again.
install uninstall: override PREFIX := $(abspath $(PREFIX))
install uninstall: PLACE = $(if $(DESTDIR),$(abspath $(DESTDIR)))$(PREFIX)
# Make splits lists at spaces, so paths with spaces can't be installed to.
install uninstall: ONE_PLACE = $(if $(word 2,$(PLACE)),$(error PREFIX and DESTDIR can't have a space in them))
install uninstall: LIBRARIES = $(LIBBPF) $(if $(findstring -leu,$(STATIC)),$(LIBEU))
install: $(filter-out $(wildcard $(BUILD)/lib/*),$(LIBBPF) $(LIBEU)) ## Install libbpf and its headers under PREFIX, /usr/local, where programs outside of checkouts find it
	$(ONE_PLACE)@install -d $(PLACE)/include/bpf $(PLACE)/lib
	@install -m 644 $(BUILD)/include/bpf/* $(PLACE)/include/bpf
	@install -m 644 $(LIBRARIES) $(PLACE)/lib
	@$(MAKE) --no-print-directory -s -C $(SOURCE)/src NO_PKG_CONFIG=1 \
		OBJDIR=$$(realpath --relative-to=$(SOURCE)/src $(BUILD))/obj \
		DESTDIR=$(PLACE:%$(PREFIX)=%) PREFIX=$(PREFIX) LIBDIR=$(PREFIX)/lib install_pkgconfig >/dev/null
	@rm -rf $(BUILD)/obj

uninstall: ## Remove from PREFIX what install put there
	$(ONE_PLACE)@rm -f $(patsubst $(BUILD)/%,$(PLACE)/%,$(wildcard $(BUILD)/include/bpf/*) $(LIBRARIES)) $(PLACE)/lib/pkgconfig/libbpf.pc
	@[ ! -d $(PLACE)/include/bpf ] || rmdir --ignore-fail-on-non-empty $(PLACE)/include/bpf

deps: ## Install what building needs (as root), or say how
	@scripts/deps build

clean: ## Remove everything that was built
	$Qrm -rf $(BUILD) $(BPF_OBJECTS)

generate: $(LIBBPF) ## Write the Go constants anew from libbpf's headers
	$(GO) run -C tools ./genenums "$(CURDIR)/$(BUILD)/include/linux/bpf.h" >$(BUILD)/enums.go
	@mv $(BUILD)/enums.go enums.go

EXAMPLES := $(patsubst examples/%/main.go,$(BUILD)/bin/%,$(wildcard examples/*/main.go))
examples: deps ## Build the examples, static programs, in build/bin/
	@$(MAKE) --no-print-directory $(JOBS) $(EXAMPLES)

$(foreach program,$(EXAMPLES),$(eval $(program): $(OBJECTS)examples/$(notdir $(program))/$(notdir $(program)).bpf.o))
$(EXAMPLES): $(BUILD)/bin/%: $(LIBBPF) $(LIBEU) $(OVERLAY) imports
	$(call step,GO,$@)
	$Q$(GO) build $(STATIC_FLAGS) -o $@ ./examples/$*

# Compile what the examples import, other than this module, while libbpf is fetched and built: it doesn't need libbpf.
imports: deps
	$Q$(GO) list -e -deps -f '{{if .Standard}}{{.ImportPath}}{{else if not .Module.Main}}{{.ImportPath}}{{end}}' ./examples/... | \
		grep -v '^unsafe$$' | xargs $(GO) build $(STATIC_FLAGS)

##@ Running

run: deps mounts ## Show process executions as they happen; ARGS='-json -duration 5s' passes arguments
	@$(MAKE) --no-print-directory $(JOBS) $(BUILD)/bin/execsnoop
	@exec $(BUILD)/bin/execsnoop $(ARGS)

mounts: ## Mount tracefs and a BPF file system, if they aren't and may be
	@scripts/mounts

##@ Testing

# Vet after the tests: vet reuses what go test has compiled, but go test doesn't reuse what vet has compiled.
check: check-format test-unit vet ## Build, check the format, vet, run the tests: what one runs while working

# Two lanes run side by side, each one task after the other. The first lane has the tasks that use perf buffers on this
# machine's kernel: together, they could exceed the limit of locked memory. lint is last because it reuses what the tests
# have compiled.
test: test-deps selftests $(LIBBPF_ASAN) ## Run everything that can be checked on this machine
	@scripts/side-by-side $(BUILD)/test \
		test-unit test-system test-race test-asan test-compat selftest test-oldest-go -- \
		test-scripts vmtest-short test-link apidiff lint

test-deps: all mounts
	@scripts/deps test

test-scripts: test-deps ## Test what the scripts do where libbpf's sources or apt aren't as usual
	@scripts/script-tests

# The packages that have tests. For the others, go test would print a line each.
TESTED = $(shell $(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)
# The packages among them that use cgo. The sanitizers only concern these.
WITH_C = $(shell $(GO) list -test -f '{{range .Deps}}{{if eq . "runtime/cgo"}}{{$$.ForTest}}{{end}}{{end}}' $(TESTED) | sort -u)

test-unit: all mounts ## Run the tests
	$(call step,TEST,$(TESTED))
	$Q$(GO) test -count=1 $(TESTED)

test-compat: all mounts ## Compare the behaviour with libbpfgo's release, by programs that are built against both
	$(call step,TEST,compat)
	$Q$(GO) -C compat test -count=1 -parallel 8 .
	$Q$(GO) -C compat vet -modfile=go.here.mod ./...

# The last release of the oldest Go that go.mod allows; Go downloads it as a module.
OLDEST_GO := go1.24.13
test-oldest-go: all mounts ## Build everything with the oldest Go that the README promises, and run the root package's quick tests
	$(call step,TEST,with $(OLDEST_GO))
	$QGOTOOLCHAIN=$(OLDEST_GO) $(GO) build ./...
	$QGOTOOLCHAIN=$(OLDEST_GO) $(GO) test -count=1 -vet=off -short . ./ringbuf ./perf

selftest: selftests mounts ## Run the selftests and print a table; TEST='xdp tc' runs these alone
	@$(BUILD)/selftest $(or $(TEST),all)

# In checkouts of before, build/selftest was a folder.
selftests: all $(OVERLAY) ## Build the selftests, one static program, build/selftest
	@[ ! -d $(BUILD)/selftest ] || rm -r $(BUILD)/selftest
	$Q$(GO) build $(STATIC_FLAGS) -o $(BUILD)/selftest ./selftest

# The kernels of selftest/kernels: those that make test runs, and all.
KERNELS := 6.1 6.12 newest
LIBBPF_VERSION = $(shell sed -n 's/.*_VERSION //p' $(BUILD)/include/bpf/libbpf_version.h | paste -sd .)
# The suffix of files with another architecture's results, as in expected-arm64. amd64's files have none.
VARIANT := $(patsubst %,-%,$(filter-out amd64,$(ARCH)))
vmtest: selftests $(BUILD)/gotest ## Run the selftests in virtual machines; KERNEL=6.12 TEST=kprobe narrows, ARCH=arm64 emulates that
	@scripts/deps vm-$(ARCH)
	@scripts/vm-kernels $(BUILD)/kernels $(ARCH) $(KERNEL)
	$QCGO_ENABLED=0 $(GO) build -o $(BUILD)/bin/vm ./selftest/vm
	$QCGO_ENABLED=0 GOARCH= $(GO) build -o build/bin/vm ./selftest/vm
	$Qbuild/bin/vm -arch $(ARCH) -init $(BUILD)/bin/vm -kernels $(BUILD)/kernels -selftest $(BUILD)/selftest -go-tests $(BUILD)/gotest \
		-expected selftest/expected$(VARIANT) $(if $(TEST),-test '$(TEST)') $(if $(UPDATE),-update) \
		$(if $(DOC),-document docs/kernels$(VARIANT).md -libbpf $(LIBBPF_VERSION)) $(VM_SHORT) $(KERNEL)

# This machine's kernel runs the Go tests in full, and make vmtest-all runs them in full on every kernel.
vmtest-short: VM_SHORT = -short
vmtest-short: vmtest ## Run the tests as vmtest does, but the Go tests with -short

# Without -buildmode=pie, go reuses what it has compiled for test-unit.
GOTEST_FLAGS = $(patsubst -buildmode=pie,,$(subst -static-pie,-static,$(STATIC_FLAGS)))
$(BUILD)/gotest: all $(OVERLAY)
	@rm -rf $@
	@mkdir -p $@/testdata
	$(call step,GO,$@)
	$Qfor package in . ringbuf perf; do $(GO) test -c $(GOTEST_FLAGS) -o $@/$$package/ ./$$package; done
	@cp $(filter $(OBJECTS)testdata/%,$(BPF_OBJECTS)) $@/testdata

vm-kernels: ## Fetch the kernels that selftest/kernels pins; UPDATE=1 pins what apt offers now
	@mkdir -p build
	@$(if $(UPDATE),scripts/vm-kernels update)
	@scripts/vm-kernels $(BUILD)/kernels $(ARCH) $(KERNELS)

vmtest-all: ## Run them on every kernel of the list; UPDATE=1 writes what is expected, DOC=1 docs/kernels*.md
	@$(MAKE) --no-print-directory vmtest KERNEL="$(KERNELS)"

# With -vet=off: test-unit and lint vet it all.
#
# One program has both: the race detector looks at accesses, cgocheck2 at what a store of a pointer leaves where.
test-race: all mounts ## Run the tests with the race detector and with every store of a Go pointer checked
	$(call step,TEST,with the race detector and cgocheck2)
	$QGORACE=atexit_sleep_ms=0 GOEXPERIMENT=cgocheck2 $(GO) test -count=1 -vet=off -race $(TESTED)

# Keep the symbols, which go test strips, so that the sanitizer's report has function names.
ASAN = CGO_CFLAGS="-g -O1 '-I$(CURDIR)/$(BUILD)/asan/include'" CGO_LDFLAGS="'$(CURDIR)/$(LIBBPF_ASAN)' -lelf -lz"
ASAN_FLAGS := -asan -tags libbpf_external -ldflags='-s=false -w=false'
test-asan: all mounts $(LIBBPF_ASAN) ## Run the tests with the address sanitizer, also in libbpf
	$(call step,TEST,with the address sanitizer)
	$Q$(ASAN) $(GO) test -count=1 -vet=off $(ASAN_FLAGS) $(WITH_C)

STREAM := test -count=1 -timeout 30m -v -run 'TestStream|AtRandom'
stress: all mounts $(LIBBPF_ASAN) ## Stream 100 million records through each form of reading; use readers at random for minutes
	$QLIBBPFGO_EVENTS=100000000 $(GO) $(STREAM) .
	$QLIBBPFGO_TIME=1m $(GO) $(STREAM) -race .
	$QLIBBPFGO_TIME=1m GOEXPERIMENT=cgocheck2 $(GO) $(STREAM) .
	$QLIBBPFGO_TIME=1m $(ASAN) $(GO) $(STREAM) $(ASAN_FLAGS) .

fuzz: all mounts $(LIBBPF_ASAN) ## Run each Fuzz function of the root package for its share of TIME=10m, half of it with the address sanitizer
	$QGO=$(GO) scripts/fuzz $(TIME) 2
	$Q$(ASAN) GO=$(GO) scripts/fuzz $(TIME) 2 $(ASAN_FLAGS)

LINKTEST := test -C tools -count=1 -vet=off -timeout 40m -v ./linktest
test-link: test-deps ## Link throw-away modules in all the ways that the README names
	$(call step,TEST,tools/linktest)
	$Q$(GO) $(LINKTEST) -run '^TestLink$$'

test-system: test-deps ## Run the root package's quick tests with the system's libbpf
	$(call step,TEST,with libbpf of the distribution)
	$Q$(GO) $(LINKTEST) -run '^TestSuiteWithTheSystemsLibbpf$$'

test-fresh: ## Go through make run and make test in a new Debian 12 (as root; takes a while)
	@scripts/fresh-test

# libbpfgo's program links the same libbpf. Like the C programs, it runs in a process of its own.
bench: all mounts ## Measure the buffers against C, cilium/ebpf and libbpfgo, and write bench/RESULTS.md
	$Q$(GO) build -C bench -o "$(CURDIR)/$(BUILD)/bench/" . ./here ./cilium
	$QCGO_CFLAGS="-g -O2 '-I$(CURDIR)/$(BUILD)/include'" CGO_LDFLAGS="'$(CURDIR)/$(LIBBPF)' -lelf -lz" \
		$(GO) build -C bench -o "$(CURDIR)/$(BUILD)/bench/" ./libbpfgo
	$(call step,BENCH,bench/RESULTS.md)
	$Q$(BUILD)/bench/bench -bin $(BUILD)/bench -object bench/events.bpf.o >$(BUILD)/RESULTS.md
	@mv $(BUILD)/RESULTS.md bench/RESULTS.md

lint: test-deps check-format vet ## Check format and style of Go, C and shell
	$(call step,VET,bench tools)
	$Qfor library in . peer here cilium; do $(GO) vet -C bench ./$$library; done
	$Q$(GO) vet -C tools ./genenums ./linktest
	$(call step,LINT,Go C shell)
	$Q$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$Qscripts/check-generated
	$Qshellcheck -x $(wildcard scripts/*) .ci/run

check-format: test-deps
	$(call step,FORMAT,Go C)
	$Qfiles=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted: $$files"; exit 1; }
	$Q$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

vet: all
	$(call step,VET,./...)
	$Q$(GO) vet ./...

# tools/go.mod requires the release of libbpfgo whose API this one must contain.
apidiff: all ## Show what of libbpfgo's API is missing or different here, which is nothing
	$QCGO_CFLAGS="'-I$(CURDIR)/$(BUILD)/include'" $(GO) -C tools tool apidiff -w "$(CURDIR)/$(BUILD)/release.api" github.com/aquasecurity/libbpfgo
	$Qchanges=$$($(GO) tool -modfile=tools/go.mod apidiff -incompatible $(BUILD)/release.api .); \
		[ -z "$$changes" ] || { echo "incompatible with libbpfgo:"; echo "$$changes"; exit 1; }

fmt: ## Format Go and C
	$Qgofmt -w .
	$Q$(CLANG_FORMAT) -i $(C_FILES)

##@ Releasing

release: ## Check the tree, run make test, and make the release VERSION=v0.1.0: changelog, commit and tag
	@scripts/release "$(VERSION)" make --no-print-directory test

##@ Help

help: ## List the tasks
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: $(BUILD)/gotest $(EXAMPLES) imports all built static libbpf bpf install uninstall deps clean generate examples run mounts check test test-deps test-scripts test-unit test-compat test-oldest-go selftest selftests vm-kernels vmtest vmtest-short vmtest-all \
	test-race test-asan stress fuzz test-link test-system test-fresh bench lint check-format vet apidiff fmt release help
