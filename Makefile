# Two commands do everything on a fresh machine: `make run` and `make test`.

GO      ?= go
OASDIFF := $(GO) tool -modfile=internal/tools/go.mod oasdiff
BIN     := bin/ocore-audit
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
ARGS    ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is to make
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/ocore-audit
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/ocore-audit

.PHONY: run
run: build ## Run the service with a PostgreSQL of its own (ARGS=--demo fills it)
	@exec $(BIN) run $(ARGS)

.PHONY: test
test: ## Run every test; needs Go and PostgreSQL alone
	$(GO) test ./...

# Of the slow packages the tests in which several do something at once; race-all has the rest.
CONCURRENT := Batch|Stores|Killed|Lost|Signer|Waits|Wait|Close|Caller|Neighbours|Clients|Tail|Lane|Storm|Starve|Room|Bodies|Limits|Probes

.PHONY: race
race: ## Run the tests of everything concurrent under the race detector
	$(GO) test -race ./internal/audit ./internal/auth
	$(GO) test -race -run '$(CONCURRENT)' ./internal/postgres ./internal/httpapi

.PHONY: race-all
race-all: ## Run every test of the concurrent packages under the race detector
	$(GO) test -race ./internal/audit ./internal/auth ./internal/postgres ./internal/httpapi

FUZZTIME ?= 10m

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (FUZZTIME=20s)
	internal/testkit/fuzz $(FUZZTIME)

.PHONY: totals
totals: ## Compare totals and pages with counts for half an hour, under writes and kills
	$(GO) test ./internal/postgres -run TestTotalsEqualCounts -v -timeout 40m -totals 30m

.PHONY: batcher
batcher: ## Let 64 clients record for a minute, and look for what is lost, doubled or out of order
	$(GO) test ./internal/httpapi -run TestManyClientsLoseNothing -v -count=1 -batcher 1m

.PHONY: timing
timing: ## Ask a thousand times for what another organization has and for what nobody has, and compare the times
	$(GO) test ./internal/httpapi -run TestTimeTellsNothing -v -count=1 -timing 1000

.PHONY: storm
storm: build ## Break processes, connections and disks for 3 minutes, and add to docs/storm.md (ARGS="-faults cut-commit -rounds 20 -seed 7 -for 1h")
	$(GO) run ./internal/storm -resume -v $(ARGS)

.PHONY: storm-short
storm-short: build ## One round of every fault, in two minutes (ARGS="-faults drain -seed 7")
	$(GO) run ./internal/storm -rounds 1 -for 10m -v $(ARGS)

.PHONY: bench
bench: ## Measure everything on ten million entries and publish it (ARGS="--rows list,export")
	$(GO) run -C internal/bench . --publish $(ARGS)

.PHONY: bench-quick
bench-quick: ## Measure everything on a million entries, for daily use
	$(GO) run -C internal/bench . --entries 1000000 --rounds 3 --seconds 0.5 $(ARGS)

.PHONY: bench-test
bench-test: ## Test that every measurement runs, on a small dataset
	cd internal/bench && $(GO) test ./...

.PHONY: overload
overload: build ## Ask five times more of the service than it can do, for a minute (ARGS="-seconds 20")
	$(GO) build -C internal/bench -o ../../bin/overload ./overload
	bin/overload $(ARGS)

.PHONY: generate
generate: ## Regenerate everything under gen/ from openapi.yaml and sql/
	$(GO) tool oapi-codegen -config gen/api/oapi-codegen.yaml openapi.yaml
	$(GO) tool oapi-codegen -config gen/client/oapi-codegen.yaml openapi.yaml
	$(GO) tool oapi-codegen -config internal/testkit/reference/oapi-codegen.yaml internal/testkit/reference.yaml
	$(GO) tool sqlc generate
	$(OASDIFF) upgrade openapi.yaml >gen/openapi-3.1.yaml
	sed -i.3.2 's/^openapi: 3\.2\.1$$/openapi: 3.1.1/' gen/openapi-3.1.yaml && rm gen/openapi-3.1.yaml.3.2 # nothing in it is newer
	cp openapi.yaml gen/openapi-3.1.yaml internal/httpapi/

