package room

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// socket is a member's connection in these tests.
type socket struct {
	t      *testing.T
	mu     sync.Mutex // guards what follows
	got    []uint64
	writes int
	away   *protocol.Code
}

func (s *socket) Send(frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	s.got = append(s.got, offsets(s.t, frames)...)
}

func (s *socket) Goaway(code protocol.Code, _ string, _ int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = &code
}

// take gives the offsets that came since, in how many writes.
func (s *socket) take() (got []uint64, writes int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got, writes = s.got, s.writes
	s.got, s.writes = nil, 0
	return got, writes
}

func (s *socket) want(offsets ...uint64) {
	s.t.Helper()
	if got, _ := s.take(); !slices.Equal(got, offsets) {
		s.t.Fatalf("got %v, want %v", got, offsets)
	}
}

// gate is a node with relays and sockets by number.
type gate struct {
	t       *testing.T
	relays  *Relays
	metrics *Metrics

	mu      sync.Mutex // guards what follows
	sockets map[uint64]*socket
	asked   []uint64 // from which offsets the home was asked
	absent  []string // whom it was asked for
}

func (g *gate) Self() envelope.NodeID { return far }

func (g *gate) Route(e *envelope.Envelope) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.Key == key && e.Flags == envelope.FlagResync && e.Node == far {
		g.absent = append(g.absent, e.From)
		return nil
	}
	if e.Key != key || e.Flags&envelope.FlagResume == 0 || e.From != "" || e.Node != far {
		g.t.Errorf("routed %+v", e)
	}
	g.asked = append(g.asked, e.Offset)
	return nil
}

func (g *gate) questions() []uint64 {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.asked
	g.asked = nil
	return out
}

func relayed(t *testing.T, f func(t *testing.T, g *gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{t: t, sockets: map[uint64]*socket{}, metrics: NewMetrics(prometheus.NewRegistry())}
		g.relays = NewRelays(2, func(conn uint64) Sink {
			g.mu.Lock()
			defer g.mu.Unlock()
			if s := g.sockets[conn]; s != nil {
				return s
			}
			return nil
		}, g, g.metrics)
		defer g.relays.Close()
		f(t, g)
	})
}

// attach gives a new socket the stream from an offset on, with pushes to replay.
func (g *gate) attach(name string, conn, from uint64, replay ...uint64) *socket {
	s := &socket{t: g.t}
	g.mu.Lock()
	g.sockets[conn] = s
	g.mu.Unlock()
	var b []byte
	for _, n := range replay {
		b = protocol.AppendPush(b, topic, n, "said", nil)
	}
	g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Topic: topic, Conn: conn, From: name, Offset: from, Payload: b})
	synctest.Wait()
	return s
}

func (g *gate) push(list ...uint64) {
	for _, n := range list {
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Topic: topic, Offset: n, Payload: protocol.AppendPush(nil, topic, n, "said", nil)})
	}
	synctest.Wait()
}

func (g *gate) tell(flags uint16, offset uint64) {
	g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Topic: topic, Flags: flags, Offset: offset})
	synctest.Wait()
}

func TestMembersGetTheStreamFromWhereTheyAre(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 4)
		g.push(5, 6)
		bob := g.attach("bob", 2, 6, 4, 5, 6)
		g.push(7)
		ann.want(5, 6, 7)
		bob.want(4, 5, 6, 7)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Topic: topic, Conn: 1, From: "ann"})
		g.push(8)
		ann.want()
		bob.want(8)
		g.relays.Gone(2)
		g.push(9)
		bob.want()
		if q := g.questions(); len(q) != 0 {
			t.Fatalf("asked %v", q)
		}
	})
}

func TestAReplayThatComesTwiceIsWrittenOnce(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		g.attach("bob", 2, 4)
		first := g.attach("ann", 1, 6, 4, 5, 6)
		g.push(5, 6, 7)
		first.want(4, 5, 6, 7)
		again := g.attach("ann", 1, 8, 4, 5, 6, 7, 8) // the home that failed over replays for the same connection
		again.want(8)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Topic: topic, Conn: 1, From: "ann"})
		third := g.attach("ann", 1, 9, 4, 5, 6, 7, 8, 9)
		third.want(9)
		other := g.attach("ann", 3, 9, 8, 9)
		other.want(8, 9)
	})
}

