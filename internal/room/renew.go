package room

import (
	"gamed/game"
	"gamed/internal/shard"
	"gamed/protocol"
)

// renewed gives pushes that are sent again, those after offset from, as the game wants them sent now. The history keeps them as
// they were.
func (h *Home) renewed(w *shard.Worker, frames [][]byte, from uint64) [][]byte {
	r, ok := h.impl.(game.Replayer)
	if !ok || len(frames) == 0 || h.q.Left(w.Now()) > 0 {
		return frames
	}
	c := h.begin(w, nil, nil)
	out := make([][]byte, 0, len(frames))
	if !h.run(w, func() {
		for i, f := range frames {
			p, ok := protocol.ParsePush(f[protocol.LengthSize:])
			if !ok {
				out = append(out, f)
				continue
			}
			offset := from + uint64(i) + 1
			now := r.Replay(c, offset, string(p.Event), game.Payload(p.Payload))
			out = append(out, protocol.AppendPush(nil, h.topic, offset, string(p.Event), plain(now)))
		}
	}) {
		return frames
	}
	return out
}
