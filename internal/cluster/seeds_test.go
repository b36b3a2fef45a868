package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type contacted struct {
	mu    sync.Mutex
	addrs []string
	at    []time.Time
}

func newSeeds(t *testing.T, join ...string) (*seeds, *contacted) {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry(), func() float64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	c := &contacted{}
	s := &seeds{join: join, self: "10.0.0.1:7302", metrics: m, log: slog.New(slog.DiscardHandler),
		lookup: func(_ context.Context, host string) ([]string, error) {
			switch host {
			case "gamed":
				return []string{"10.0.0.3", "10.0.0.1", "10.0.0.2"}, nil
			case "both":
				return []string{"fd00::1", "10.0.0.9"}, nil
			}
			return nil, errors.New("no such host")
		},
		contact: func(a string) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.addrs, c.at = append(c.addrs, a), append(c.at, time.Now())
			if strings.HasPrefix(a, "10.0.0.66") {
				return errors.New("nobody there")
			}
			return nil
		}}
	s.wanted.Store(&seedView{alone: true})
	return s, c
}

func TestSeedsRound(t *testing.T) {
	s, c := newSeeds(t, "dns+gamed:7302", "both:1", "10.0.0.2:7302", "nowhere:1", "10.0.0.4:7302", "10.0.0.66:1")
	s.wanted.Store(&seedView{alive: map[string]bool{"10.0.0.4:7302": true}, lost: []string{"10.0.0.8:7302", "10.0.0.1:7302"}})
	s.round(t.Context())
	slices.Sort(c.addrs)
	// Not this node itself, not who is alive, nobody twice; of a plain name IPv4 only.
	want := []string{"10.0.0.2:7302", "10.0.0.3:7302", "10.0.0.66:1", "10.0.0.8:7302", "10.0.0.9:1"}
	if !slices.Equal(c.addrs, want) {
		t.Errorf("contacted %v, want %v", c.addrs, want)
	}
}

// Alone at the start it asks often, later every 1 to 2 s, and it never gives up.
func TestSeedsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newSeeds(t, "10.0.0.66:1")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		begin := time.Now()
		go func() { defer close(done); s.run(ctx) }()
		time.Sleep(24 * time.Hour)
		cancel()
		<-done
		if d := c.at[8].Sub(begin); d > 8*375*time.Millisecond {
			t.Errorf("the ninth contact came after %v", d)
		}
		for i := 1; i < len(c.at); i++ {
			gap := c.at[i].Sub(c.at[i-1])
			if gap > 2*time.Second || c.at[i-1].Sub(begin) > eagerFor && gap < time.Second {
				t.Fatalf("%v after the start: %v between two contacts", c.at[i].Sub(begin), gap)
			}
		}
		if len(c.at) < 24*3600/2 {
			t.Errorf("%d contacts in a day", len(c.at))
		}
	})
}

func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := &logWriter{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		say := func(line string) string {
			out.Reset()
			_, _ = w.Write([]byte(line + "\n"))
			return out.String()
		}
		for line, level := range map[string]string{
			"[DEBUG] memberlist: a": "level=DEBUG", "[INFO] memberlist: b": "level=DEBUG", "[WARN] memberlist: c": "level=INFO",
			"[ERR] memberlist: d": "level=WARN", "[ERROR] memberlist: e": "level=WARN", "f": "level=INFO",
		} {
			text := line[len(line)-1:]
			if got := say(line); !strings.Contains(got, level) || !strings.Contains(got, `msg="gossip: `+text+`"`) {
				t.Errorf("%q became %q", line, got)
			}
		}
		if say("[ERR] memberlist: x from=1.2.3.4:5") == "" || say("[ERR] memberlist: x from=1.2.3.4:6") != "" {
			t.Error("the same complaint of another port was repeated at once")
		}
		time.Sleep(rareEvery)
		if say("[ERR] memberlist: x from=1.2.3.4:7") == "" {
			t.Error("a complaint is not repeated after ten seconds")
		}
	})
}
