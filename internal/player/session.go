package player

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// session is a player's conversation. It outlives sockets by the session TTL.
type session struct {
	id      string // 128 random bits in hex
	node    envelope.NodeID
	conn    uint64 // on node; 0: no socket
	text    bool   // the client speaks JSON or words
	role    string
	began   uint64 // the own stream's position when it began
	expires time.Time
	answers answers
	open    []openCall
	topics  []string
	resume  *resume   // rooms that have not said yet what was missed
	unseen  time.Time // not zero: its gateway has not said yet what the socket has of the own stream, and is asked then
}

// resume collects the rooms' answers that WELCOME has to tell.
type resume struct {
	from   uint64 // the own stream goes on after this
	left   int
	seen   []protocol.Seen
	missed []protocol.Missed
	until  time.Time // rooms are asked again until then
}

func (s *session) isOpen(ref uint64) bool {
	return slices.ContainsFunc(s.open, func(o openCall) bool { return o.ref == ref })
}

// closeCall takes a call off the open ones, and says whether the backup knows it.
func (s *session) closeCall(ref uint64) (saved bool) {
	i := slices.IndexFunc(s.open, func(o openCall) bool { return o.ref == ref })
	if i < 0 {
		return false
	}
	saved = s.open[i].saved
	s.open = slices.Delete(s.open, i, i+1)
	return saved
}

func (s *session) in(topic string) bool { return s != nil && slices.Contains(s.topics, topic) }

func newSessionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// hello begins a session, or goes on with the one named.
func (p *Entity) hello(w *shard.Worker, e *envelope.Envelope) {
	if p.ask(e) {
		return
	}
	defer p.confirmed(w, e)
	seen, _ := protocol.ParseSeen(e.Payload) // made by the gateway; nothing seen when it is damaged
	s := p.s
	again := s != nil && s.conn != 0 && p.current(e) // the same HELLO, sent again because the owner is another
	resumed := s != nil && e.Session == s.id
	if s != nil && s.conn != 0 && !again {
		p.send(envelope.FlagClose, protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeReplaced, Reason: "the player said hello on another connection", RetryMS: -1}))
		s.conn = 0
	}
	if s != nil && !resumed && !again {
		p.end(w)
	}
	if p.s == nil {
		s = &session{id: newSessionID(), began: p.own.Offset()}
		p.s = s
		p.d.Metrics.sessions.Add(1)
	}
	wasText := s.text
	s.node, s.conn, s.text, s.role = p.gateway(e), e.Conn, e.Flags&envelope.FlagText != 0, e.Role
	s.expires = time.Time{}
	p.dirty |= dirtySession
	if wasText && !s.text {
		s.answers.normalize()
	}
	s.unseen = time.Time{}
	s.resume = &resume{seen: seen, from: s.began, until: w.Now().Add(helloWait)}
	if !resumed {
		p.welcome(false)
		return
	}
	if from, named := seenOf(seen, ""); named && s.began != otherStream {
		s.resume.from = from
	}
	for _, topic := range s.topics {
		s.resume.left++
		p.askRoom(w, &pending{topic: topic, resume: s.resume})
	}
	if s.resume.left == 0 {
		p.welcome(true)
	}
}

// askRoom asks a room to go on with the stream at the session's connection.
func (p *Entity) askRoom(w *shard.Worker, call *pending) {
	s := p.s
	offset, named := seenOf(s.resume.seen, call.topic)
	e := envelope.Envelope{Kind: envelope.Call, Key: envelope.RoomKey(call.topic), Topic: call.topic, From: p.key, FromTopic: call.topic, TTL: helloWait,
		Flags: envelope.FlagResume, Offset: offset, Conn: s.conn, Node: s.node, Session: s.id}
	if named {
		e.Event = "seen"
	}
	call.to = p.owner(e.Key)
	if !p.wait(call, s.resume.until) {
		p.again = append(p.again, later{w.Now().Add(resumeEvery), call})
		return
	}
	e.Ref = call.ref
	p.o.Route(&e)
}

