package replica

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// Store is the copies this node keeps of entities that live on others. Safe for use by many goroutines.
type Store struct {
	refused atomic.Uint64

	mu      sync.Mutex // guards what follows
	parts   [shard.Partitions]*copies
	growing int    // bytes of states that are not complete
	round   uint64 // of Purge
}

type copies struct {
	term     uint64 // the largest seen: changes of earlier owners are refused
	entities map[string]*entityCopy
	growing  map[source]*growing // states that come in pieces
	retired  time.Time           // others own the partition and back it up since; zero: not so
}

// Copy is an entity's state with the place it has among all copies of it.
type Copy struct {
	Term, Life uint64 // of the outbox it came from; 0: of none
	Seq        uint64 // of the last change in it
	Sections   state.Sections
}

type entityCopy struct {
	Copy
	size int // of the sections
}

// of says whether the copy comes from the outbox that sent the envelope. Its owner may own by a larger term since: the numbers of
// outboxes are never those of others.
func (c *Copy) of(e *envelope.Envelope) bool {
	return c.Life == e.Conn && (c.Term == e.Term || c.Life != 0 && c.Term < e.Term)
}

// Before says whether the other copy is newer: of a term there is one owner, and it counts its outboxes.
func (c *Copy) Before(o *Copy) bool {
	if c.Term != o.Term {
		return c.Term < o.Term
	}
	return c.Life < o.Life || c.Life == o.Life && c.Seq < o.Seq
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{} }

// Fence makes the store refuse changes of the partition by owners before term.
func (s *Store) Fence(part uint16, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(part)
	c.term = max(c.term, term)
}

func (s *Store) part(part uint16) *copies {
	if s.parts[part] == nil {
		s.parts[part] = &copies{entities: map[string]*entityCopy{}}
	}
	return s.parts[part]
}

// sound says whether an envelope is of the entity and partition it names, and counts it if not.
func (s *Store) sound(e *envelope.Envelope) bool {
	return int(e.Part) < shard.Partitions && shard.PartitionOf(e.Key) == e.Part || s.refuse()
}

func (s *Store) refuse() bool {
	s.refused.Add(1)
	return false
}

// Refused is how many envelopes were not taken: damaged, too large, of earlier owners, or after a gap.
func (s *Store) Refused() uint64 { return s.refused.Load() }

// Apply takes a Replicate envelope and says whether what this node has now goes up to it: a piece of a whole state, or a change of
// a complete copy. When not (an earlier owner, a gap, damage) the owner sends the whole state again. One that comes twice, or late,
// changes nothing.
func (s *Store) Apply(e *envelope.Envelope) bool {
	if !s.sound(e) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	if e.Term < c.term {
		return s.refuse()
	}
	c.term = e.Term
	c.retired = time.Time{}
	old, more := c.entities[e.Key], e.Flags&envelope.FlagMore != 0
	switch ours := old != nil && old.of(e); {
	case ours && e.Ref <= old.Seq:
		return true // it has that already
	case e.Flags&envelope.FlagDropped != 0:
		if ours {
			delete(c.entities, e.Key)
		}
		return true
	case e.Flags&envelope.FlagWhole != 0 && !ours && old != nil && !old.Before(&Copy{Term: e.Term, Life: e.Conn, Seq: e.Ref}):
		return s.refuse()
	case ours && e.Conn != 0 && !more && e.Flags&envelope.FlagWhole == 0 && old.Seq == e.Offset:
		return old.apply(e) || s.refuse()
	}
	done, ok := s.grow(c, source{key: e.Key}, e, e.Ref, e.Offset)
	if !ok {
		return s.refuse()
	}
	if done != nil {
		c.entities[strings.Clone(e.Key)] = done
	}
	return true
}

// apply takes the next change.
func (c *entityCopy) apply(e *envelope.Envelope) bool {
	if c.size+len(e.Payload) > MaxState {
		return false
	}
	n, err := c.Sections.Grow(e.Payload)
	if err != nil {
		return false
	}
	c.size += n
	c.Term, c.Seq = e.Term, e.Ref
	return true
}

// Take removes and returns the copies of a partition: this node becomes its owner. States that have not come completely are none.
func (s *Store) Take(part uint16) map[string]state.Sections {
	out := map[string]state.Sections{}
	for k, c := range s.TakeCopies(part) {
		out[k] = c.Sections
	}
	return out
}

// TakeCopies is Take that tells where the copies are from.
func (s *Store) TakeCopies(part uint16) map[string]Copy {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.parts[part]
	if c == nil {
		return nil
	}
	out := make(map[string]Copy, len(c.entities))
	for k, e := range c.entities {
		out[k] = e.Copy
	}
	c.entities, c.retired = map[string]*entityCopy{}, time.Time{}
	s.forget(c, func(source, *growing) bool { return true })
	return out
}

// Retire says that others own the partition and back it up. Its copies are kept until Purge: the new owner may die before its
// backup has everything.
func (s *Store) Retire(part uint16, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.parts[part]; c != nil && c.retired.IsZero() {
		c.retired = now
	}
}

// Hold says that nobody owns the partition: its copies stay until somebody does.
func (s *Store) Hold(part uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.parts[part]; c != nil {
		c.retired = time.Time{}
	}
}

// Purge drops what was retired before then, and the pieces of states of which none has come since the Purge before the last.
func (s *Store) Purge(then time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	for _, c := range s.parts {
		if c == nil {
			continue
		}
		old := !c.retired.IsZero() && c.retired.Before(then)
		if old {
			c.entities = map[string]*entityCopy{}
		}
		s.forget(c, func(_ source, g *growing) bool { return old || g.round+1 < s.round })
	}
}

// Len is how many copies are kept.
func (s *Store) Len() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.parts {
		if c != nil {
			n += len(c.entities)
		}
	}
	return n
}
