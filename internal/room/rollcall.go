package room

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// A home that goes on from a copy does not know what the one before it had still told the relays: it died when its backup had a join,
// and the gateway had not heard of it. So it calls the roll: each node with members' sockets is told who they are. The relay asks for
// those it does not have, and lets go of others.

// rollPage is how many members one envelope names.
const rollPage = 4096

// callRoll tells each node which of its sockets are members', by name, in pages: From and Event are the bounds of a page, the names
// after From up to Event; no Event: all that follow.
func (h *Home) callRoll() {
	byNode := map[envelope.NodeID][]*member{}
	for _, m := range h.members.order {
		if m != nil && m.attached {
			byNode[m.node] = append(byNode[m.node], m)
		}
	}
	for n, list := range byNode {
		slices.SortFunc(list, func(a, b *member) int { return strings.Compare(a.name, b.name) })
		after := ""
		for page := range slices.Chunk(list, rollPage) {
			e := envelope.Envelope{Kind: envelope.Attach, Flags: envelope.FlagResync, Term: h.term(), Topic: h.topic, From: after}
			for _, m := range page {
				e.Payload = protocol.AppendUint(protocol.AppendStr(e.Payload, m.name), m.conn)
				after = m.name
			}
			if after != list[len(list)-1].name {
				e.Event = after
			}
			h.o.ToNode(n, &e)
		}
	}
}

// term is the home's fencing token: relays do as the newest home says.
func (h *Home) term() uint64 { return h.d.Replica.Router.Table().PartTerm[shard.PartitionOf(h.key)] }

// attachAgain answers a relay that does not have a member.
func (h *Home) attachAgain(w *shard.Worker, e *envelope.Envelope) {
	name, _ := envelope.PlayerOf(e.From)
	if m := h.members.byName[name]; m == nil || m.conn != e.Conn || m.node != e.Node {
		h.o.ToNode(e.Node, &envelope.Envelope{Kind: envelope.Detach, Term: h.term(), Topic: h.topic, Conn: e.Conn, From: name})
	} else {
		h.late = append(h.late, late{m.name, m.conn, m.since})
		h.attachLate(w)
	}
}

// absent is a socket that the home takes for a member's, and the relay does not.
type absent struct {
	topic, name string
	conn        uint64
}

// roll compares a page with what is here.
func (r *relays) roll(e *envelope.Envelope) {
	rl, named := r.topics[e.Topic], map[string]uint64{}
	for c := protocol.NewCursor(e.Payload); len(c.Rest()) > 0; {
		name, ok1 := c.Text()
		conn, ok2 := c.Uint()
		if !ok1 || !ok2 {
			return
		}
		named[string(name)] = conn
	}
	if rl != nil {
		for _, name := range slices.Collect(maps.Keys(rl.members)) {
			a := rl.members[name]
			if name <= e.From || e.Event != "" && name > e.Event || named[name] == a.conn {
				continue
			}
			delete(r.conns[a.conn], rl.topic)
			r.forget(rl, name, a.conn)
		}
	}
	for name, conn := range named {
		if r.all.lookup(conn) != nil && (rl == nil || rl.members[name] == nil) {
			r.absent[absent{strings.Clone(e.Topic), name, conn}] = true
		}
	}
	r.askedRoll = time.Time{}
}

// askForAbsent asks the homes for those who are absent, until they are attached, or the home knows nothing of them.
func (r *relays) askForAbsent() {
	if len(r.absent) == 0 || time.Since(r.askedRoll) < askEvery {
		return
	}
	r.askedRoll = time.Now()
	for a := range r.absent {
		if r.all.lookup(a.conn) == nil {
			delete(r.absent, a)
			continue
		}
		e := envelope.Envelope{Kind: envelope.Cast, Key: envelope.RoomKey(a.topic), Topic: a.topic, Flags: envelope.FlagResync, From: envelope.PlayerPrefix + a.name,
			Conn: a.conn, Node: r.all.router.Self()}
		if err := r.all.router.Route(&e); err != nil {
			r.all.lost()
		}
	}
}
