# Tools that are not in go.mod, pinned here.
staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.7.0
versitygw   := github.com/versity/versitygw/cmd/versitygw@v1.8.0
toxiproxy   := github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
minio       := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
rclone      := github.com/rclone/rclone@v1.76.0

plugins := native-full incremental canonical
modules := $(plugins:%=bin/plugins/%.wasm)
assemblyscript := bin/tools/assemblyscript/node_modules/.package-lock.json
examples := $(patsubst examples/strategies/%/plugin.json,bin/plugins/examples/%.wasm,$(wildcard examples/strategies/*/plugin.json))
sources := $(shell find abi config host plugins -name '*.go' -o -name '*.cc' -o -name '*.h' -o -name 'rocksnap_v1.*' -o -name plugin.json -o -path '*/templates/*') go.mod go.sum

export GOFLAGS := $(filter-out -buildvcs=%,$(GOFLAGS)) -buildvcs=false

# A module is the same, byte for byte, wherever it is built and whatever the
# environment asks of Go.
wasm := GOOS=wasip1 GOARCH=wasm GOWASM= GOEXPERIMENT= GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -buildmode=c-shared -trimpath

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing (Debian packages)
	@.ci/setup

.PHONY: authors
authors: setup-authors $(assemblyscript) ## install the compilers of strategies in C, Rust, AssemblyScript and WAT

.PHONY: setup-authors
setup-authors:
	@.ci/setup authors

# The lock file of the example pins the compiler. npm writes the target last.
$(assemblyscript): examples/strategies/inventory/package.json examples/strategies/inventory/package-lock.json | setup-authors
	@echo "build: bin/tools/assemblyscript"
	@mkdir -p bin/tools/assemblyscript && cp $^ bin/tools/assemblyscript
	@cd bin/tools/assemblyscript && npm ci --silent && touch node_modules/.package-lock.json

.PHONY: build
build: setup bin/rocksnap $(modules) ## build bin/rocksnap and bin/plugins/*.wasm

bin/rocksnap: $(sources)
	@echo "build: $@ (the first time, RocksDB's binding takes a minute)"
	@go build -trimpath -o $@ ./host/cmd/rocksnap

bin/plugins/%.wasm: plugins/%/main.go plugins/%/plugin.json bin/rocksnap
	@echo "build: $@"
	@mkdir -p $(@D)
	@$(wasm) -o $@.raw ./plugins/$*
	@bin/rocksnap plugin annotate --metadata plugins/$*/plugin.json --output $@ $@.raw
	@rm $@.raw

.PHONY: examples
examples: authors bin/rocksnap $(examples) ## build bin/plugins/examples/*.wasm, strategies in five languages

.SECONDEXPANSION:
bin/plugins/examples/%.wasm: $$(wildcard examples/strategies/$$*/*) examples/strategies/build bin/rocksnap | authors
	@echo "build: $@"
	@mkdir -p $(@D)
	@examples/strategies/build $* $@.raw
	@bin/rocksnap plugin annotate --metadata examples/strategies/$*/plugin.json --output $@ $@.raw
	@rm $@.raw

.PHONY: demo
demo: build ## take, list, verify and restore snapshots of real data
	@go run ./examples/demo

# Programs that tests run against: S3 servers, and a proxy that breaks connections.
# A change of version needs 'make clean'.
bin/tools/%:
	@echo "build: $@ (once; it takes some minutes)"
	@GOFLAGS= GOBIN=$(CURDIR)/$@.d go install $($*)
	@mv $@.d/* $@ && rmdir $@.d

.PHONY: tools
tools: setup-tests bin/tools/versitygw bin/tools/toxiproxy bin/tools/rocksdb-bench ## build the S3 server, the proxy and the RocksDB program that tests need

# Tests build modules and programs that the cache of test results knows nothing
# of, hence -count=1. The laws that take long are tried on the built-in strategies;
# on the examples 'make soak' does.
# Of these, and of the scenarios, the race detector sees nothing new, and they would take most of the time.
unraced = TestThreats$$|TestCopy|TestFlipAnyByte|TestDoctor|TestDamage|TestKilled|TestFencing|TestSuspended|TestEngines|TestGroup$$|TestMatrix|TestSwitch|TestIndependent|TestMemory|TestKeysOutside|TestRandomWalk|TestVerify|TestPack|TestNotificationsAtRandom|TestNotifiedUntilCommitted|TestFork|TestKept|TestManyOrigins|TestRescaledForks|TestNothingIsKept|TestLocalDamage
# The simulations of the catalog are played in one goroutine.
simulated = Simulation|Beside|SideBySide|OfAnAdopter

.PHONY: test
test: build tools authors examples ## run every test, most with the race detector
	@ROCKSNAP_TEST_AUTHORS=1 ROCKSNAP_TEST_UNRACED='$(unraced)' go test -race -count=1 -timeout 60m $$(go list ./... | grep -v -e /examples/strategies -e /host/scenarios -e '/internal/catalog$$')
	@go test -count=1 -timeout 20m -run 'TestReloadUnderLoad$$|$(unraced)' ./host & unraced=$$!; \
	  ROCKSNAP_TEST_AUTHORS=1 go test -race -count=1 -timeout 60m -short ./examples/strategies/... && \
	  go test -race -count=1 -timeout 20m -skip '$(simulated)' ./host/internal/catalog && \
	  go test -count=1 -timeout 20m -run '$(simulated)' ./host/internal/catalog && \
	  go test -count=1 -timeout 20m ./host/scenarios && \
	  go test -count=1 -timeout 10m -run 'TestRatios$$|TestSyncs$$' ./host/internal/bench; others=$$?; \
	  wait $$unraced && exit $$others

.PHONY: test-stores
test-stores: build tools bin/tools/minio bin/tools/rclone ## run the laws of stores on MinIO and rclone as well
	@ROCKSNAP_TEST_STORES=1 go test -race -count=1 -timeout 25m ./host/blob/... ./host/internal/storetest/...

.PHONY: soak
soak: build tools authors examples ## simulate the catalog over SEEDS seeds (default 10000) and surgery over half of them, stop at every operation, and try all laws on the examples
	@ROCKSNAP_SEEDS=$${SEEDS:-10000} go test -count=1 -timeout 120m -run 'TestSimulation$$|TestGroupSimulation$$|Beside|SideBySide|OfAnAdopter' ./host/internal/catalog
	@ROCKSNAP_SEEDS=$$(($${SEEDS:-10000} / 2)) go test -count=1 -timeout 60m -run 'TestStress$$' ./host/internal/rocks/surgery
	@ROCKSNAP_TEST_GROUP_RECORDS=4096 go test -count=1 -timeout 20m -run 'TestRestoreOneGroup$$' ./host
	@ROCKSNAP_TEST_MATRIX=1 go test -count=1 -timeout 60m -run Matrix ./host
	@ROCKSNAP_TEST_PACK_FILES=10000 go test -count=1 -timeout 20m -run 'TestPack' ./host
	@ROCKSNAP_TEST_FILES=100000 go test -count=1 -timeout 20m -run 'TestManyFiles' ./host
	@ROCKSNAP_TEST_SEEDS=100 go test -count=1 -timeout 60m -run 'TestEstate$$|TestNotificationsAtRandom$$' ./host
	@ROCKSNAP_TEST_RESCALE=1 go test -count=1 -timeout 60m -run RescaleMatrix ./host/scenarios
	@ROCKSNAP_TEST_AUTHORS=1 go test -count=1 -timeout 60m ./examples/strategies/...

# The others that rocksnap is compared with. RocksDB's own means are called from C++.
bin/tools/rocksdb-bench: host/internal/bench/native/rocksdb.cc
	@echo "build: $@"
	@mkdir -p $(@D)
	@g++ -O2 -std=c++17 -Wall -Wextra -o $@ $< -lrocksdb

.PHONY: bench-deps
bench-deps: setup-bench bin/tools/versitygw bin/tools/rclone bin/tools/rocksdb-bench ## install the programs that rocksnap is compared with

.PHONY: setup-tests
setup-tests:
	@.ci/setup tests

.PHONY: setup-bench
setup-bench:
	@.ci/setup bench

.PHONY: bench
bench: build bench-deps ## compare rocksnap with other programs, side by side, on databases of SIZE (default 1GiB); the result goes to docs/bench
	@bin/rocksnap bench --size $${SIZE:-1GiB} --out docs/bench

.PHONY: check
check: setup ## format, vet, static analysis, generated files, wasip1, and the program without RocksDB
	@echo "check: format"; unformatted=$$(gofmt -l abi config examples host plugins) && test -z "$$unformatted" || { echo "$$unformatted"; exit 1; }
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1; \
	  then echo "check: generated files"; go generate ./abi && git diff --exit-code -- abi; \
	  else echo "check: generated files: skipped, for this is no git checkout"; fi
	@echo "check: modules"; go mod tidy -diff && go mod verify >/dev/null
	@echo "check: vet"; go vet ./...
	@echo "check: build for wasip1"; GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -o /dev/null ./abi/... ./plugins/...
	@echo "check: build without RocksDB"; CGO_ENABLED=0 go build -o /dev/null ./host/cmd/rocksnap && CGO_ENABLED=0 go vet ./host/cmd/rocksnap ./host/sink/... ./host/strategytest ./abi/... ./config
	@echo "check: staticcheck"; go run $(staticcheck) ./...

.PHONY: fuzz
fuzz: setup ## run every fuzz target for FUZZTIME (default 30s)
	@go list ./... | while read -r pkg; do \
	  go test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz' | while read -r target; do \
	    echo "fuzz: $$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-30s} -fuzzminimizetime 20x $$pkg || exit 1; \
	  done || exit 1; done

.PHONY: clean
clean: ## remove what was built
	@rm -rf bin demo
