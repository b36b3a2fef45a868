package room

import (
	"slices"
	"strconv"
	"strings"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/protocol"
)

// answered remembers a client's call that changed something, so that one that comes again through another owner of the player is
// done once, and gets the first answer.
type answered struct {
	name, session string
	ref           uint64
	order         uint64 // of all calls remembered by the room
	answer        game.Answer
}

// How many calls are remembered.
const (
	recentCalls = 64      // of a member: no client has more open
	pastCalls   = 64      // of all that ended a membership
	allCalls    = 1 << 16 // of all members: a crowd that talks must not make the room too large for a backup
)

// turn is a remembered call's place among all of the room. Its member may have forgotten it, or be gone.
type turn struct {
	name  string
	order uint64
}

// took notes that a member has remembered a call. The oldest one is forgotten when there are too many, and returned.
func (r *roster) took(k *answered) (old answered, ok bool) {
	r.turns = append(r.turns, turn{k.name, k.order})
	if len(r.turns) <= allCalls {
		return old, false
	}
	first := r.turns[0]
	r.turns = r.turns[1:]
	m := r.byName[first.name]
	if m == nil || len(m.recent) == 0 || m.recent[0].order != first.order {
		return old, false
	}
	old = m.recent[0]
	m.recent = slices.Delete(m.recent, 0, 1)
	return old, true
}

// answered gives the first answer to a client's call that came again.
func (r *roster) answered(name string, e *envelope.Envelope) (game.Answer, bool) {
	if e.Flags&envelope.FlagClient == 0 || e.Ref == 0 {
		return game.Answer{}, false
	}
	if m := r.byName[name]; m != nil && m.session == e.Session {
		for i := range m.recent {
			if m.recent[i].ref == e.Ref {
				return m.recent[i].answer, true
			}
		}
	}
	for i := range r.past {
		if p := &r.past[i]; p.ref == e.Ref && p.session == e.Session && p.name == name {
			return p.answer, true
		}
	}
	return game.Answer{}, false
}

// keep remembers the answer to a client's call.
func (h *Home) keep(name string, e *envelope.Envelope, a game.Answer) {
	a.Payload = a.Payload.Clone()
	h.remembered++
	k := answered{name: strings.Clone(name), session: e.Session, ref: e.Ref, order: h.remembered, answer: a}
	m := h.members.byName[name]
	switch {
	case m != nil && m.session == e.Session:
		if len(m.recent) == recentCalls {
			h.l.change.Delete(m.recent[0].section())
			m.recent = slices.Delete(m.recent, 0, 1)
		}
		m.recent = append(m.recent, k)
		if old, ok := h.members.took(&k); ok {
			h.l.change.Delete(old.section())
		}
	case m == nil && e.Session != "": // its last call, or one of nobody in the room
		past := &h.members.past
		if len(*past) == pastCalls {
			h.l.change.Delete((*past)[0].section())
			*past = slices.Delete(*past, 0, 1)
		}
		*past = append(*past, k)
	default:
		return
	}
	h.l.scratch = k.append(h.l.scratch[:0])
	h.l.change.Put(k.section(), h.l.scratch)
}

// forget takes a member and its calls from the backup.
func (h *Home) forget(m *member) {
	h.l.change.Delete(memberSection + m.name)
	for i := range m.recent {
		h.l.change.Delete(m.recent[i].section())
	}
}

// section names a remembered call; players' names and sessions hold no slash.
func (k *answered) section() string {
	return recentSection + k.name + "/" + k.session + "/" + strconv.FormatUint(k.ref, 10)
}

func (k *answered) append(b []byte) []byte {
	b = protocol.AppendUint(b, k.order)
	b = protocol.AppendStr(b, string(k.answer.Code))
	return protocol.AppendBin(b, envelope.AnswerPayload(k.answer))
}

func parseAnswered(name string, b []byte) (k answered, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return k, false
	}
	c := protocol.NewCursor(b)
	ref, err := strconv.ParseUint(parts[2], 10, 64)
	order, ok1 := c.Uint()
	code, ok2 := c.Text()
	payload, ok3 := c.Text()
	a := envelope.AnswerOf(string(code), append([]byte{}, payload...))
	return answered{parts[0], parts[1], ref, order, a}, err == nil && ok1 && ok2 && ok3
}
