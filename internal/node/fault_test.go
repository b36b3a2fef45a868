package node

import (
	"testing"

	dto "github.com/prometheus/client_model/go"

	"gamed/game"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
)

func TestAFaultComesOnceAtItsPoint(t *testing.T) {
	for _, c := range []struct {
		setting string
		at      int // calls of point "give" until it comes; 0: never
	}{{"give:3:kill", 3}, {"give:1:kill", 1}, {"", 0}, {"give", 0}, {"give:x:kill", 0}, {"give:0:kill", 0}, {"give:1:sing", 0}, {"sealed:1:kill", 0}} {
		kills := 0
		hook := faultFrom(c.setting, func() { kills++ })
		if (hook == nil) != (c.at == 0 && c.setting != "sealed:1:kill") {
			t.Fatalf("%q: hook %v", c.setting, hook != nil)
		}
		for i := 1; hook != nil && i < 10; i++ {
			hook("give")
			if want := c.at > 0 && i >= c.at; (kills == 1) != want {
				t.Fatalf("%q: %d kills after %d", c.setting, kills, i)
			}
		}
	}
}

// TestReplayedHandOffsChangeNothing sends pieces and words of moves that are over, of terms that were never given, and damaged ones: they
// are counted, and nobody's state is another.
func TestReplayedHandOffsChangeNothing(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	owner, other := nodes[0], nodes[1]
	name := named(t, playerKey, owner, other)
	ann := dial(t, name, owner)
	if got := ann.deposit(7); got != 7 {
		t.Fatalf("balance %d", got)
	}
	key := playerKey(name)
	part := shard.PartitionOf(key)
	table := owner.router.Table()
	term := table.PartTerm[part]
	forged := state.Sections{"v": {1}, "p/bank:": {2, 99}}
	give := func(to *running, term, token uint64, flags uint16) {
		o := ownership.Origin{Part: part, Term: term, Token: token, Follows: 1}
		e := originOf(&o)
		e.Kind, e.Event, e.Key = envelope.Replicate, giving, key
		e.Conn |= replica.OwnState
		e.Flags |= flags
		_ = replica.Pieces(e, forged.Change(), func(piece *envelope.Envelope) error { to.receive(other.router.Self(), piece); return nil })
		o.Rival = flags&envelope.FlagFork != 0
		word := originOf(&o)
		to.receive(other.router.Self(), &word)
	}
	stale := func(n *running) (sum float64) {
		for _, what := range []string{"copy", "word", "rival word", "change"} {
			var m dto.Metric
			if err := n.moves.stale.WithLabelValues(what).Write(&m); err != nil {
				t.Fatal(err)
			}
			sum += m.GetCounter().GetValue()
		}
		return sum
	}
	before := stale(owner)
	give(owner, term, term-1, 0)                   // of the move that brought it here
	give(owner, term-1, term-2, 0)                 // of one before
	give(owner, table.Term+1<<40, 1, 0)            // of a term that was never given
	give(owner, term, term-1, envelope.FlagFill)   // not asked for
	give(owner, term, term-1, envelope.FlagFork)   // no split
	give(owner, term-1, term-2, envelope.FlagFork) // of a split long ago
	owner.receive(other.router.Self(), &envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: term, Conn: 1, Key: key, Ref: 9, Flags: envelope.FlagWhole, Payload: []byte{0}})
	owner.receive(other.router.Self(), &envelope.Envelope{Kind: envelope.Replicate, Part: 2000, Term: term, Key: key})
	owner.receive(other.router.Self(), &envelope.Envelope{Kind: envelope.Handoff, Part: 2000, Term: term})
	owner.receive(other.router.Self(), &envelope.Envelope{Kind: envelope.Replicate, Part: part + 1, Term: term, Event: giving, Key: key, Flags: envelope.FlagWhole, Payload: []byte{0}})
	if got := stale(owner) - before; got < 14 {
		t.Fatalf("%v counted", got)
	}
	f := ann.call("bank:", "balance", nil)
	if got := f.Int("balance"); got != 7 {
		t.Fatalf("balance %d", got)
	}
	if got := ann.deposit(1); got != 8 {
		t.Fatalf("balance %d", got)
	}
	owner.Kill() // the backup was not touched either
	back := dial(t, name, other)
	g := back.call("bank:", "balance", game.NewMap())
	if got := g.Int("balance"); got != 8 {
		t.Fatalf("balance %d after the owner died", got)
	}
}
