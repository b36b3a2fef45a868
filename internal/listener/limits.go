package listener

import "github.com/prometheus/client_golang/prometheus"

// Limit is one bound of the player port, in the unit its name says, and how much of it is taken; Used is -1 where that is
// counted for each client by itself.
type Limit struct {
	Name  string
	Limit int64
	Used  int64
}

// Limits are the bounds in force. 0 is none.
func (s *Server) Limits() []Limit {
	s.mu.Lock()
	open, early := int64(s.all.n), int64(s.early.n)
	s.mu.Unlock()
	const each = -1
	return []Limit{
		{"connections", int64(s.o.MaxConns), open},
		{"connections_before_hello", int64(s.o.MaxEarly), early},
		{"connections_per_address", int64(s.o.PerAddrConns), each},
		{"new_connections_per_address_per_second", int64(s.o.PerAddrRate), each},
		{"new_connections_per_second", int64(s.o.AcceptRate), each},
		{"frames_per_player_per_second", int64(s.o.Rate), each},
		{"frames_per_player_at_once", int64(s.o.Burst), each},
		{"outbox_bytes", int64(s.o.OutboxBytes), each},
		{"hello_milliseconds", s.o.HelloTimeout.Milliseconds(), each},
		{"frame_milliseconds", s.o.FrameTimeout.Milliseconds(), each},
		{"write_milliseconds", s.o.WriteTimeout.Milliseconds(), each},
	}
}

// showLimits registers the limits as a metric beside what they bound.
func (s *Server) showLimits() error {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gamed_listener_limit", Help: "Bounds of the player port, each in the unit its name says; 0: none."}, []string{"limit"})
	for _, l := range s.Limits() {
		vec.WithLabelValues(l.Name).Set(float64(l.Limit))
	}
	if s.o.Registerer == nil {
		return nil
	}
	return s.o.Registerer.Register(vec)
}
