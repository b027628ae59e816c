# Nexus. `make help` lists the targets; each installs or names what it lacks.

GO     ?= go
SMP    ?= 1
MEMORY ?= 128M
PKGS   ?=
SEED   ?= 1
RUNS   ?= 3
CUTS   ?= 20

BUILD    := build
NEXUS_GO := $(BUILD)/toolchain/bin/go
TOOL     := $(GO) tool -modfile=cmd/tools.mod
SETUP    := @$(GO) run ./cmd/setup
RUN      := $(GO) build -o $(BUILD)/run ./test/run && $(BUILD)/run

# Programs for the target. Nothing of the machine or its folders may get into
# them: the same source gives the same bytes.
TARGET  := GOOS=tamago GOARCH=riscv64 GOFLAGS=
PROCESS := $(TARGET) $(NEXUS_GO)
KERNEL  := GOOSPKG=github.com/usbarmory/tamago $(TARGET) $(NEXUS_GO)
BUILDFLAGS := -trimpath -buildvcs=false
# The kernel collects no garbage after its boot, so its tables need no write barriers.
KERNELFLAGS := -gcflags=nexus.internal/kernel/core=-wb=false
MKIMAGE := $(BUILD)/mkimage
CHILDREN := hello exit0 exit42 crash
SYSTEM  := -board qemu-virt -kernel $(BUILD)/kernel.elf -programs $(BUILD)/services.elf -binary storage=$(BUILD)/storage.elf -manifest cmd/mkimage/system/nexus.toml -policy cmd/mkimage/system/policy
TESTFILES := -manifest cmd/mkimage/system/test/nexus.toml -policy cmd/mkimage/system/test/policy -file kselftest=$(BUILD)/kselftest.bin $(foreach c,$(CHILDREN),-file child-$(c)=$(BUILD)/child-$(c).elf)
TESTS   := $(TESTFILES) -manifest cmd/mkimage/system/test/client.toml
ENDURE  := $(TESTFILES) -manifest $(BUILD)/endurance.toml -env SPAWN_ROUNDS=10000
SOURCES := board cmd ipc kernel svc test

.PHONY: help setup toolchain build programs qemu run test test-host test-os test-smp test-entropy endurance soak soak-slice campaign powercut powercut-images test-std test-std-smp dep-gate diag-os bench bench-smp mutants-host mutants fmt vet lint vuln clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what the other targets need, or name it
	$(SETUP) qemu cc git

toolchain: ## patch and build the Go toolchain for the target; nothing if it is current
	@$(GO) run ./cmd/toolchain -out $(BUILD)/toolchain

programs: toolchain
	@mkdir -p $(BUILD)
	$(KERNEL) build $(BUILDFLAGS) $(KERNELFLAGS) -ldflags "-T 0x80211000 -R 0x1000" -o $(BUILD)/kernel.elf ./cmd/kernel
	$(PROCESS) build $(BUILDFLAGS) -o $(BUILD)/services.elf ./cmd/services
	$(PROCESS) build $(BUILDFLAGS) -o $(BUILD)/storage.elf ./cmd/storage
	@$(GO) build -o $(MKIMAGE) ./cmd/mkimage

build: programs ## build the images: build/nexus.img, and build/nexus-test.img with the tests
	$(MKIMAGE) build $(SYSTEM) -o $(BUILD)/nexus.img
	@$(GO) run ./cmd/kselftest $(BUILD)/kselftest.bin
	@for c in $(CHILDREN); do $(PROCESS) build $(BUILDFLAGS) -ldflags "-s -w" -o $(BUILD)/child-$$c.elf ./cmd/child/$$c || exit 1; done
	$(MKIMAGE) build $(SYSTEM) $(TESTS) -o $(BUILD)/nexus-test.img

qemu: build ## boot on the serial console and stay up; Ctrl-A X ends it (SMP=, MEMORY=); build/disk.img stays
	$(SETUP) qemu
	@$(MKIMAGE) disk -keep -o $(BUILD)/disk.img
	qemu-system-riscv64 -M virt -cpu rv64 -smp $(SMP) -m $(MEMORY) -nographic -no-reboot \
		-global virtio-mmio.force-legacy=false -device virtio-rng-device \
		-drive if=none,id=disk,format=raw,discard=unmap,file=$(BUILD)/disk.img -device virtio-blk-device,drive=disk,werror=report -kernel $(BUILD)/nexus.img

run: test-os ## build, and run the ladder

test: build ## host tests, then the ladder in QEMU; ends with "N passed, N failed"
	$(SETUP) qemu cc
	@$(RUN) all -image $(BUILD)/nexus-test.img

test-host: ## tests of all packages on this machine, with the race detector
	$(SETUP) cc
	@$(RUN) host

test-os: build ## the marker ladder in QEMU (RUN_PHASE, RUN_UNTIL_MARKER, RUN_TIMEOUT, SMP, REQUIRE_SMP, DISK)
	$(SETUP) qemu
	@$(RUN) os -image $(BUILD)/nexus-test.img

test-smp: build ## the whole ladder with 1, 2 and 4 harts
	$(SETUP) qemu
	@$(GO) build -o $(BUILD)/run ./test/run
	@for n in 1 2 4; do echo "=== harts: $$n"; SMP=$$n REQUIRE_SMP=$$((n > 1)) $(BUILD)/run os -image $(BUILD)/nexus-test.img || exit 1; done

