package room

import (
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// split is what a room keeps for the merge after a split of the network. Few have it.
type split struct {
	forks []byte // the section state.ForkSection as it came
	spoke int64  // state.SpokeSection
}

// noteSpoke notes while the cluster is degraded that a client changed something with the message being handled.
func (h *Home) noteSpoke(w *shard.Worker) {
	if h.l.change.Empty() && h.dirty == 0 || h.d.Degraded == nil || !h.d.Degraded() {
		return
	}
	if h.split == nil {
		h.split = &split{}
	}
	h.split.spoke = w.Now().UnixMilli()
	h.l.change.Put(state.SpokeSection, protocol.AppendInt(nil, h.split.spoke))
}

func (h *Home) recordSplit(c *state.Change) {
	if h.split == nil {
		return
	}
	if h.split.forks != nil {
		c.Put(state.ForkSection, h.split.forks)
	}
	if h.split.spoke != 0 {
		c.Put(state.SpokeSection, protocol.AppendInt(nil, h.split.spoke))
	}
}

func (h *Home) restoreSplit(sections state.Sections) {
	forks := sections[state.ForkSection]
	c := protocol.NewCursor(sections[state.SpokeSection])
	if spoke, _ := c.Int(); forks != nil || spoke != 0 {
		h.split = &split{forks, spoke}
	}
}

// Unfork forgets that there may be another copy of the room on another side of a split. It is to be called when none can come back:
// the table is not degraded, and nothing waits to be merged.
func (h *Home) Unfork(w *shard.Worker) {
	if h.split == nil {
		return
	}
	h.start()
	h.split = nil
	h.l.change.Delete(state.ForkSection)
	h.l.change.Delete(state.SpokeSection)
	h.finish(w)
}

// askUnsure asks the entities of members whether they are members: of those on whom the sides of a split did not agree, and of those
// without a socket whose gateway is there. It had been taken for gone; when its socket is still the player's, he does not know that
// he hears nothing of the room.
func (h *Home) askUnsure(alive func(envelope.NodeID) bool) {
	for _, m := range h.members.order {
		if m != nil && (m.session == "" || m.conn == 0 && alive(m.node)) {
			h.o.Route(&envelope.Envelope{Kind: envelope.Cast, Key: envelope.PlayerPrefix + m.name, Topic: h.topic, Flags: envelope.FlagConfirm, From: h.key})
		}
	}
}
