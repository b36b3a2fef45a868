package room

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// roll is a page of a roll call.
func (g *gate) roll(term uint64, after, upTo string, members map[string]uint64) {
	e := envelope.Envelope{Kind: envelope.Attach, Flags: envelope.FlagResync, Term: term, Topic: topic, From: after, Event: upTo}
	for name, conn := range members {
		e.Payload = protocol.AppendUint(protocol.AppendStr(e.Payload, name), conn)
	}
	g.relays.Handle(&e)
	synctest.Wait()
}

func (g *gate) askedFor() []string {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Sorted(slices.Values(g.absent))
	g.absent = nil
	return slices.Compact(out)
}

func TestARelayAsksForMembersItDoesNotHave(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 4)
		bob, zoe := &socket{t: t}, g.attach("zoe", 9, 4)
		g.mu.Lock()
		g.sockets[2] = bob
		g.mu.Unlock()
		g.roll(1, "", "mia", map[string]uint64{"ann": 1, "bob": 2, "cyn": 3}) // cyn's socket is gone
		for range 3 {
			if got := g.askedFor(); !slices.Equal(got, []string{"player/bob"}) {
				t.Fatalf("asked for %v", got)
			}
			time.Sleep(askEvery)
		}
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Term: 1, Topic: topic, Conn: 2, From: "bob", Offset: 4})
		g.askedFor()
		time.Sleep(3 * askEvery)
		if got := g.askedFor(); len(got) > 0 {
			t.Fatalf("asked for %v, who is here", got)
		}
		g.roll(1, "", "mia", map[string]uint64{"bob": 2}) // ann has left, and the relay was not told; zoe is on another page
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Term: 1, Topic: topic, Offset: 5, Payload: protocol.AppendPush(nil, topic, 5, "said", nil)})
		ann.want()
		bob.want(5)
		zoe.want(5)
		g.roll(1, "mia", "", nil)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Term: 1, Topic: topic, Offset: 6, Payload: protocol.AppendPush(nil, topic, 6, "said", nil)})
		zoe.want()
		bob.want(6)
	})
}

func TestARelayStopsAskingForWhoIsNoMember(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		g.mu.Lock()
		g.sockets[2] = &socket{t: t}
		g.mu.Unlock()
		g.roll(1, "", "", map[string]uint64{"bob": 2})
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Term: 1, Topic: topic, Conn: 2, From: "bob"})
		g.askedFor()
		time.Sleep(3 * askEvery)
		if got := g.askedFor(); len(got) > 0 {
			t.Fatalf("asked for %v", got)
		}
	})
}

// What a home still sent that another has replaced is not heeded, in whatever order it comes.
func TestARelayHeedsTheNewestHome(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 4)
		push := func(term, offset uint64) {
			g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Term: term, Topic: topic, Offset: offset, Payload: protocol.AppendPush(nil, topic, offset, "said", nil)})
		}
		push(2, 5)
		push(1, 8)
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Detach, Term: 1, Topic: topic, Conn: 1, From: "ann"})
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Attach, Term: 1, Topic: topic, Conn: 3, From: "bob", Offset: 3})
		g.relays.Handle(&envelope.Envelope{Kind: envelope.Push, Term: 1, Topic: topic, Flags: envelope.FlagResync, Offset: 9})
		push(2, 6)
		ann.want(5, 6)
		if ann.away != nil || len(g.questions()) > 0 {
			t.Error("an old home was heeded")
		}
	})
}

func TestASuccessorCallsTheRoll(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("bob", "join", nil)
		r.ok("ann", "join", nil)
		for range 3 {
			r.ok("ann", "say", text("x"))
		}
		next := r.successor(r.copy())
		defer next.workers.Close()
		var rolls []string
		for _, s := range next.of(envelope.Attach) {
			for c := protocol.NewCursor(s.Payload); len(c.Rest()) > 0; {
				name, _ := c.Text()
				conn, _ := c.Uint()
				rolls = append(rolls, fmt.Sprintf("%s %s %d %q %q", s.node.Name, name, conn, s.From, s.Event))
			}
		}
		want := []string{fmt.Sprintf(`far ann %d "" ""`, connOf("ann")), fmt.Sprintf(`far bob %d "" ""`, connOf("bob"))}
		if !slices.Equal(rolls, want) {
			t.Fatalf("called %q, want %q", rolls, want)
		}
		ask := func(player string, conn uint64) []sent {
			next.post(envelope.Envelope{Kind: envelope.Cast, Topic: topic, Flags: envelope.FlagResync, From: envelope.PlayerPrefix + player, Conn: conn, Node: far})
			return next.drain()
		}
		got := ask("bob", connOf("bob"))
		if len(got) != 1 || got[0].Kind != envelope.Attach || got[0].Conn != connOf("bob") || got[0].Offset != 3 || !slices.Equal(offsets(t, got[0].Payload), []uint64{1, 2, 3}) {
			t.Fatalf("the relay got %+v", got)
		}
		for _, no := range [][]sent{ask("bob", 77), ask("cyn", 5)} {
			if len(no) != 1 || no[0].Kind != envelope.Detach || no[0].node != far {
				t.Fatalf("no member: %+v", no)
			}
		}
	})
}

func TestTheRollComesInPages(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		const n = rollPage + 5
		for i := range n {
			r.post(call(fmt.Sprintf("p%05d", i), 1, "join", nil))
		}
		next := r.successor(r.copy())
		defer next.workers.Close()
		pages := next.of(envelope.Attach)
		slices.SortFunc(pages, func(a, b sent) int { return len(b.Payload) - len(a.Payload) })
		last := fmt.Sprintf("p%05d", rollPage-1)
		if len(pages) != 2 || pages[0].From != "" || pages[0].Event != last || pages[1].From != last || pages[1].Event != "" {
			t.Fatalf("%d pages", len(pages))
		}
	})
}

func TestARelayAsksWhenALinkIsBack(t *testing.T) {
	relayed(t, func(t *testing.T, g *gate) {
		ann := g.attach("ann", 1, 4)
		g.push(5)
		g.relays.Linked(func(of string) bool { return of != topic })
		if got := g.questions(); len(got) > 0 {
			t.Fatalf("asked for what comes after %v", got)
		}
		g.relays.Linked(func(of string) bool { return of == topic })
		if got := g.questions(); !slices.Equal(got, []uint64{5}) {
			t.Fatalf("asked for what comes after %v", got)
		}
		g.tell(envelope.FlagResume, 5) // nothing is missing
		ann.want(5)
		if ann.away != nil {
			t.Error("sent away for nothing")
		}
	})
}