// resumed takes a room's answer: offset 1 says that something was missed.
func (p *Entity) resumed(w *shard.Worker, call *pending, a game.Answer, offset uint64) {
	s, r := p.s, call.resume
	if s == nil || s.resume != r {
		return // another hello came meanwhile
	}
	switch {
	case a.Code == protocol.CodeOK:
		r.missed = append(r.missed, protocol.Missed{Topic: call.topic, Missed: offset != 0})
	case a.Code == protocol.CodeNotFound: // the room does not know the member any more
		p.leave(call.topic)
		p.notifyLeft(w, call.topic)
		r.missed = append(r.missed, protocol.Missed{Topic: call.topic, Missed: true})
	case w.Now().Add(resumeEvery).Before(r.until): // its owner fails over
		p.again = append(p.again, later{w.Now().Add(resumeEvery), call})
		return
	default:
		p.send(envelope.FlagClose, protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeUnavailable, Reason: "topic " + call.topic + " cannot be reached", RetryMS: 1000}))
		p.cut(w)
		return
	}
	if r.left--; r.left == 0 {
		p.welcome(true)
	}
}

// cut notes that the session has no socket any more.
func (p *Entity) cut(w *shard.Worker) {
	p.s.conn, p.s.resume, p.s.unseen = 0, nil, time.Time{}
	p.s.expires = w.Now().Add(p.d.SessionTTL)
	p.dirty |= dirtySession
}

// welcome begins the conversation on the session's connection; what was missed of the own stream follows.
func (p *Entity) welcome(resumed bool) {
	s := p.s
	from, all := s.resume.from, s.resume.missed
	frames, missed := p.own.Since(from)
	if missed {
		from = p.own.Offset()
	}
	if s.began == otherStream {
		s.began = from
		p.dirty |= dirtySession
	}
	if resumed {
		all = append([]protocol.Missed{{Topic: "", Missed: missed}}, all...)
	}
	f := protocol.AppendWelcome(nil, protocol.Welcome{Player: p.Name(), Session: s.id, Node: s.node.Name, Resumed: resumed,
		Missed: all, Degraded: p.d.Degraded(), HeartbeatMS: p.d.HeartbeatMS, Limits: p.d.Limits})
	s.resume = nil
	p.o.ToNode(s.node, &envelope.Envelope{Kind: envelope.Out, Key: p.key, Conn: s.conn, Flags: envelope.FlagWelcome, Offset: from, Payload: f})
	p.live(frames)
}

// gone notes that the client's socket ended, or that the client left for good.
func (p *Entity) gone(w *shard.Worker, e *envelope.Envelope) {
	if e.Flags&envelope.FlagBye != 0 { // behind the answers that are on their way out
		p.sendTo(p.gateway(e), e.Conn, envelope.FlagClose, nil)
	}
	if p.isAsked(e) {
		p.asked = nil
		return
	}
	s := p.s
	if s == nil || !p.current(e) {
		return
	}
	p.cut(w)
	if e.Flags&envelope.FlagBye != 0 {
		p.end(w)
	}
}

// end ends the session: its topics are left.
func (p *Entity) end(w *shard.Worker) {
	s := p.s
	topics := s.topics
	s.topics = nil
	for _, topic := range topics {
		p.unindex(topic)
		p.tellLeft(w, &pending{topic: topic, left: s.id})
	}
	for _, topic := range topics {
		p.notifyLeft(w, topic)
	}
	p.s = nil
	p.dirty |= dirtySession
	p.endAnswers(s)
	p.d.Metrics.sessions.Add(-1)
}

// Status is what an operator sees of a player.
type Status struct {
	Gateway string
	Session string // the first 6 characters
	Refs    []uint64
	Topics  []string
	Live    bool // it has a session
}

// Status gives the player's state.
func (p *Entity) Status() Status {
	s := p.s
	if s == nil {
		return Status{}
	}
	st := Status{Live: true, Session: s.id[:6], Refs: s.answers.last(8), Topics: append([]string{}, s.topics...)}
	if s.conn != 0 {
		st.Gateway = s.node.Name
	}
	return st
}

