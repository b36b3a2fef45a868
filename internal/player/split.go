package player

import (
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// split is what a player keeps for the merge after a split of the network. Few have it.
type split struct {
	forks []byte // the section state.ForkSection as it came
	spoke int64  // state.SpokeSection
}

// noteSpoke notes while the cluster is degraded that the client changed something with the message being handled.
func (p *Entity) noteSpoke(w *shard.Worker) {
	if p.l.change.Empty() && p.dirty == 0 || !p.d.Degraded() {
		return
	}
	if p.split == nil {
		p.split = &split{}
	}
	p.split.spoke = w.Now().UnixMilli()
	p.l.change.Put(state.SpokeSection, protocol.AppendInt(nil, p.split.spoke))
}

func (p *Entity) recordSplit(c *state.Change) {
	if p.split == nil {
		return
	}
	if p.split.forks != nil {
		c.Put(state.ForkSection, p.split.forks)
	}
	if p.split.spoke != 0 {
		c.Put(state.SpokeSection, protocol.AppendInt(nil, p.split.spoke))
	}
}

func (p *Entity) restoreSplit(sections state.Sections) {
	forks := sections[state.ForkSection]
	c := protocol.NewCursor(sections[state.SpokeSection])
	if spoke, _ := c.Int(); forks != nil || spoke != 0 {
		p.split = &split{forks, spoke}
	}
}

// Unfork forgets that there may be another copy of the player on another side of a split. It is to be called when none can come back:
// the table is not degraded, and nothing waits to be merged.
func (p *Entity) Unfork(w *shard.Worker) {
	if p.split == nil {
		return
	}
	p.start()
	p.split = nil
	p.l.change.Delete(state.ForkSection)
	p.l.change.Delete(state.SpokeSection)
	p.finish(w)
}

// roomAsks answers a room that was merged and does not know whether the player is a member: a client that should be resumes and
// says so, of another it hears that it has left.
func (p *Entity) roomAsks(w *shard.Worker, e *envelope.Envelope) {
	switch {
	case !p.s.in(e.Topic):
		p.o.Route(&envelope.Envelope{Kind: envelope.Cast, Key: envelope.RoomKey(e.Topic), Topic: e.Topic, Flags: envelope.FlagLeft, From: p.key})
	case p.s.conn != 0:
		p.send(envelope.FlagClose, protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeMoved, Reason: "topic " + e.Topic + " was merged after a split: resume", RetryMS: comeAgain.Milliseconds()}))
		p.cut(w)
	}
}
