//go:build race

package simulation

// underRace says that the race detector is on: it makes runs ten times as long, and each is one goroutine.
const underRace = true
