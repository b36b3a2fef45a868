package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/cluster/ownership"
)

// moves counts what has to do with partitions that change their owner.
type moves struct {
	given, taken, merged prometheus.Counter
	stale, held          *prometheus.CounterVec
}

func newMoves(reg prometheus.Registerer) *moves {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "ownership", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "ownership", Name: name, Help: help}, []string{label})
		reg.MustRegister(c)
		return c
	}
	return &moves{
		given:  counter("partitions_given_total", "Partitions that were given to another node."),
		taken:  counter("partitions_taken_total", "Partitions whose entities were made from what another node gave, or from copies."),
		merged: counter("partitions_merged_total", "Partitions that were merged with the other side's after a split."),
		stale:  vector("stale_total", "What came of a move that was over, came twice or had an impossible term, and was left out.", "what"),
		held:   vector("refused_total", "Messages for partitions on their way that were refused.", "why"),
	}
}

func (m *moves) refused(why ownership.Why) {
	word := "no_owner"
	switch why {
	case ownership.Full:
		word = "full"
	case ownership.Late:
		word = "late" // its sender did not follow the table in time: order would have been lost
	}
	m.held.WithLabelValues(word).Inc()
}