.PHONY: drift
drift: generate ## Fail when generated files differ from what is checked in
	@test -z "$$(git status --porcelain -- gen internal/httpapi/openapi*.yaml internal/testkit/reference)" || \
	  { git status --short -- gen internal/httpapi/openapi*.yaml internal/testkit/reference; \
	    echo "generated files are stale: run make generate and commit"; exit 1; }
	$(GO) mod tidy -diff
	cd internal/bench && $(GO) mod tidy -diff

.PHONY: lint
lint: ## Run the linters
	$(GO) vet ./...
	$(GO) tool -modfile=internal/tools/go.mod golangci-lint run
	cd internal/bench && $(GO) vet ./... && $(GO) tool -modfile=../tools/go.mod golangci-lint run

# Tools of other languages, each at the one version that its folder names.
GENERATOR_VERSION := 7.25.0
NODE_TOOLS := internal/tools/node_modules/.package-lock.json
PYTHON     := .tools/python/bin/python
GENERATOR  := .tools/openapi-generator-cli-$(GENERATOR_VERSION).jar

$(NODE_TOOLS): internal/tools/package-lock.json
	npm ci --prefix internal/tools --ignore-scripts --no-fund --no-audit
	@touch $@

$(PYTHON): internal/tools/requirements.txt
	python3 -m venv .tools/python
	$(PYTHON) -m pip install --quiet --no-deps --requirement $<
	@touch $@

$(GENERATOR):
	mvn -q dependency:copy -Dartifact=org.openapitools:openapi-generator-cli:$(GENERATOR_VERSION) -DoutputDirectory=.tools

SWAGGER_UI_VERSION := 5.35.0

.PHONY: swagger-ui
swagger-ui: ## Vendor Swagger UI in the version that this file names
	internal/docs/vendor $(SWAGGER_UI_VERSION)

.PHONY: browser
browser: build $(NODE_TOOLS) ## Try /docs and /ui in a real browser: calls, accessibility, no strangers
	LOOKS='light 1280,dark 380' internal/contract/with-service --demo -- node internal/docs/browser/check.mjs
	LOOKS='light 1280,dark 380' internal/contract/with-service --demo -- node internal/viewer/browser/check.mjs

.PHONY: browser-all
browser-all: build $(NODE_TOOLS) ## Try /docs and /ui at every width, light and dark
	internal/contract/with-service --demo -- node internal/docs/browser/check.mjs
	internal/contract/with-service --demo -- node internal/viewer/browser/check.mjs

.PHONY: browser-large
browser-large: $(NODE_TOOLS) ## Measure /ui in a browser on ten million entries (ARGS="--entries 1000000")
	$(GO) run -C internal/bench . $(ARGS) -- node $(CURDIR)/internal/viewer/browser/large.mjs

VIEWER       := internal/viewer/web
VIEWER_TOOLS := $(VIEWER)/node_modules/.package-lock.json

$(VIEWER_TOOLS): $(VIEWER)/package-lock.json
	npm ci --prefix $(VIEWER) --ignore-scripts --no-fund --no-audit
	@touch $@