test-entropy: build ## boots that differ in what the entropy device gives
	$(SETUP) qemu
	@$(PROCESS) build $(BUILDFLAGS) -ldflags "-s -w" -o $(BUILD)/child-random.elf ./cmd/child/random
	$(MKIMAGE) build $(SYSTEM) -manifest cmd/mkimage/system/entropy/nexus.toml -policy cmd/mkimage/system/entropy/policy -binary random=$(BUILD)/child-random.elf -file child-random=$(BUILD)/child-random.elf -o $(BUILD)/nexus-entropy.img
	@$(GO) run ./test/entropy -image $(BUILD)/nexus-entropy.img

endurance: build ## 10,000 processes and 1,000 restarts that leave nothing behind
	$(SETUP) qemu
	@sed 's/restarts=40/restarts=1000", "patience=5m/; s/restart_limit = 40/restart_limit = 1000/' cmd/mkimage/system/test/client.toml >$(BUILD)/endurance.toml
	$(MKIMAGE) build $(SYSTEM) $(ENDURE) -o $(BUILD)/nexus-endurance.img
	@$(GO) build -o $(BUILD)/run ./test/run
	@RUN_PHASE=exec RUN_TIMEOUT=$${RUN_TIMEOUT:-10m} $(BUILD)/run os -image $(BUILD)/nexus-endurance.img

soak: endurance powercut-images ## random system calls and turns, 10 million each, on four harts, after endurance, and 800 power cuts (SEED=, RUNS=)
	@$(GO) run ./cmd/soak -seed $(SEED) -runs $(RUNS)
	@$(GO) run ./cmd/powercut -seed $(SEED) -runs 20 -cuts 20
	@$(GO) run ./cmd/powercut -load state -seed $(SEED) -runs 20 -cuts 20

campaign: ## cut the power of a store ten thousand times on this machine (SEED=)
	@$(GO) test ./svc/statefs -count=1 -timeout 1h -run 'Campaign|EveryCut|UnderLoad|Linearizable' -campaign 10000 -seed $(SEED)

soak-slice: build ## two minutes of soak
	$(SETUP) qemu
	@$(GO) run ./cmd/soak -seed $(SEED) -runs 1 -calls 500000 -turns 150000

powercut-images: programs
	$(MKIMAGE) build $(SYSTEM) -manifest cmd/mkimage/system/powercut/nexus.toml -policy cmd/mkimage/system/powercut/policy -o $(BUILD)/nexus-powercut-blk.img
	$(MKIMAGE) build $(SYSTEM) -manifest cmd/mkimage/system/powercut/state/nexus.toml -policy cmd/mkimage/system/powercut/state/policy -o $(BUILD)/nexus-powercut-state.img

powercut: powercut-images ## cut the power while something writes to the disk or keeps state, and look at what is left (SEED=, CUTS=)
	$(SETUP) qemu
	@$(GO) run ./cmd/powercut -seed $(SEED) -cuts $(CUTS)
	@$(GO) run ./cmd/powercut -load state -seed $(SEED) -cuts $(CUTS)

test-std: programs ## the standard library's own tests as confined processes (PKGS=, SMP=)
	$(SETUP) qemu
	@$(GO) run ./cmd/teststd -smp $(SMP) $(PKGS)

test-std-smp: programs ## those about concurrency again, as parallel processes on 4 harts
	$(SETUP) qemu
	@$(GO) run ./cmd/teststd -smp 4 sync sync/atomic context time runtime/goos

dep-gate: toolchain ## check what the code of each layer imports
	@NEXUS_GO=$(abspath $(NEXUS_GO)) $(GO) test -count=1 ./test/imports

diag-os: toolchain ## vet for the target
	@GOOSPKG=github.com/usbarmory/tamago $(TARGET) $(NEXUS_GO) vet ./board/... ./kernel/... ./cmd/kernel
	@$(PROCESS) vet ./ipc/... ./svc/... ./cmd/services ./cmd/storage ./cmd/child/...

bench: programs ## count instructions and compare with the baseline (UPDATE=1 makes a new one)
	$(SETUP) qemu
	$(MKIMAGE) build $(SYSTEM) -env BENCH=1 -o $(BUILD)/nexus-bench.img
	$(MKIMAGE) build $(SYSTEM) -manifest cmd/mkimage/system/bench/nexus.toml -policy cmd/mkimage/system/bench/policy -o $(BUILD)/nexus-bench-disk.img
	@$(GO) run ./cmd/bench $(if $(UPDATE),-update)

bench-smp: programs ## calls of two pairs on two harts against one pair on one, on a quiet machine
	$(SETUP) qemu
	@$(GO) run ./cmd/bench -only smp2_scaling

mutants-host: build ## those faults that a test on this machine must see
	$(SETUP) qemu cc git
	@$(GO) run ./test/mutants -host

mutants: build ## plant faults, one at a time, and see each caught
	$(SETUP) qemu cc git
	@$(GO) run ./test/mutants

fmt: ## format the source
	@gofmt -l -w $(SOURCES)

vet: diag-os ## vet for this machine and for the target
	@$(GO) vet ./...

lint: vet vuln ## formatting, vet, staticcheck, known vulnerabilities
	@out=$$(gofmt -l $(SOURCES)); test -z "$$out" || { echo "not formatted: $$out"; exit 1; }
	@$(TOOL) staticcheck ./...

vuln: # govulncheck ends with 3 if it found something, and with 1 if it could not look
	@out=$$($(TOOL) govulncheck ./... 2>&1); case $$? in \
	0) echo "govulncheck: nothing known";; \
	3) echo "$$out"; exit 1;; \
	*) echo "govulncheck: NOT CHECKED: $$(echo "$$out" | tail -n 1)";; esac

clean: ## remove everything that was built
	rm -rf $(BUILD)
