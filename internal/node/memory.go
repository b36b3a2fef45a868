package node

import (
	"context"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/listener"
)

// Of the memory limit, in percent: from there on no new sessions, no logins at all.
const (
	memoryHigh = 85
	memoryFull = 95
	collectAt  = 90 // for the collector, when only the control group has a limit
	memoryLook = 250 * time.Millisecond
)

// memory compares what the process uses with what it may: the smaller of GOMEMLIMIT and the limit of its control group. Without
// either there is no pressure.
type memory struct {
	limit uint64 // bytes; 0: none
	used  func() uint64
	now   atomic.Uint64 // bytes, when looked at last
	level atomic.Uint32
}

func newMemory(reg prometheus.Registerer) *memory {
	m := &memory{limit: memoryLimit(debug.SetMemoryLimit(-1), "/sys/fs/cgroup", "/proc/self/cgroup"), used: memoryUsed}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 && m.limit > 0 { // of the whole process: the collector must know of the group's limit
		debug.SetMemoryLimit(int64(m.limit / 100 * collectAt))
	}
	m.look()
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "node", Name: name, Help: help}, value))
	}
	gauge("memory_limit_bytes", "What the process may use, by GOMEMLIMIT or its control group; 0: no limit.", func() float64 { return float64(m.limit) })
	gauge("memory_used_bytes", "What the process uses of it, garbage apart.", func() float64 { return float64(m.now.Load()) })
	gauge("memory_pressure", "0: none; 1: no new sessions; 2: no logins.", func() float64 { return float64(m.level.Load()) })
	return m
}

// pressure is what the listener asks at each HELLO.
func (m *memory) pressure() listener.Pressure { return listener.Pressure(m.level.Load()) }

// look takes a measurement.
func (m *memory) look() {
	used := m.used()
	m.now.Store(used)
	m.level.Store(uint32(pressureOf(used, m.limit)))
}

func pressureOf(used, limit uint64) listener.Pressure {
	switch {
	case limit == 0:
		return listener.PressureNone
	case used/100 >= limit/100*memoryFull/100:
		return listener.PressureFull
	case used/100 >= limit/100*memoryHigh/100:
		return listener.PressureHigh
	}
	return listener.PressureNone
}

// watch looks until ctx ends.
func (m *memory) watch(ctx context.Context) {
	if m.limit == 0 {
		return
	}
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look()
		}
	}
}

// memoryUsed is what the process cannot do without: live objects as the last collection found them, stacks, the runtime's own.
// Garbage is not in it: under a limit the runtime lets that grow until the limit is near.
func memoryUsed() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	used := s[0].Value.Uint64() + s[1].Value.Uint64()
	for _, v := range s[2:] {
		used -= v.Value.Uint64()
	}
	return used
}

// memoryLimit is the smaller of Go's limit and that of the control group (version 2, or 1), 0 for none.
func memoryLimit(goLimit int64, root, own string) uint64 {
	limit := uint64(math.MaxInt64)
	if goLimit > 0 {
		limit = uint64(goLimit)
	}
	files := []string{path.Join(root, "memory.max"), path.Join(root, "memory/memory.limit_in_bytes")}
	if b, err := os.ReadFile(own); err == nil {
		for line := range strings.Lines(string(b)) {
			if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				files = append(files, path.Join(root, path.Clean("/"+group), "memory.max"))
			}
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	if limit >= 1<<60 { // the way of version 1 to say none
		return 0
	}
	return limit
}
