package mesh

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestHelloRoundTrip(t *testing.T) {
	want := &hello{WireMin: 1, WireMax: 65535, Cluster: "c", Config: maxUint, Node: NodeID{Name: "a", Boot: maxUint}, Lane: Control,
		To: NodeID{Name: "b", Boot: 1}, Seq: 9, Seen: 4, State: []byte("opaque")}
	frame := want.append([]byte("before"))[len("before"):]
	body, err := readFrame(bytes.NewReader(frame))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseHello(body)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for n := range body {
		if n > 0 {
			if _, err := parseHello(body[:n]); !errors.Is(err, errFrame) {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	frame := (&welcome{Node: id("a", 3), Wire: 2, State: []byte("s")}).append(nil)
	got, err := parseAnswer(frame[header:])
	if err != nil || got.Node != id("a", 3) || got.Wire != 2 || string(got.State) != "s" {
		t.Errorf("%+v, %v", got, err)
	}
	for r := Refusal(0); r < refusals; r++ {
		frame := appendRefusal(nil, r, string(make([]byte, 5000)))
		_, err := parseAnswer(frame[header:])
		if !isRefusal(err, r) || len(frame) > maxHello {
			t.Errorf("%s: %v, %d bytes", r, err, len(frame))
		}
	}
	if refusalNamed("from the future") != RefusedOther {
		t.Error("an unknown reason has a name")
	}
}

// FuzzLinkFrames: no bytes before or after the welcome make the parsers panic.
func FuzzLinkFrames(f *testing.F) {
	f.Add((&hello{Node: id("a", 1), Seq: 1}).append(nil)[header:])
	f.Add((&welcome{Node: id("a", 1)}).append(nil)[header:])
	f.Add(appendRefusal(nil, RefusedCluster, "x")[header:])
	f.Add(appendPing(nil, 7, []byte("state"))[header:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		if h, err := parseHello(body); err == nil {
			again, err := parseHello(h.append(nil)[header:])
			if err != nil || !reflect.DeepEqual(h, again) {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		_, _ = parseAnswer(body)
		fs := openFrame(body)
		fs.uint(maxUint)
		fs.bytes(MaxState)
	})
}

func TestNamesAreComplete(t *testing.T) {
	for what, names := range map[string][]string{"lane": laneNames[:], "refusal": refusalNames[:], "close": closeNames[:], "drop": dropNames[:],
		"dial": dialNames[:], "refuser": refuserNames[:]} {
		seen := map[string]bool{}
		for i, n := range names {
			if n == "" || seen[n] {
				t.Errorf("%s %d is named %q", what, i, n)
			}
			seen[n] = true
		}
	}
}

// TestEveryReasonHasItsSeries: reasons are visible at zero before they first happen.
func TestEveryReasonHasItsSeries(t *testing.T) {
	n := start(t, id("a", 1), nil)
	for c := Close(0); c < closes; c++ {
		if _, ok := n.metric("links_closed_total", c.String()); !ok {
			t.Errorf("no series for close %s", c)
		}
	}
	for r := Refusal(0); r < refusals; r++ {
		for _, by := range refuserNames {
			if _, ok := n.metric("refused_total", by, r.String()); !ok {
				t.Errorf("no series for refusal %s by %s", r, by)
			}
		}
	}
	for d := Drop(0); d < drops; d++ {
		for _, lane := range laneNames {
			if _, ok := n.metric("dropped_total", lane, d.String()); !ok {
				t.Errorf("no series for drop %s", d)
			}
		}
	}
}

func TestSettling(t *testing.T) {
	m := &Mesh{opt: Options{Self: id("m", 1), Heartbeat: 1}}
	p := &peer{}
	for name, c := range map[string]struct {
		peer      NodeID
		seq, seen uint64
		cur       *link
		want      bool
	}{
		"both dial, the peer is larger":    {id("z", 1), 1, 0, &link{dialed: true, seq: 5}, true},
		"both dial, the peer is smaller":   {id("a", 1), 1, 0, &link{dialed: true, seq: 5}, false},
		"it had taken ours and lost it":    {id("a", 1), 1, 5, &link{dialed: true, seq: 5}, true},
		"the same, and ours was welcomed":  {id("a", 1), 1, 5, &link{dialed: true, seq: 5, welcomed: true}, true},
		"sent before it took ours, larger": {id("z", 1), 1, 4, &link{dialed: true, seq: 5, welcomed: true}, false},
		"its next dial":                    {id("a", 1), 7, 0, &link{seq: 6}, true},
		"its earlier dial, late":           {id("z", 1), 5, 0, &link{seq: 6}, false},
	} {
		c.cur.id, c.cur.m = c.peer, m
		if _, _, ok := m.replaces(&hello{Node: c.peer, Seq: c.seq, Seen: c.seen}, p, c.cur); ok != c.want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func TestMetricNames(t *testing.T) {
	n := start(t, id("a", 1), nil)
	n.SetPeers([]Peer{{id("z", 2), "127.0.0.1:1"}})
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
