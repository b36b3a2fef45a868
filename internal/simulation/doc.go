// Package simulation is the exact simulator (layer A): a cluster of two to six nodes under one goroutine, one heap of events and
// one seed. All of it is in tests. What decides in a node is the real code: the agreement on the table, who runs what while it
// moves, the owner's outbox and the backup's copies, the open calls of a gateway, the merge after a split. What carries it is a
// model: links, gossip, processes, workers, clients, and a clock that jumps from one event to the next.
//
// A run builds a cluster, loads it, hurts it, heals it, and then wants every call answered within a deadline. A checker that
// stands outside sees what clients sent and were told, and judges the whole. A run is a pure function of its seed and its
// settings: the same seed replays to the byte, so a failing one runs a second time with its trace.
//
//	go test ./internal/simulation -run Sim -seed 4711          one seed, with its trace
//	GAMED_SIM_SEEDS=10000 go test ./internal/simulation        many
package simulation
