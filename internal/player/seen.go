package player

import "gamed/protocol"

func seenOf(seen []protocol.Seen, topic string) (uint64, bool) {
	for _, s := range seen {
		if s.Topic == topic {
			return s.Offset, true
		}
	}
	return 0, false
}
