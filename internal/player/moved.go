package player

import "gamed/protocol"

// appendMoved encodes the calls of the player's own that are open when he moves to another node, with their references: the answers
// come to him there.
func (p *Entity) appendMoved(b []byte) []byte {
	p.calls.Each(func(call *pending) {
		if call.resume != nil || call.left != "" { // rooms are told again
			return
		}
		for _, s := range []string{call.topic, call.tag, call.to.Name} {
			b = protocol.AppendStr(b, s)
		}
		b = protocol.AppendUint(protocol.AppendUint(b, call.to.Boot), call.ref)
	})
	return b
}

// parseMoved reads what appendMoved wrote, up to the first damage.
func parseMoved(b []byte) (open []*pending) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		call, good := &pending{}, true
		for _, s := range []*string{&call.topic, &call.tag, &call.to.Name} {
			v, ok := c.Text()
			*s, good = string(v), good && ok
		}
		boot, ok1 := c.Uint()
		ref, ok2 := c.Uint()
		if !good || !ok1 || !ok2 {
			break
		}
		call.to.Boot, call.ref = boot, ref
		open = append(open, call)
	}
	return open
}
