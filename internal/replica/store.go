package replica

import (
	"strings"
	"sync"

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
}

type entityCopy struct {
	term, life uint64 // of the outbox it came from
	seq        uint64
	sections   state.Sections
}

// has says whether the copy has what the envelope brings.
func (c *entityCopy) has(e *envelope.Envelope) bool {
	return c != nil && c.term == e.Term && c.life == e.Conn && e.Ref <= c.seq
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
	old := c.entities[e.Key]
	if old.has(e) {
		return true
	}
	switch {
	case e.Flags&envelope.FlagDropped != 0:
		if old != nil && old.term == e.Term && old.life == e.Conn {
			delete(c.entities, e.Key)
		}
		return true
	case e.Flags&envelope.FlagWhole != 0:
		anew := &entityCopy{term: e.Term, life: e.Conn, seq: e.Ref, sections: state.Sections{}}
		if anew.sections.Apply(e.Payload) != nil {
			return false
		}
		c.entities[strings.Clone(e.Key)] = anew
		return true
	case old == nil || old.term != e.Term || old.life != e.Conn || old.seq != e.Offset:
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

// Forget drops the copies of a partition that others own and back up.
func (s *Store) Forget(part uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.parts[part]; c != nil {
		c.entities = map[string]*entityCopy{}
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
