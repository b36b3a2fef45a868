package room

import (
	"cmp"
	"slices"
	"strings"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// member is one player in a room.
type member struct {
	name     string
	session  string
	node     envelope.NodeID // the gateway of its client
	conn     uint64          // 0: no socket
	joined   uint64          // the stream's offset at the join
	since    uint64          // conn gets what comes after this offset
	part     uint16          // the partition of the player's key
	place    int             // in roster.order
	seq      uint64          // members are in the order of this number
	attached bool            // the relay of node gives it the stream
	recent   []answered      // the last client calls that changed something
}

// roster is a room's members in the order they joined. It implements game.Roster for the message being handled.
type roster struct {
	byName map[string]*member
	past   []answered     // calls that ended a membership, oldest first
	turns  []turn         // remembered calls of members, oldest first
	order  []*member      // with holes
	parts  map[uint16]int // members by partition
	next   uint64         // the largest seq given

	cause *envelope.Envelope // the call being handled
	log   []func()           // undoes what this message changed, last first
	left  []*member          // who was removed by this message
}

// begin prepares for one message; e is nil when it is no call.
func (r *roster) begin(e *envelope.Envelope) {
	if r.byName == nil {
		r.byName, r.parts = map[string]*member{}, map[uint16]int{}
	}
	clear(r.log)
	r.cause, r.log, r.left = e, r.log[:0], r.left[:0]
}

// undo takes back what this message changed.
func (r *roster) undo() {
	for i := len(r.log) - 1; i >= 0; i-- {
		r.log[i]()
	}
	clear(r.log)
	r.log = r.log[:0]
}

// caller is the player whose call is being handled, "" when it is nobody's.
func (r *roster) caller() string {
	if r.cause == nil {
		return ""
	}
	name, _ := envelope.PlayerOf(r.cause.From)
	return name
}

// Len implements game.Roster.
func (r *roster) Len() int { return len(r.byName) }

// Has implements game.Roster.
func (r *roster) Has(player string) bool { return r.byName[player] != nil }

// Each implements game.Roster.
func (r *roster) Each(f func(player string) bool) {
	for _, m := range r.order {
		if m != nil && !f(m.name) {
			return
		}
	}
}

// Join implements game.Roster.
func (r *roster) Join() bool {
	e := r.cause
	if e == nil || e.Session == "" {
		return false
	}
	name, ok := envelope.PlayerOf(e.From)
	if !ok {
		return false
	}
	if m := r.byName[name]; m != nil {
		if m.session == e.Session {
			return false
		}
		r.Remove(name) // of a session that ended; its leave is still on the way, and will name the old one
	}
	name = strings.Clone(name)
	m := &member{name: name, session: e.Session, node: e.Node, conn: e.Conn, part: shard.PartitionOf(envelope.PlayerPrefix + name)}
	r.add(m)
	r.log = append(r.log, func() { r.drop(m) })
	return true
}

// Remove implements game.Roster.
func (r *roster) Remove(player string) bool {
	m := r.byName[player]
	if m == nil {
		return false
	}
	r.drop(m)
	r.left = append(r.left, m)
	r.log = append(r.log, func() { r.readd(m) })
	return true
}

func (r *roster) add(m *member) {
	if m.seq == 0 {
		m.seq = r.next + 1
	}
	r.next = max(r.next, m.seq)
	m.place = len(r.order)
	r.order = append(r.order, m)
	r.byName[m.name] = m
	r.parts[m.part]++
}

// readd puts a member back in the place it had.
func (r *roster) readd(m *member) {
	r.add(m)
	r.compact()
	slices.SortFunc(r.order, func(a, b *member) int { return cmp.Compare(a.seq, b.seq) })
	for i, o := range r.order {
		o.place = i
	}
}

func (r *roster) drop(m *member) {
	delete(r.byName, m.name)
	r.order[m.place] = nil
	if r.parts[m.part]--; r.parts[m.part] == 0 {
		delete(r.parts, m.part)
	}
	if len(r.order) > 64 && len(r.order) > 2*len(r.byName) {
		r.compact()
	}
}

// compact removes the holes.
func (r *roster) compact() {
	dense := r.order[:0]
	for _, o := range r.order {
		if o != nil {
			o.place = len(dense)
			dense = append(dense, o)
		}
	}
	clear(r.order[len(dense):])
	r.order = dense
}

// gone gives the member of that name whom this message removed.
func (r *roster) gone(name string) *member {
	for i, m := range r.left {
		if m.name == name {
			r.left = append(r.left[:i], r.left[i+1:]...)
			return m
		}
	}
	return nil
}
