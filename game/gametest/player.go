package gametest

import (
	"time"

	"gamed/game"
	"gamed/protocol"
)

// Player is a player with a client that sees every push.
type Player struct {
	w       *World
	name    string
	role    string
	own     uint64 // the position of his own stream
	unseen  []Push
	last    map[string]game.Payload // by topic and event: the last push
	replies map[string]game.Payload // by topic and event: the last ok answer
	joined  string                  // the topic joined last
}

// clientTimeout is how long a client's call is open.
const clientTimeout = 10 * time.Second

// Player gives the player of that name, who appears when first asked for. He may do everything, as without authentication, until
// [Player.SetRole] says otherwise.
func (w *World) Player(name string) *Player {
	if p := w.players[name]; p != nil {
		return p
	}
	if !protocol.ValidPlayer(name) {
		w.t.Fatalf("gametest: %q is no player's name", name)
	}
	p := &Player{w: w, name: name, role: game.AnyRole, last: map[string]game.Payload{}, replies: map[string]game.Payload{}}
	w.players[name] = p
	return p
}

// Name is the player's name.
func (p *Player) Name() string { return p.name }

// SetRole is the role in the player's token from now on; "" for none.
func (p *Player) SetRole(role string) { p.role = role }

// Call sends a call of the player's client and waits for its answer; see [Pending.Wait]. payload is nil (no payload), a
// game.Payload, a *game.Map, or anything msgpack encodes; [JSON] is what a client of that dialect sends.
func (p *Player) Call(topic, event string, payload any) (protocol.Code, game.Payload) {
	p.w.t.Helper()
	code, answer := p.Start(topic, event, payload).Wait()
	if code == protocol.CodeOK {
		p.replies[topic+" "+event] = answer.Clone()
		if event == "join" {
			p.joined = topic
		}
	}
	return code, answer
}

// Start sends a call and does not wait.
func (p *Player) Start(topic, event string, payload any) *Pending {
	p.w.t.Helper()
	m := message{from: game.Address{Player: p.name, Topic: topic}, event: event, payload: p.w.encode(payload), client: true, role: p.role}
	m.to = game.Address{Topic: topic}
	if name, _, ok := protocol.SplitTopic(topic); ok && p.w.games[name] != nil && p.w.games[name].Player != nil {
		m.to.Player = p.name
	}
	return p.w.begin(m, clientTimeout)
}

// OK is Call; anything but ok fails the test at once.
func (p *Player) OK(topic, event string, payload any) Value {
	p.w.t.Helper()
	code, answer := p.Call(topic, event, payload)
	v := Value{p.w.t, answer}
	if code != protocol.CodeOK {
		p.w.t.Fatalf("%s: %s %s: %s %s", p.name, topic, event, code, v)
	}
	return v
}

// Refused is Call; another answer than this code fails the test.
func (p *Player) Refused(code protocol.Code, topic, event string, payload any) {
	p.w.t.Helper()
	if got, answer := p.Call(topic, event, payload); got != code {
		p.w.t.Errorf("%s: %s %s: %s %s, want %s", p.name, topic, event, got, Value{p.w.t, answer}, code)
	}
}

// End ends the player's session, as BYE does or a minute without a socket: his memberships end.
func (p *Player) End() {
	p.w.settle()
	for _, topic := range p.w.topicsOf(p.name) {
		r := p.w.rooms[topic]
		r.begin(nil)
		r.Remove(p.name)
		p.w.queue = append(p.w.queue, func() { p.w.left(game.Address{Topic: topic}, p.name) })
		if own := (game.Address{Player: p.name, Topic: topic}); p.w.find(own) != nil {
			p.w.queue = append(p.w.queue, func() { p.w.left(own, p.name) })
		}
	}
	p.w.settle()
}

// Push is what the server sent to a player's client on its own account. Offset 0: not part of the topic's stream.
type Push struct {
	Topic  string
	Offset uint64
	Event  string
	Value
}

// String is the push as word mode prints it.
func (p Push) String() string {
	topic := p.Topic
	if topic == "" {
		topic = "-"
	}
	return topic + " " + p.Event + " " + p.Value.String()
}

func (p *Player) receive(topic string, offset uint64, event string, payload game.Payload) {
	payload = payload.Clone()
	p.last[topic+" "+event] = payload
	p.unseen = append(p.unseen, Push{topic, offset, event, Value{p.w.t, payload}})
}

// Pushes are those that came since the last call, in order.
func (p *Player) Pushes() []Push {
	p.w.settle()
	all := p.unseen
	p.unseen = nil
	return all
}

// Push takes the oldest push of that event that was not taken yet; without one the test ends here.
func (p *Player) Push(event string) Push {
	p.w.t.Helper()
	p.w.settle()
	for i, push := range p.unseen {
		if push.Event == event {
			p.unseen = append(p.unseen[:i:i], p.unseen[i+1:]...)
			return push
		}
	}
	p.w.t.Fatalf("%s: no push %q; there are %v", p.name, event, p.unseen)
	return Push{}
}
