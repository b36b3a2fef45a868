package replica

import (
	"strings"
	"sync"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// Store is the copies this node keeps of entities that live on others. Safe for use by many goroutines.
type Store struct {
	mu    sync.Mutex // guards what follows
	parts [shard.Partitions]*copies
}

type copies struct {
	term     uint64 // the largest seen: changes of earlier owners are refused
	entities map[string]*entityCopy
	retired  time.Time // others own the partition and back it up since; zero: not so
}

type entityCopy struct {
	term, life uint64 // of the outbox it came from
	seq        uint64
	sections   state.Sections
}

// of says whether the copy comes from the outbox that sent the envelope, before says whether that one is an earlier one: of a
// term there is one owner, and it counts its outboxes.
func (c *entityCopy) of(e *envelope.Envelope) bool {
	return c != nil && c.term == e.Term && c.life == e.Conn
}

func (c *entityCopy) before(e *envelope.Envelope) bool {
	return c == nil || c.term < e.Term || c.term == e.Term && c.life < e.Conn
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

// Apply takes a Replicate envelope and says whether the copy now has everything up to it. When it has not (an earlier owner, a
// gap, damage) the owner sends the whole state again. One that comes twice, or late, changes nothing.
func (s *Store) Apply(e *envelope.Envelope) bool {
	if int(e.Part) >= shard.Partitions || shard.PartitionOf(e.Key) != e.Part {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	if e.Term < c.term {
		return false
	}
	c.term = e.Term
	c.retired = time.Time{}
	old := c.entities[e.Key]
	if old.of(e) && e.Ref <= old.seq {
		return true // it has that already
	}
	switch {
	case e.Flags&envelope.FlagDropped != 0:
		if old.of(e) {
			delete(c.entities, e.Key)
		}
		return true
	case e.Flags&envelope.FlagWhole != 0 && (old.of(e) || old.before(e)):
		anew := &entityCopy{term: e.Term, life: e.Conn, seq: e.Ref, sections: state.Sections{}}
		if anew.sections.Apply(e.Payload) != nil {
			return false
		}
		c.entities[strings.Clone(e.Key)] = anew
		return true
	case e.Flags&envelope.FlagWhole != 0, !old.of(e), old.seq != e.Offset:
		return false
	}
	if old.sections.Apply(e.Payload) != nil {
		return false
	}
	old.seq = e.Ref
	return true
}

// Take removes and returns the copies of a partition: this node becomes its owner.
func (s *Store) Take(part uint16) map[string]state.Sections {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.parts[part]
	if c == nil {
		return nil
	}
	out := make(map[string]state.Sections, len(c.entities))
	for k, e := range c.entities {
		out[k] = e.sections
	}
	c.entities = map[string]*entityCopy{}
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

// Purge drops what was retired before then.
func (s *Store) Purge(then time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.parts {
		if c != nil && !c.retired.IsZero() && c.retired.Before(then) {
			c.entities = map[string]*entityCopy{}
		}
	}
}

// Keep keeps the whole state of an entity that goes to another node, as a retired copy.
func (s *Store) Keep(e *envelope.Envelope, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	kept := &entityCopy{seq: e.Ref, sections: state.Sections{}}
	if kept.sections.Apply(e.Payload) == nil {
		c.entities[strings.Clone(e.Key)] = kept
		if c.retired.IsZero() {
			c.retired = now
		}
	}
}

// Fill takes the whole state of an entity of which there is no copy.
func (s *Store) Fill(e *envelope.Envelope) {
	if int(e.Part) >= shard.Partitions || shard.PartitionOf(e.Key) != e.Part {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.part(e.Part)
	filled := &entityCopy{sections: state.Sections{}}
	if c.entities[e.Key] == nil && filled.sections.Apply(e.Payload) == nil {
		c.entities[strings.Clone(e.Key)] = filled
	}
}

// Peek gives the whole state of each copy of a partition, encoded.
func (s *Store) Peek(part uint16) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.parts[part]
	if c == nil {
		return nil
	}
	out := make(map[string][]byte, len(c.entities))
	for key, e := range c.entities {
		whole := e.sections.Change()
		out[key] = whole.Append(nil)
	}
	return out
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
