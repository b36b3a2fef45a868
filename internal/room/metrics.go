package room

import "github.com/prometheus/client_golang/prometheus"

// Metrics of all rooms of a node.
type Metrics struct {
	Broadcasts, Lost prometheus.Counter
}

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		Broadcasts: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "room", Name: "broadcasts_total", Help: "Pushes to rooms' streams, each counted once whatever the number of members."}),
		Lost:       prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "room", Name: "messages_lost_total", Help: "Messages of rooms that could not be sent; relays ask for missing pushes again."}),
	}
	r.MustRegister(m.Broadcasts, m.Lost)
	return m
}
