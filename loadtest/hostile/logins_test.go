package hostile

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gamed/client"
	"gamed/protocol"
)

// loginLimit is how long an honest login may take while the server is attacked.
const loginLimit = 2 * time.Second

// logins are honest players, each of whom logs in, calls, and says BYE.
type logins struct {
	t     testing.TB
	stops []func()
	in    chan login
	done  chan struct{} // closed when what follows is complete
	ended bool
	took  []time.Duration // from dialling to the answer; failures too
	good  int             // in time
	bad   []string
}

type login struct {
	took time.Duration
	err  error
}

// newLogins begins up to 40 logins a second, four at a time, until judge or stop.
func newLogins(t testing.TB, n *node, visit func(n *node, name string) error) *logins {
	l := &logins{t: t, in: make(chan login, 4), done: make(chan struct{})}
	go l.collect()
	for lane := range 4 {
		number := 0
		l.stops = append(l.stops, every(t, 100*time.Millisecond, func() bool {
			number++
			began := time.Now()
			err := visit(n, fmt.Sprintf("visitor-%d-%d", lane, number))
			l.in <- login{time.Since(began), err}
			return true
		}))
	}
	return l
}

func (l *logins) collect() {
	defer close(l.done)
	for r := range l.in {
		l.took = append(l.took, r.took)
		switch {
		case r.err != nil:
			l.bad = append(l.bad, r.err.Error())
		case r.took <= loginLimit:
			l.good++
		}
	}
}

// stop ends the logins. It may be called again.
func (l *logins) stop() {
	if l.ended {
		return
	}
	l.ended = true
	for _, stop := range l.stops {
		stop()
	}
	close(l.in)
	<-l.done
}

// judge ends the logins: of at least so many, 99 in 100 must have worked within two seconds.
func (l *logins) judge(atLeast int) {
	l.t.Helper()
	l.stop()
	if len(l.took) < atLeast {
		l.t.Fatalf("only %d logins, want %d: %q", len(l.took), atLeast, l.bad)
	}
	if l.good*100 < len(l.took)*99 {
		l.t.Errorf("of %d logins %d worked within %v; errors: %q", len(l.took), l.good, loginLimit, l.bad[:min(len(l.bad), 20)])
	}
	l.t.Logf("%d logins, p50 %v, p99 %v", len(l.took), percentile(l.took, 50), percentile(l.took, 99))
}

// visit is one of them. The connection is closed by the server, after BYE.
func visit(n *node, name string) error {
	p, err := connect(n.Players)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer p.Close()
	if _, err := p.login(name, ""); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if r, err := p.call(1, "echo:", "e", nil); err != nil || r.Status != protocol.CodeOK {
		return fmt.Errorf("echo: %s: %w", r.Status, err)
	}
	if _, err := p.Write(protocol.AppendBye(nil)); err != nil {
		return fmt.Errorf("say BYE: %w", err)
	}
	_, _, err = p.last()
	return err
}

// visitAgain is visit by a client that connects again when it is turned away.
func visitAgain(n *node, name string) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c, err := client.Dial(ctx, []string{n.Players}, client.Options{Name: name})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if _, err := c.Call(ctx, "echo:", "e", nil); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	return c.Close()
}
