package listener

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"gamed/protocol"
)

// value reads a counter or gauge.
func value(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestBucket(t *testing.T) {
	r := newRate(60, 120)
	sec := int64(time.Second)
	var b bucket
	pass := func(from, to, perSecond int64) (passed, refused int, sustained bool) {
		for i := from * perSecond; i < to*perSecond; i++ {
			ok, wait, s := b.take(i*sec/perSecond+1, r)
			switch {
			case ok:
				passed++
			default:
				refused++
				if wait <= 0 || wait > r.window {
					t.Fatalf("wait %v", wait)
				}
			}
			sustained = sustained || s
		}
		return
	}
	if p, f, _ := pass(0, 10, 60); p != 600 || f != 0 {
		t.Fatalf("at the rate: %d passed, %d refused", p, f)
	}
	if p, _, s := pass(10, 19, 1000); p < 120+9*60-5 || p > 120+9*60+5 || s {
		t.Fatalf("flood: %d passed, sustained %v", p, s)
	}
	if _, _, s := pass(22, 31, 1000); s {
		t.Fatal("a pause of three seconds must start the ten seconds anew")
	}
	if _, _, s := pass(31, 34, 1000); !s {
		t.Fatal("ten seconds over without pause")
	}
	b = bucket{}
	for i := range 121 {
		ok, wait, _ := b.take(5*sec, r)
		if ok != (i < 120) {
			t.Fatalf("burst: frame %d passed: %v", i, ok)
		}
		if !ok {
			if early, _, _ := b.take(5*sec+wait-1, r); early {
				t.Fatal("wait is too long")
			}
			if in, _, _ := b.take(5*sec+wait, r); !in {
				t.Fatal("wait is too short")
			}
		}
	}
	if ok, _, _ := (&bucket{}).take(1, rateLimit{}); !ok {
		t.Fatal("the zero rate limits nothing")
	}
}

// The wheel looks at each connection after its time has come, at most a tick late, and once per put.
func TestWheel(t *testing.T) {
	k := newClock()
	r := rand.New(rand.NewPCG(1, 2))
	want := map[*Conn]int64{}
	var due []*Conn
	horizon := int64(20 * time.Second)
	for now := time.Duration(0); now < time.Minute; now += time.Duration(r.Int64N(int64(3 * tick))) {
		before := k.now()
		due = k.advance(now, due[:0])
		for _, c := range due {
			at, ok := want[c]
			if !ok {
				t.Fatal("looked at twice, or after drop")
			}
			if k.now() < at {
				t.Fatalf("%v too early", time.Duration(at-k.now()))
			}
			if late := before - at; late > int64(2*tick) {
				t.Fatalf("%v too late", time.Duration(late))
			}
			delete(want, c)
		}
		for range r.IntN(20) {
			c := &Conn{}
			at := k.now() + r.Int64N(horizon)
			k.put(c, at)
			want[c] = at
			switch r.IntN(4) {
			case 0:
				k.drop(c)
				delete(want, c)
			case 1:
				k.put(c, at+r.Int64N(horizon)) // later: the earlier one stays
			case 2:
				want[c] = k.now() + r.Int64N(at-k.now()+1)
				k.put(c, want[c])
			}
		}
	}
	if len(want) == 0 {
		t.Fatal("nothing was left to come")
	}
	due = k.advance(10*time.Minute, due[:0]) // a pause of the process
	if len(due) != len(want) {
		t.Fatalf("after a pause %d are due, want %d", len(due), len(want))
	}
	far := &Conn{}
	k.put(far, k.now()+int64(time.Hour))
	looks := 0
	for now := 10 * time.Minute; now < 69*time.Minute; now += tick {
		for range k.advance(now, due[:0]) {
			looks++
			k.put(far, int64(70*time.Minute))
		}
	}
	if looks == 0 || looks > 200 {
		t.Fatalf("%d looks at something an hour away", looks)
	}
}

func TestGate(t *testing.T) {
	var g gate
	g.init(Options{PerAddrConns: 5, PerAddrRate: 10})
	a := netip.MustParseAddr("192.0.2.1")
	now := int64(time.Second)
	for i := range 5 {
		if why, ok := g.enter(a, now); !ok {
			t.Fatalf("connection %d: %v", i, why)
		}
	}
	if why, ok := g.enter(a, now); ok || why != refuseAddr {
		t.Fatalf("the sixth: %v %v", why, ok)
	}
	if _, ok := g.enter(netip.MustParseAddr("192.0.2.2"), now); !ok {
		t.Fatal("another address pays for it")
	}
	g.leave(a)
	if _, ok := g.enter(a, now); !ok {
		t.Fatal("after one left")
	}
	for range 3 {
		g.enter(a, now)
	}
	if why, ok := g.enter(a, now); ok || why != refuseAddrRate {
		t.Fatalf("the eleventh in a second: %v %v", why, ok)
	}
	v6 := netip.MustParseAddr("2001:db8::1")
	for range 5 {
		g.enter(v6, now)
	}
	if _, ok := g.enter(netip.MustParseAddr("2001:db8::2"), now); ok {
		t.Fatal("the same /64 is the same client")
	}
	for _, free := range []string{"127.0.0.1", "127.9.9.9", "::1"} {
		for range 100 {
			if _, ok := g.enter(netip.MustParseAddr(free), now); !ok {
				t.Fatalf("%s is exempt", free)
			}
		}
	}
	for range 5 {
		g.leave(a)
		g.leave(v6)
	}
	g.leave(netip.MustParseAddr("192.0.2.2"))
	g.enter(netip.MustParseAddr("198.51.100.1"), now+int64(time.Minute))
	if len(g.addrs) != 1 {
		t.Fatalf("%d addresses are remembered", len(g.addrs))
	}
}

func TestEnumsAndMetricsAgree(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	if _, err := newMetrics(reg); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
		if !strings.HasPrefix(f.GetName(), "gamed_listener_") {
			t.Errorf("name %s", f.GetName())
		}
	}
	for name, n := range map[string]int{"closed_total": int(reasons), "dropped_total": int(drops), "refused_total": int(refusals)} {
		if got := series["gamed_listener_"+name]; got != n {
			t.Errorf("%s has %d series at the start, the enum %d values", name, got, n)
		}
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	seen := map[string]bool{}
	for r := range reasons {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	for _, c := range protocol.Codes() {
		r := reasonOf(c)
		if r != ReasonOther && r.String() != string(c) {
			t.Errorf("code %s has reason %s", c, r)
		}
		if c.Class() == protocol.ClassEnd && r == ReasonOther {
			t.Errorf("code %s ends connections and has no reason", c)
		}
	}
	if _, err := newMetrics(reg); err == nil {
		t.Error("registering twice must be an error")
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"Addr": {}, "Heartbeat": {Addr: "127.0.0.1:0", Heartbeat: -1}, "OutboxBytes": {Addr: "127.0.0.1:0", OutboxBytes: -1},
		"player port 127.0.0.1:99999 cannot be opened (choose another with --listen": {Addr: "127.0.0.1:99999"},
	} {
		if _, err := New(o, newEcho()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := Options{Addr: "x"}
	if err := o.complete(); err != nil || o.Rate != 0 || o.HelloTimeout != 5*time.Second || o.MaxConns < 1 || o.Logger == nil {
		t.Errorf("completed to %+v, %v", o, err)
	}
}
