package player

import (
	"slices"
	"strings"
	"time"

	"gamed/game"
	"gamed/internal/shard"
	"gamed/internal/tally"
	"gamed/protocol"
)

// given names a round that the player added to.
type given struct{ topic, round string }

// contribution is one addition to a tally.
type contribution struct {
	given
	slot int
	n    int64
	name bool
}

// gave is all that the player added to one round: the slots' sums, then how often he was marked by name.
type gave struct {
	given
	sum   []int64
	order uint64 // rounds are in the order of their last use
}

// keptGiven is how many rounds of all topics a player's additions are remembered of: the last ones.
const keptGiven = 16

// tallies binds the worker's tallies to the player and the moment. It implements game.Tallies.
type tallies struct {
	p   *Entity
	now time.Time
}

// Add implements game.Tallies.
func (t *tallies) Add(topic, round string, slot int, n int64, name string) bool {
	part := shard.PartitionOf(t.p.key)
	from := tally.Place{Part: part, Term: t.p.d.Replica.Router.Table().PartTerm[part]}
	if !t.p.l.Tallies.Add(t.now, from, topic, round, slot, n, name) {
		return false
	}
	t.p.l.added = append(t.p.l.added, contribution{given{topic, round}, slot, n, name != ""})
	return true
}

// commitTallies records what the handler added to tallies, so that a new owner of the partition can count it.
func (p *Entity) commitTallies() {
	for _, c := range p.l.added {
		g := p.gave(c.given)
		g.sum[c.slot] += c.n
		if c.name {
			g.sum[game.TallySlots]++
		}
		p.l.change.Put(g.section(), p.appendGave(g))
		p.dirty |= dirtyState
		p.added = g.topic
	}
	p.l.added = p.l.added[:0]
}

// note keeps count of who has added what the backup does not have yet, so that no sum is told that a crash could take back.
func (p *Entity) note() {
	switch {
	case !p.o.Waits() || p.d.Replica.Local:
		delete(p.l.unsafe, p)
	case p.added != "":
		p.l.unsafe[p] = p.added
	}
	p.added = ""
}

// Safe says that the backups have all that this worker's players added to tallies of a topic.
func (l *Local) Safe(topic string) bool {
	for _, t := range l.unsafe {
		if t == topic {
			return false
		}
	}
	return true
}

// Heard says that this worker's members of a topic have heard the room's notices up to this number.
func (l *Local) Heard(topic string, number uint64) bool {
	for p := range l.topics[topic] {
		if p.deaf(topic, number) {
			return false
		}
	}
	return true
}

// Deaf gives the keys of this worker's members of a topic who have a player part and have not heard the notice of this number, or of
// all when it has none.
func (l *Local) Deaf(topic string, number uint64) (keys []string) {
	for p := range l.topics[topic] {
		if number == 0 || p.deaf(topic, number) {
			keys = append(keys, p.key)
		}
	}
	return keys
}

func (p *Entity) deaf(topic string, number uint64) bool {
	pt := p.find(topic)
	return pt != nil && pt.noticed < number
}

// gave finds what was added to a round, or begins to remember it in the place of the round that was not used for longest. It is
// last in the list from now on.
func (p *Entity) gave(k given) *gave {
	i := slices.IndexFunc(p.given, func(g *gave) bool { return g.given == k })
	var g *gave
	switch {
	case i >= 0:
		g = p.given[i]
		p.given = slices.Delete(p.given, i, i+1)
	default:
		if len(p.given) >= keptGiven {
			p.l.change.Delete(p.given[0].section())
			p.given = slices.Delete(p.given, 0, 1)
		}
		g = &gave{given: given{strings.Clone(k.topic), strings.Clone(k.round)}, sum: make([]int64, game.TallySlots+1)}
	}
	g.order = 1
	if n := len(p.given); n > 0 {
		g.order = p.given[n-1].order + 1
	}
	p.given = append(p.given, g)
	return g
}

func (g *gave) section() string { return tallySection + g.topic + "\x00" + g.round }

// appendGave encodes into the worker's scratch: the sums, the order.
func (p *Entity) appendGave(g *gave) []byte {
	b := protocol.AppendArray(p.l.scratch[:0], len(g.sum)+1)
	for _, n := range g.sum {
		b = protocol.AppendInt(b, n)
	}
	p.l.scratch = protocol.AppendUint(b, g.order)
	return p.l.scratch
}

// restoreTally takes back one round: it counts here from now on.
func (p *Entity) restoreTally(now time.Time, key string, b []byte) {
	topic, round, ok := strings.Cut(key, "\x00")
	c := protocol.NewCursor(b)
	n, isArray := c.Array()
	if !ok || !isArray || n != game.TallySlots+2 {
		p.d.Log.Error("what a player added to a tally is damaged and lost", "key", p.key, "topic", topic, "round", round)
		return
	}
	g := &gave{given: given{topic, round}, sum: make([]int64, game.TallySlots+1)}
	for i := range g.sum {
		g.sum[i], ok = c.Int()
		if !ok {
			return
		}
	}
	g.order, _ = c.Uint()
	p.given = append(p.given, g)
	p.l.Tallies.Restore(now, topic, round, g.sum[:game.TallySlots], p.Name(), g.sum[game.TallySlots] > 0)
}
