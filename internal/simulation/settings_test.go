package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// settings are what a run is about; with the seed they say everything.
type settings struct {
	kind     kind
	slots    int // how many nodes there may be
	first    int // how many start at once
	workers  int // of each node
	clients  int
	entities int
	keys     []string
	quorum   bool
	expect   int
	piece    int  // bytes of a piece of a whole state
	forks    bool // an entity may have lives on both sides of a split
	load     time.Duration
	faults   int
	floor    int   // operations that must have been answered, or the run does not count
	side     []int // during a split: the side of each slot; nil: there is none
	fault    sabotage
}

// kind is which faults a run has.
type kind uint8

const (
	moving    kind = iota // joins and drains: no process dies before it has given everything away
	crashing              // and kill -9, machines that vanish, restarts
	pausing               // and processes that are stopped
	splitting             // and networks that are cut, under the policy available
	voting                // all of it under the policy quorum
	kinds
)

var kindNames = [...]string{"moving", "crashing", "pausing", "splitting", "voting"}

func (k kind) String() string { return kindNames[k] }

// sabotage is a bug that is put into the wiring on purpose, to see that the simulator finds it.
type sabotage uint8

const (
	sound      sabotage = iota
	noTerm              // a backup does not look at an owner's term
	noLease             // a node acts without a lease
	noDedupe            // a call that comes twice is done twice
	noMarks             // nobody waits for marks in a planned move
	ackEarly            // the backup says it has a change before it does
	mergeTwice          // what was merged is merged again
	sabotages
)

var sabotageNames = [...]string{"sound", "term check off", "lease check off", "dedupe off", "marker skipped", "backup acknowledged late", "merged twice"}

func (s sabotage) String() string { return sabotageNames[s] }

func (s *settings) broken(f sabotage) bool { return s.fault == f }

// linear says that no answer may be older than what was acknowledged before its call began.
func (s *settings) linear() bool { return !s.forks }

// calm says that nothing may be lost, not even what nobody was told of.
func (s *settings) calm() bool { return s.kind == moving }

// choose makes the settings of a seed. The kind follows from the seed, so that any range of seeds has all of them.
func choose(seed uint64) settings {
	r := rand.New(rand.NewPCG(seed, 0x73696d))
	s := settings{kind: kind(seed % uint64(kinds))}
	s.slots = 2 + r.IntN(4)
	switch s.kind {
	case moving:
		s.first = 1 + r.IntN(s.slots)
	case voting:
		s.slots = 3 + 2*r.IntN(2)
		s.first, s.quorum = s.slots, true
		s.expect = s.slots
	case splitting:
		s.slots = 2 + r.IntN(4)
		s.first, s.forks = s.slots, true
	default:
		s.first = s.slots
	}
	s.workers = 1 + r.IntN(2)
	s.entities = 2 + r.IntN(4)
	s.clients = s.entities + r.IntN(5)
	for i := range s.entities {
		s.keys = append(s.keys, fmt.Sprintf("player/p%d", 10*r.IntN(100000)+i))
	}
	s.piece = []int{64, 256, 64 << 10}[r.IntN(3)]
	s.load = 2 * time.Second
	s.faults = 2 + r.IntN(4)
	s.floor = 20
	return s
}
