package cluster

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/shard"
)

// metrics of the cluster as this node sees it. Its links are measured by the mesh.
type metrics struct {
	members        [states]prometheus.Gauge
	term           prometheus.Gauge
	nodes          prometheus.Gauge
	owned          prometheus.Gauge
	backed         prometheus.Gauge
	coordinator    prometheus.Gauge
	ready          prometheus.Gauge
	installed      prometheus.Counter
	made           prometheus.Counter
	malformed      prometheus.Counter
	refused        prometheus.Counter
	impossible     prometheus.Counter
	contactsMade   prometheus.Counter
	contactsFailed prometheus.Counter
	overflow       prometheus.Counter
	lost           prometheus.Counter
	partial        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, stray func() float64) (*metrics, error) {
	var all []prometheus.Collector
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "cluster", Name: name, Help: help})
		all = append(all, g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "cluster", Name: name, Help: help})
		all = append(all, c)
		return c
	}
	m := &metrics{
		term:        gauge("table_term", "Term of the table installed."),
		nodes:       gauge("table_nodes", "Nodes in the table installed."),
		owned:       gauge("partitions_owned", "Partitions that this node owns."),
		backed:      gauge("partitions_backed", "Partitions whose copy this node holds."),
		coordinator: gauge("table_coordinator", "1 when this node made the table installed."),
		ready:       gauge("ready", "1 when this node is in the table."),
		installed:   counter("tables_installed_total", "Tables installed."),
		made:        counter("tables_made_total", "Tables made by this node as coordinator."),
		malformed:   counter("malformed_total", "Tables and states of other nodes that could not be read."),
		refused:     counter("refused_total", "Nodes refused for another configuration or wire version, as gossip tells."),
		impossible:  counter("tables_refused_total", "Well-formed tables and states of other nodes with terms that are old or cannot be."),
		lost:        counter("partitions_lost_total", "Partitions placed anew by a table of this node, as all who had them are gone."),
		partial:     counter("partitions_partial_total", "Partitions given by a table of this node to a backup that was not known to be full, as their owner is gone."),
		overflow:    counter("overflow_total", "Words on nodes dropped because there were too many nodes."),
	}
	tries := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "cluster", Name: "contacts_total",
		Help: "Attempts to contact nodes that are not members now."}, []string{"result"})
	m.contactsMade, m.contactsFailed = tries.WithLabelValues("ok"), tries.WithLabelValues("failed")
	members := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "cluster", Name: "members",
		Help: "Members known, by state."}, []string{"state"})
	for s := range states {
		m.members[s] = members.WithLabelValues(s.String())
	}
	strays := prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "cluster", Name: "stray_metadata_total",
		Help: "Words of gossip on nodes whose metadata could not be read."}, stray)
	for _, c := range append(all, tries, members, strays) {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// table shows a table that was installed.
func (m *metrics) table(t *shard.Table, self shard.NodeID) {
	m.installed.Inc()
	m.term.Set(float64(t.Term))
	m.nodes.Set(float64(len(t.Nodes)))
	m.coordinator.Set(0)
	if t.Coordinator == self.Name {
		m.coordinator.Set(1)
	}
	owned, backed := 0, 0
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok && o == self {
			owned++
		}
		if b, ok := t.BackupOf(p); ok && b == self {
			backed++
		}
	}
	m.owned.Set(float64(owned))
	m.backed.Set(float64(backed))
}