func TestADetachOfAnOlderConnection(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		old := g.attach("ann", 1, 0)
		now := g.attach("ann", 2, 0)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Topic: topic, Conn: 1, From: "ann"})
		g.relays.Gone(1)
		g.push(1)
		old.want()
		now.want(1)
	})
}

func TestPushesThatComeTogetherAreOneWrite(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann, bob := g.attach("ann", 1, 0), g.attach("bob", 2, 0)
		g.mu.Lock() // the relay's goroutine waits in its next look-up
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Topic: topic, Conn: 9, From: "eve"})
		for n := range uint64(5) {
			e := envelope.Envelope{Kind: envelope.Push, Topic: topic, Offset: n + 1, Payload: protocol.AppendPush(nil, topic, n+1, "said", nil)}
			g.relays.Handle(&e)
			e.Offset, e.From, e.Payload = 0, "ann", protocol.AppendPush(nil, topic, 0, "joined", nil)
			g.relays.Handle(&e)
		}
		g.mu.Unlock()
		got, writes := ann.take()
		if !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) || writes != 1 {
			t.Fatalf("ann got %v in %d writes", got, writes)
		}
		got, writes = bob.take()
		if !slices.Equal(got, []uint64{1, 0, 2, 0, 3, 0, 4, 0, 5, 0}) || writes != 1 {
			t.Fatalf("bob got %v in %d writes", got, writes)
		}
	})
}

func TestAGapIsFilled(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 0)
		g.push(1, 3, 4)
		ann.want(1)
		if q := g.questions(); !slices.Equal(q, []uint64{1}) {
			t.Fatalf("asked from %v", q)
		}
		time.Sleep(3*askEvery + time.Millisecond) // the answer is lost
		if q := g.questions(); len(q) != 3 {
			t.Fatalf("asked again %v", q)
		}
		g.tell(envelope.FlagResume, 1)
		g.push(2, 3, 4, 5)
		ann.want(2, 3, 4, 5)
		time.Sleep(time.Second)
		if q := g.questions(); len(q) != 0 {
			t.Fatalf("asked for nothing: %v", q)
		}
	})
}

func TestALastPushThatWasLost(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 0)
		g.push(1)
		g.tell(envelope.FlagResync, 2)
		if q := g.questions(); !slices.Equal(q, []uint64{1}) {
			t.Fatalf("asked from %v", q)
		}
		g.tell(envelope.FlagResume, 1)
		g.push(2)
		ann.want(1, 2)
		g.tell(envelope.FlagResync, 2)
		time.Sleep(time.Second)
		if q := g.questions(); len(q) != 0 {
			t.Fatalf("asked for nothing: %v", q)
		}
	})
}

func TestWhoMissedWhatIsGoneIsSentAway(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 0)
		g.push(1, 90)
		bob := g.attach("bob", 2, 90)
		g.tell(envelope.FlagResume, 90) // the history does not reach back
		if ann.away == nil || *ann.away != protocol.CodeUnavailable {
			t.Fatal("ann goes on with a hole")
		}
		if bob.away != nil {
			t.Fatal("bob has everything")
		}
		g.push(91)
		bob.want(91)
	})
}

func TestAStreamThatBeganAnew(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 0)
		g.push(1, 2, 3)
		bob := g.attach("bob", 2, 1)
		if ann.away == nil {
			t.Fatal("ann waits for a stream that is no more")
		}
		g.push(2)
		bob.want(2)
	})
}

func TestARelayThatIsFull(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 0)
		g.mu.Lock() // the relay's goroutine waits in its next look-up
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Topic: topic, Conn: 9, From: "eve"})
		const many = 5000
		for n := range uint64(many) {
			g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Topic: topic, Offset: n + 1, Payload: protocol.AppendPush(nil, topic, n+1, "said", nil)})
		}
		g.mu.Unlock()
		got, _ := ann.take()
		if len(got) == 0 || len(got) == many {
			t.Fatalf("%d pushes went through", len(got))
		}
		if q := g.questions(); !slices.Equal(q, []uint64{uint64(len(got))}) {
			t.Fatalf("asked from %v, after %d", q, len(got))
		}
	})
}

func TestAWriteToNobody(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		g.push(1, 2)
		g.tell(envelope.FlagResync, 9)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Topic: topic, Conn: 1, From: "ann"})
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Topic: topic, Conn: 77, From: "gone", Offset: 3})
		if q := g.questions(); len(q) != 0 {
			t.Fatalf("asked %v", q)
		}
	})
}