.PHONY: viewer
viewer: $(VIEWER_TOOLS) ## Test the viewer's TypeScript and build internal/viewer/dist
	npm run --prefix $(VIEWER) --silent types
	npm test --prefix $(VIEWER) --silent
	npm run --prefix $(VIEWER) --silent build -- --logLevel warn
	@cat internal/viewer/dist/assets/*.js | gzip -9 | wc -c | awk '{print "scripts of the viewer: " $$1 " bytes compressed, of 150000"}'

.PHONY: drift-viewer
drift-viewer: viewer ## Fail when internal/viewer/dist differs from a fresh build
	@test -z "$$(git status --porcelain -- internal/viewer/dist)" || \
	  { git status --short -- internal/viewer/dist; \
	    echo "internal/viewer/dist is stale: run make viewer and commit"; exit 1; }

DOCUMENTS := openapi.yaml gen/openapi-3.1.yaml

.PHONY: lint-document
lint-document: $(NODE_TOOLS) ## Hold the document against Redocly's and Spectral's strictest rules
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
	  internal/tools/node_modules/.bin/redocly lint --config .redocly.yaml --max-problems 1000 $(DOCUMENTS)
	internal/tools/node_modules/.bin/spectral lint --ruleset .spectral.yaml --fail-severity hint $(DOCUMENTS)

CHANGES := $(GO) run ./internal/contract/changes

.PHONY: changes
changes: ## Fail on a break with the last release that CHANGELOG.md doesn't name
	$(CHANGES) internal/contract/released.yaml openapi.yaml CHANGELOG.md
	$(CHANGES) -exactly internal/testkit/reference.yaml openapi.yaml internal/contract/silence.md
	$(GO) vet -tags oasdiff ./internal/contract/changes
	$(GO) test -tags oasdiff ./internal/contract/changes

# The TypeScript client, apart from the others since it needs node.
.PHONY: generate-typescript
generate-typescript: $(NODE_TOOLS) ## Regenerate gen/typescript from openapi.yaml
	internal/tools/node_modules/.bin/openapi-typescript openapi.yaml --redocly internal/contract/clients/typescript/redocly.yaml --output gen/typescript/src/schema.ts

.PHONY: drift-typescript
drift-typescript: generate-typescript ## Fail when gen/typescript differs from what is checked in
	@test -z "$$(git status --porcelain -- gen/typescript)" || \
	  { git status --short -- gen/typescript; \
	    echo "gen/typescript is stale: run make generate-typescript and commit"; exit 1; }
	@test "$$(node -p 'require("./gen/typescript/package.json").version')" = "$$(sed -n 's/^  version: //p' openapi.yaml)" || \
	  { echo "gen/typescript/package.json has another version than openapi.yaml"; exit 1; }

.PHONY: clients
clients: build $(NODE_TOOLS) $(GENERATOR) ## Play one scenario with the Go, TypeScript, Python and Java clients
	GENERATOR=$(GENERATOR) internal/contract/clients/run

.PHONY: clients-others
clients-others: build $(NODE_TOOLS) $(GENERATOR) ## Try what other generators make of the document (see docs/clients.md)
	GENERATOR=$(GENERATOR) internal/contract/clients/others

# CONTRACT_SEED=$$(date +%s) tries another one; each run prints its own.
CONTRACT_SEED ?= 1

.PHONY: contract
contract: build $(PYTHON) ## Fuzz the contract: every operation, five callers
	internal/contract/fuzz/run 60 $(CONTRACT_SEED)

.PHONY: contract-long
contract-long: build $(PYTHON) ## Fuzz the contract at length: 1,000 examples an operation, three seeds
	internal/contract/fuzz/run 1000 1 2 3

.PHONY: verifiers
verifiers: $(PYTHON) ## Hold a verifier in Python, written from docs/format.md, against the vectors
	$(PYTHON) -B internal/proof/python/check.py

.PHONY: fuzz-short
fuzz-short: ## Run every fuzz target for 20 seconds each
	internal/testkit/fuzz 20s

# The database is looked up at vuln.go.dev; VULNERABILITIES=file:///… takes a copy of it.
VULNERABILITIES ?= https://vuln.go.dev

.PHONY: vulnerabilities
vulnerabilities: ## Fail on a known vulnerability that the code can reach
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db $(VULNERABILITIES) ./...

.PHONY: outdated
outdated: ## Show which direct dependencies have a newer release
	@$(GO) list -m -f '{{if not (or .Indirect .Main)}}{{.Path}}{{end}}' all | xargs $(GO) list -m -u -f \
	  '{{with .Update}}{{$$.Path}} {{$$.Version}} -> {{.Version}} ({{.Time.Format "2006-01-02"}}){{end}}' | grep . || echo none

.PHONY: check
# The tests come first: what they remember of the last run is lost when files are generated anew.
check: test drift drift-typescript drift-viewer lint lint-document changes bench-test verifiers clients ## Everything: tests, drift, linters, the document and its changes, verifiers, clients, fuzzing, a browser, a storm
	$(MAKE) -j2 --output-sync=target contract browser # a browser waits most of its time
	$(MAKE) storm-short
	$(MAKE) fuzz-short
