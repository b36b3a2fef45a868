package node

import "gamed/internal/admin"

// Limits implements admin.Source.
func (s source) Limits() []admin.Limit {
	out := []admin.Limit{{Name: "memory_bytes", Limit: int64(s.n.memory.limit), Used: int64(s.n.memory.now.Load())}}
	for _, l := range s.n.listener.Limits() {
		out = append(out, admin.Limit{Name: l.Name, Limit: l.Limit, Used: l.Used})
	}
	return out
}
