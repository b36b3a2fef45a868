package room

import (
	"slices"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// appendMoved encodes the room's calls that are open when it moves to another node, with their references: the answers come to it
// there.
func (h *Home) appendMoved(b []byte) []byte {
	h.calls.Each(func(call *asked) {
		b = protocol.AppendStr(protocol.AppendStr(b, call.tag), call.to.Name)
		b = protocol.AppendUint(protocol.AppendUint(b, call.to.Boot), call.ref)
	})
	return b
}

// parseMoved reads what appendMoved wrote, up to the first damage.
func parseMoved(b []byte) (open []*asked) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		tag, ok1 := c.Text()
		name, ok2 := c.Text()
		boot, ok3 := c.Uint()
		ref, ok4 := c.Uint()
		if !ok1 || !ok2 || !ok3 || !ok4 {
			break
		}
		call := &asked{tag: string(tag), ref: ref}
		call.to.Name, call.to.Boot = string(name), boot
		open = append(open, call)
	}
	return open
}

// restoreCalls takes back what waited for an answer. After a move the answers come here; otherwise they went to the old owner, so the
// calls fail at once.
func (h *Home) restoreCalls(now time.Time, b, moved []byte) {
	open := parseMoved(moved)
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		tag, ok := c.Text()
		if !ok {
			break
		}
		i := slices.IndexFunc(open, func(o *asked) bool { return o.tag == string(tag) })
		if i >= 0 && h.calls.Resume(open[i].ref, open[i], now.Add(game.CallTimeout)) {
			open = slices.Delete(open, i, i+1)
			continue
		}
		h.again = append(h.again, later{now, &asked{tag: string(tag)}})
	}
}
