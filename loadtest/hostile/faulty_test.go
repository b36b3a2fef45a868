package hostile

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"gamed/cmd/gamed/command"
	"gamed/game"
	"gamed/games"
	"gamed/protocol"
)

// faultyVariable makes this test binary gamed with a game that panics and blocks.
const faultyVariable = "HOSTILE_FAULTY"

// serveFaulty is the whole process in that case.
func serveFaulty() {
	if os.Getenv(faultyVariable) != "" {
		os.Exit(command.Main(os.Args[1:], append(games.All(), game.Game{Name: "faulty", Player: func(string) game.Player { return &faulty{} }})...))
	}
}

// startFaulty is start with that game.
func startFaulty(t testing.TB, args ...string) *node {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), faultyVariable+"=1")
	n := startAs(t, cmd, append([]string{"--rate-limit", "off"}, args...)...)
	n.forgiven, n.panics = true, true
	return n
}

// faulty is a player part that counts, and fails in the ways handlers can.
type faulty struct{ n int64 }

// Call implements game.Player.
func (f *faulty) Call(c *game.Context, m *game.Message) {
	f.n++
	switch m.Event {
	case "panic":
		panic("meant")
	case "block":
		f := m.Payload.Fields()
		blockHere(time.Duration(f.Int("ms")) * time.Millisecond)
	case "alarm":
		c.After("alarm", time.Millisecond)
	}
	c.Changed()
	c.Reply(game.NewMap().Int("n", f.n))
}

// blockHere is in the stack that the log must show.
func blockHere(d time.Duration) { time.Sleep(d) }

// Timer implements game.Timed.
func (f *faulty) Timer(*game.Context, string) { panic("alarm") }

// Snapshot implements game.Stater.
func (f *faulty) Snapshot(dst []byte) []byte { return protocol.AppendInt(dst, f.n) }

// Restore implements game.Stater.
func (f *faulty) Restore(b []byte) error {
	r := game.ReadState(b)
	f.n = r.Int()
	return r.Err()
}
