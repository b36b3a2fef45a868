package room

import (
	"strconv"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// notices are what the room told its members' player parts lately. Each has a number, by which a part knows those it has heard,
// so that they can be told again when the table has changed: an owner may have died, or a partition moved, with one on its way.
type notices struct {
	last  uint64
	kept  []notice // the newest last
	bytes int
}

type notice struct {
	seq   uint64
	at    time.Time
	event string
	body  []byte // the payload
}

// Bounds of the notices kept, and how long one is told again.
const (
	maxNotices     = 16
	maxNoticeBytes = 64 << 10
	noticeFor      = time.Minute
)

// notify tells every node that owns members; after a Collect sent to all nodes this order is what makes tallies exact.
func (h *Home) notify(now time.Time, event string, payload game.Payload) {
	n := &h.notices
	n.last++
	h.dirty |= dirtyNotices
	item := notice{n.last, now, event, append([]byte(nil), plain(payload)...)}
	n.add(item, func(old notice) { h.l.change.Delete(noticeName(old.seq)) })
	h.l.scratch = item.append(h.l.scratch[:0])
	h.l.change.Put(noticeName(item.seq), h.l.scratch)
	h.tell(&item)
}

func (n *notices) add(item notice, drop func(notice)) {
	n.kept = append(n.kept, item)
	n.bytes += len(item.body)
	for len(n.kept) > maxNotices || n.bytes > maxNoticeBytes && len(n.kept) > 1 {
		n.bytes -= len(n.kept[0].body)
		drop(n.kept[0])
		n.kept = n.kept[1:]
	}
}

// tell sends one notice to the owners of the members.
func (h *Home) tell(item *notice) {
	e := envelope.Envelope{Kind: envelope.Notify, Topic: h.topic, Event: item.event, Offset: item.seq, Payload: item.body}
	for n := range h.owners(h.d.Replica.Router.Table()) {
		h.o.ToNode(n, &e)
	}
}

// owners are the nodes that own members.
func (h *Home) owners(t *shard.Table) map[envelope.NodeID]bool {
	all := map[envelope.NodeID]bool{}
	for part := range h.members.parts {
		if n, ok := t.OwnerOf(part); ok {
			all[n] = true
		}
	}
	return all
}

// retell tells again what some may not have heard.
func (h *Home) retell(now time.Time) {
	for i := range h.notices.kept {
		if item := &h.notices.kept[i]; now.Sub(item.at) < noticeFor {
			h.tell(item)
		}
	}
}

func noticeName(seq uint64) string { return noticeSection + strconv.FormatUint(seq, 10) }

func (n *notice) append(b []byte) []byte {
	return protocol.AppendBin(protocol.AppendStr(b, n.event), n.body)
}
