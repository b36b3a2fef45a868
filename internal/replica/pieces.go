package replica

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// source says whose state comes in pieces: that of an entity, from its owner or its owner before (from is zero), from a node
// that was asked for its copy.
type source struct {
	key  string
	from envelope.NodeID
}

// growing is a state of which some pieces have come.
type growing struct {
	entityCopy
	taken int    // bytes of pieces
	round uint64 // of Store when the last one came
}

// maxGrowing bounds the bytes of all states that are not complete. One more is refused, and sent again later.
const maxGrowing = 4 * MaxState

// grow takes a piece of a whole state, with its number and that of the one before. done is the state when it is complete; not ok:
// the piece does not follow, is damaged, or makes the state too large, and what was there before goes on.
func (s *Store) grow(c *copies, from source, e *envelope.Envelope, seq, before uint64) (done *entityCopy, ok bool) {
	g, more := c.growing[from], e.Flags&envelope.FlagMore != 0
	switch {
	case g != nil && g.of(e) && seq <= g.Seq && (more || e.Flags&envelope.FlagWhole != 0):
		return nil, more // it has that already
	case e.Flags&envelope.FlagWhole != 0:
		if g != nil && !g.of(e) && !g.Before(&Copy{Term: e.Term, Life: e.Conn, Seq: seq}) {
			return nil, false
		}
		s.drop(c, from)
		g = &growing{entityCopy: entityCopy{Copy: Copy{Life: e.Conn, Sections: state.Sections{}}}}
	case g == nil || !g.of(e) || g.Seq != before:
		return nil, false
	}
	if g.taken+len(e.Payload) > MaxState+MaxState/64 || s.growing+len(e.Payload) > maxGrowing {
		s.drop(c, from)
		return nil, false
	}
	n, err := g.Sections.Adopt(bytes.Clone(e.Payload))
	if err != nil {
		return nil, false
	}
	g.Term, g.Seq, g.round = e.Term, seq, s.round
	g.size += n
	if !more {
		s.drop(c, from)
		return &g.entityCopy, true
	}
	g.taken += len(e.Payload)
	s.growing += len(e.Payload)
	if c.growing == nil {
		c.growing = map[source]*growing{}
	}
	if c.growing[from] == nil {
		from.key = strings.Clone(from.key)
		c.growing[from] = g
	}
	return nil, true
}

// drop forgets the pieces from a source.
func (s *Store) drop(c *copies, from source) {
	if g := c.growing[from]; g != nil {
		s.growing -= g.taken
		delete(c.growing, from)
	}
}

// forget forgets the pieces from all sources that which names.
func (s *Store) forget(c *copies, which func(source, *growing) bool) {
	for from, g := range c.growing {
		if which(from, g) {
			s.drop(c, from)
		}
	}
}

// OwnState marks in the place of an outbox's life that a copy came from the owner itself, when it let the entity go; the rest is the
// term that he had it with. Of copies of one term it is the newest: no outbox has such a life.
const OwnState = 1 << 63

// Keep keeps the state of an entity that leaves this node, which owned it by this term, as a retired copy. The sections must not be
// changed any more.
func (s *Store) Keep(part uint16, key string, term uint64, sections state.Sections, now time.Time) {
	s.Put(part, key, Copy{Term: term, Life: OwnState | term, Sections: sections}, now)
}

// Put keeps a copy from another store, as a retired one, unless a newer one is here.
func (s *Store) Put(part uint16, key string, kept Copy, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(part)
	if old := c.entities[key]; old != nil && kept.Before(&old.Copy) {
		return
	}
	c.entities[key] = &entityCopy{Copy: kept}
	if c.retired.IsZero() {
		c.retired = now
	}
}

// Pass keeps a piece that a former owner gives, although another node owns the entity by now, as Keep does.
func (s *Store) Pass(e *envelope.Envelope, now time.Time) bool {
	if !s.sound(e) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	done, ok := s.grow(c, source{key: e.Key}, e, e.Ref, e.Offset)
	if done != nil {
		c.entities[strings.Clone(e.Key)] = done
		if c.retired.IsZero() {
			c.retired = now
		}
	}
	return ok || s.refuse()
}

// Fill takes a piece of another node's copy of an entity, which replaces an older one. Ref is the copy's number, Offset that of
// the piece.
func (s *Store) Fill(from envelope.NodeID, e *envelope.Envelope) bool {
	if !s.sound(e) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	by := source{key: e.Key, from: from}
	if e.Flags&envelope.FlagWhole != 0 {
		s.drop(c, by) // it may be another state that begins
	}
	done, ok := s.grow(c, by, e, e.Offset+1, e.Offset)
	if done != nil {
		done.Seq = e.Ref
		if old := c.entities[e.Key]; old == nil || old.Before(&done.Copy) {
			c.entities[strings.Clone(e.Key)] = done
		}
	}
	return ok || s.refuse()
}

// Keys are those of a partition's copies, in order.
func (s *Store) Keys(part uint16) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(part) < shard.Partitions && s.parts[part] != nil {
		for key := range s.parts[part].entities {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Peek gives one copy, and its state encoded.
func (s *Store) Peek(part uint16, key string) (c Copy, whole *state.Change, ok bool) {
	if c, ok = s.peek(part, key); ok {
		whole = c.Sections.Change() // not under the lock: it takes its time
		c.Sections = nil
	}
	return c, whole, ok
}

// peek gives one copy. The bytes of its sections are shared with the store, which never changes them.
func (s *Store) peek(part uint16, key string) (c Copy, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(part) >= shard.Partitions || s.parts[part] == nil || s.parts[part].entities[key] == nil {
		return c, false
	}
	c = s.parts[part].entities[key].Copy
	c.Sections = maps.Clone(c.Sections)
	return c, true
}

// Pieces are the envelopes that carry a whole state outside an outbox: e with its flags, payload, and, unless it is to Fill, its
// numbers. It stops when send fails.
func Pieces(e envelope.Envelope, whole *state.Change, send func(e *envelope.Envelope) error) error {
	cut := whole.Cut(defaultPiece)
	base := e.Flags | envelope.FlagWhole
	for n, more := uint64(0), true; more; n++ {
		e.Payload, more = cut.Next(nil)
		if e.Flags = base; more {
			e.Flags |= envelope.FlagMore
		}
		if base &^= envelope.FlagWhole; e.Flags&envelope.FlagFill == 0 {
			e.Ref = n + 1
		}
		e.Offset = n
		if err := send(&e); err != nil {
			return err
		}
	}
	return nil
}