// Announce pushes to the client outside the player's stream (offset 0), best effort.
func (p *Entity) Announce(w *shard.Worker, event string, payload game.Payload) {
	p.start()
	if p.s != nil && p.s.conn != 0 {
		p.l.out = protocol.AppendPush(p.l.out, "", 0, event, payload)
	}
	p.finish(w)
}

// Kick ends the session and its socket.
func (p *Entity) Kick(w *shard.Worker, reason string) bool {
	if p.s == nil {
		return false
	}
	p.start()
	if p.s.conn != 0 {
		p.send(envelope.FlagClose, protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeKicked, Reason: reason, RetryMS: -1}))
	}
	p.s.conn = 0
	p.end(w)
	p.finish(w)
	return true
}

// expire ends what has waited too long: the session, calls.
func (p *Entity) expire(w *shard.Worker) {
	s, now := p.s, w.Now()
	if s == nil {
		return
	}
	for i := 0; i < len(s.open); {
		if o := s.open[i]; !o.deadline.After(now) {
			p.settle(o.ref, failed(protocol.CodeUnavailable, 100*time.Millisecond, "no answer within 10 s"))
			continue // settle removed it
		}
		i++
	}
	if s.conn == 0 && !s.expires.IsZero() && !s.expires.After(now) {
		if p.outOfSight(s.node) {
			s.expires = now.Add(p.d.SessionTTL)
			return
		}
		p.end(w)
	}
}

// outOfSight says whether a gateway fell silent and may live on the other side of a split, with the client's socket still open: his
// session does not expire until it is back, or known to be dead.
func (p *Entity) outOfSight(gateway envelope.NodeID) bool {
	return slices.ContainsFunc(p.d.Replica.Router.Table().Missing, func(m shard.Missing) bool { return m.ID == gateway && !m.Dead })
}

func (p *Entity) sessionDeadline() (at time.Time, ok bool) {
	s := p.s
	if s == nil {
		return at, false
	}
	if s.conn == 0 {
		at, ok = s.expires, true
	}
	for _, o := range s.open {
		if !ok || o.deadline.Before(at) {
			at, ok = o.deadline, true
		}
	}
	return at, ok
}

// joined notes that the room of topic has the player as a member. He hears of its notices after number noticed.
func (p *Entity) joined(w *shard.Worker, topic string, noticed uint64) {
	if p.s.in(topic) {
		return
	}
	if len(p.s.topics) >= maxTopics {
		p.tellLeft(w, &pending{topic: topic, left: p.s.id})
		return
	}
	p.s.topics = append(p.s.topics, topic)
	p.dirty |= dirtySession | dirtyState
	p.index(topic)
	if pt := p.find(topic); pt != nil && noticed != pt.noticed {
		pt.noticed = noticed
		p.recordNoticed(pt)
	}
}

// index makes the worker tell the player part what the room of topic tells its members.
func (p *Entity) index(topic string) {
	if p.find(topic) == nil {
		return
	}
	m := p.l.topics[topic]
	if m == nil {
		m = map[*Entity]struct{}{}
		p.l.topics[topic] = m
	}
	m[p] = struct{}{}
}

func (p *Entity) leave(topic string) {
	if i := slices.Index(p.s.topics, topic); i >= 0 {
		p.s.topics = slices.Delete(p.s.topics, i, i+1)
		p.dirty |= dirtySession | dirtyState
		p.unindex(topic)
	}
}

func (p *Entity) unindex(topic string) {
	m := p.l.topics[topic]
	delete(m, p)
	if len(m) == 0 {
		delete(p.l.topics, topic)
	}
}

// leftRoom is the room's word that the membership ended without our asking.
func (p *Entity) leftRoom(w *shard.Worker, e *envelope.Envelope) {
	if p.s == nil || p.s.id != e.Session || !p.s.in(e.Topic) {
		return
	}
	p.leave(e.Topic)
	p.notifyLeft(w, e.Topic)
}

func (p *Entity) notifyLeft(w *shard.Worker, topic string) {
	pt := p.find(topic)
	if pt == nil {
		return
	}
	p.invoke(w, pt, func(c *game.Context) {
		if h, ok := pt.impl.(game.Leaver); ok {
			h.Left(c, p.Name())
		}
	})
}
