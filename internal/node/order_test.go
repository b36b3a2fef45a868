package node

import (
	"fmt"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/config"
	"gamed/protocol"
)

// TestOrderHoldsWhileEverythingMoves has players speak without waiting for answers while partitions move to a new node and back.
func TestOrderHoldsWhileEverythingMoves(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	const rooms, perRoom = 8, 1200
	var ears []*gambler
	var speakers []*raw
	for i := range rooms {
		room := fmt.Sprint("chat:", i)
		ear := dial(t, fmt.Sprint("ear", i), nodes[i%2])
		ear.call(room, "join", nil)
		ears = append(ears, ear)
		s := rawDial(t, nodes[(i+1)%2], protocol.Hello{Name: fmt.Sprint("mouth", i)})
		s.call(1, room, "join", nil)
		speakers = append(speakers, s)
	}
	done := make(chan error, rooms)
	for i, s := range speakers {
		go func() { done <- s.speak(fmt.Sprint("chat:", i), perRoom) }()
	}
	late := start(t, "n3", func(c *config.Config) { c.Join = []string{nodes[0].Addrs().Gossip} })
	eventually(t, 20*time.Second, "the new node to own something", func() bool { return late.owns() > 0 })
	late.stop()
	for range rooms {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for n := range perRoom {
		want = append(want, fmt.Sprint(n))
	}
	for _, ear := range ears {
		ear.hears(want)
	}
}

// speak says the numbers up to n, up to 16 of them unanswered at a time; what is to be said again is an error.
func (r *raw) speak(topic string, n int) error {
	open, next := 0, 0
	for next < n || open > 0 {
		for next < n && open < 16 {
			b := protocol.AppendCall(nil, uint64(100+next), topic, "say", game.NewMap().Text("text", fmt.Sprint(next)).Payload())
			if _, err := r.c.Write(b); err != nil {
				return fmt.Errorf("say: %w", err)
			}
			open++
			next++
		}
		body, err := r.read()
		if err != nil {
			return fmt.Errorf("after %d: %w", next, err)
		}
		if p, ok := protocol.ParseReply(body); ok {
			if p.Status != protocol.CodeOK {
				return fmt.Errorf("say %d: %s %s", p.Ref-100, p.Status, p.Payload)
			}
			open--
		}
	}
	return nil
}
