package node

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/listener"
)

func TestMemoryLimit(t *testing.T) {
	write := func(root, name, text string) string {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, tc := range map[string]struct {
		files map[string]string
		own   string
		ofGo  int64
		want  uint64
	}{
		"nothing":                       {nil, "", math.MaxInt64, 0},
		"GOMEMLIMIT":                    {nil, "", 1 << 30, 1 << 30},
		"version 2":                     {map[string]string{"memory.max": "536870912\n"}, "", math.MaxInt64, 512 << 20},
		"version 2, none":               {map[string]string{"memory.max": "max\n"}, "", math.MaxInt64, 0},
		"version 2, a group of its own": {map[string]string{"memory.max": "max\n", "a/b/memory.max": "1048576\n"}, "0::/a/b\n", math.MaxInt64, 1 << 20},
		"the smaller counts":            {map[string]string{"memory.max": "536870912\n"}, "", 1 << 20, 1 << 20},
		"version 1":                     {map[string]string{"memory/memory.limit_in_bytes": "536870912\n"}, "3:memory:/x\n", math.MaxInt64, 512 << 20},
		"version 1, none":               {map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "", math.MaxInt64, 0},
		"garbage":                       {map[string]string{"memory.max": "lots"}, "0::/../../etc\n", math.MaxInt64, 0},
	} {
		root := t.TempDir()
		for file, text := range tc.files {
			write(root, file, text)
		}
		if got := memoryLimit(tc.ofGo, root, write(t.TempDir(), "cgroup", tc.own)); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestMemoryPressure(t *testing.T) {
	m := newMemory(prometheus.NewRegistry())
	if m.now.Load() < 1<<20 {
		t.Errorf("the process uses %d bytes", m.now.Load())
	}
	m.limit = 1000 << 20
	for used, want := range map[uint64]listener.Pressure{0: listener.PressureNone, 840: listener.PressureNone, 851: listener.PressureHigh,
		940: listener.PressureHigh, 951: listener.PressureFull, 2000: listener.PressureFull} {
		m.used = func() uint64 { return used << 20 }
		if m.look(); m.pressure() != want {
			t.Errorf("%d of 1000: %v, want %v", used, m.pressure(), want)
		}
	}
	m.limit = 0
	if m.look(); m.pressure() != listener.PressureNone {
		t.Error("pressure without a limit")
	}
}
