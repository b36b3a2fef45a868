# gamed: build, test, run. `make help` lists the targets.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE    ?= gamed:dev
FUZZTIME ?= 3s
MINUTES  ?= 10
HOURS    ?= 24
POLICY   ?= available
BENCH    ?= .
YEARS    ?= 1
N        ?= 10000000
LINT     := v2.15.0
GOBIN    := $(shell go env GOPATH)/bin
# SECURE=1: with tokens, TLS, certificates and keys, which are made in deploy/secrets.
COMPOSE  := docker-compose -f deploy/docker-compose$(if $(SECURE),.secure).yml
# The container test has its own target: it needs Docker and has nothing to gain from the race detector.
PACKAGES  = $(shell go list ./... | grep -v '/deploy$$')

export GAMED_IMAGE := $(IMAGE)
# Who may read deploy/secrets: whoever runs make, but not root.
export GAMED_USER ?= $(shell [ "$$(id -u)" = 0 ] && echo 65532:65532 || echo "$$(id -u):$$(id -g)")

.DEFAULT_GOAL := help
.PHONY: help build test race sim sim-long faults soak lint fuzz mutations bench image secrets compose-test up down check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary bin/gamed
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/gamed ./cmd/gamed

test: ## all tests but the container test
	go test $(PACKAGES)

# The simulations are left out: those of one goroutine have nothing to find, and whole clusters in one synctest bubble made the race
# detector's runtime crash (Go 1.26.8).
race: ## the same under the race detector (needs gcc), without the simulations and what only looks at other processes
	CGO_ENABLED=1 go test -race -short -skip '^TestSim' $(filter-out %/loadtest/faults %/loadtest/hostile,$(PACKAGES))

sim: ## the simulations (tests named Sim…), run anew; a failure prints its seed
	go test -count=1 -run Sim $(PACKAGES)

faults: ## kills, splits, pauses, drains of real processes, in full; needs root, iproute2, nftables
	go test -count=1 -v -timeout 30m ./loadtest/faults -faults.all

soak: ## MINUTES (10) of such things at random under load, POLICY available or quorum; prints its seed and timeline
	go test -count=1 -v -timeout 0 ./loadtest/faults -run '^TestSoak$$' -minutes $(MINUTES) -policy $(POLICY)

sim-long: ## HOURS (24) of five nodes over a bad network in memory, with real memberlist; half an hour or more
	GAMED_SIM_HOURS=$(HOURS) go test -count=1 -timeout 0 -run Sim ./internal/cluster -v

simulate: ## YEARS (1) of a cluster's life with new seeds: hours
	GAMED_SIM_YEARS=$(YEARS) go test -count=1 -timeout 0 -run SimYears ./internal/simulation -v

lint: $(GOBIN)/golangci-lint ## gofmt, go vet, golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'lint: run make format'; exit 1; }
	go vet ./...
	$(GOBIN)/golangci-lint run

$(GOBIN)/golangci-lint:
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT)

fuzz: ## every fuzz target for FUZZTIME (3s) each
	bash .ci/fuzz $(FUZZTIME)

mutations: ## N (ten million) spoiled player frames through whole connections; some 15 s of CPU for each ten million
	go test -count=1 -timeout 0 -run TestMutations -v ./internal/listener -mutations $(N)

bench: ## the Go benchmarks; BENCH=regexp picks some
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PACKAGES)

image: build ## the container image, from the binary built here
	docker build --quiet --target host --tag $(IMAGE) .

compose-test: ## a cluster in containers, tested; fails without Docker
	GAMED_REQUIRE_DOCKER=1 go test -count=1 -v ./deploy

secrets: build ## keys and certificates for SECURE=1 in deploy/secrets; what is there is kept
	sh deploy/secrets.sh $(GAMED_SECRETS)

up: image $(if $(SECURE),secrets) ## three nodes in containers; players on 127.0.0.1:7301..7303, consoles on 7401..7403; SECURE=1: all security on
	$(COMPOSE) up --detach

down: ## stop and remove them
	$(COMPOSE) down --timeout 70

check: build lint test race sim ## what a change must pass before it is sent

format: ## gofmt and go generate
	gofmt -w $$(git ls-files '*.go')
	go generate ./...

clean: ## remove what was built
	rm -rf bin dist
