package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/loadtest"
)

// visit is one session of a player who logs in twice: what it was told, when.
type visit struct {
	began time.Time // of the dial
	acks  []visitAck
}

type visitAck struct{ sent, done time.Time }

// twin is one of the two programs that log in under one name, again and again.
type twin struct {
	w      *world
	name   string
	ids    *atomic.Int64
	visits []visit
	acked  int64
	doubt  int64
}

// play logs in at these nodes and deposits until it is replaced, and again.
func (p *twin) play(ctx context.Context, r func(n int64) int64) {
	for ctx.Err() == nil {
		v := visit{began: time.Now()}
		var in atomic.Bool // it logs in once: another connection of its own would be another login
		gone := make(chan struct{})
		names := p.w.nodes.Alive()
		at := r(int64(len(names)))
		c, err := client.Dial(ctx, append(names[at:], names[:at]...), client.Options{Name: p.name, DialTimeout: 20 * time.Second, CallTimeout: 10 * time.Second,
			Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
				if in.Load() {
					return nil, errors.New("it does not come back")
				}
				return p.w.nodes.Dial(ctx, addr)
			},
			OnConnect:    func(client.Connected) { in.Store(true) },
			OnDisconnect: func(error) { close(gone) }})
		if err != nil {
			continue
		}
		for ctx.Err() == nil && !closed(gone) {
			sent := time.Now()
			_, err := c.Call(ctx, "bank:", "deposit", game.NewMap().Int("amount", 1).Text("id", "t"+strconv.FormatInt(p.ids.Add(1), 10)))
			if err != nil {
				if _, known := client.CodeOf(err); !known {
					p.doubt++ // it may have been done
				}
				continue
			}
			p.acked++
			v.acks = append(v.acks, visitAck{sent, time.Now()})
			until(ctx, time.Duration(r(int64(20*time.Millisecond))))
		}
		_ = c.Close()
		p.visits = append(p.visits, v)
		until(ctx, time.Duration(r(int64(300*time.Millisecond))))
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestDoubleLogin: two programs log in under one name on different nodes, at once, over and over, while nodes join, are drained and
// are killed. The newest wins; once it was answered, nothing that the other sends after that is acknowledged.
func TestDoubleLogin(t *testing.T) {
	w := build(t, 4, 1, loadtest.NodesOptions{})
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	playing, end := context.WithCancel(ctx)
	defer end()
	const players = 12
	var twins [players][2]*twin
	var all sync.WaitGroup
	for i := range twins {
		ids := &atomic.Int64{}
		for k := range twins[i] {
			p := &twin{w: w, name: "twin-" + strconv.Itoa(i), ids: ids}
			twins[i][k] = p
			r := random(t, uint64(2*i+k))
			all.Go(func() { p.play(playing, r.Int64N) })
		}
	}
	trouble := func() error {
		until(ctx, time.Second)
		at := time.Now()
		if err := w.nodes.Start(ctx, "e", loadtest.Extra{}); err != nil {
			return err
		}
		if err := w.whole(ctx, at); err != nil {
			return err
		}
		at = time.Now()
		if _, _, err := w.nodes.Terminate("d", time.Minute); err != nil {
			return err
		}
		if err := w.whole(ctx, at); err != nil {
			return err
		}
		at = time.Now()
		if _, err := w.nodes.Kill("c"); err != nil {
			return err
		}
		return w.whole(ctx, at)
	}
	if err := trouble(); err != nil {
		t.Error(err)
	}
	until(ctx, time.Second)
	end()
	all.Wait()
	visits := 0
	for _, pair := range twins {
		visits += len(pair[0].visits) + len(pair[1].visits)
		w.judgeTwins(ctx, pair)
	}
	t.Logf("%d sessions of %d players", visits, players)
	if visits < 4*players {
		t.Errorf("only %d sessions", visits)
	}
}

// judgeTwins compares two programs' records with each other and with the account.
func (w *world) judgeTwins(ctx context.Context, pair [2]*twin) {
	w.t.Helper()
	for k, one := range pair {
		other := pair[1-k]
		for _, newer := range one.visits {
			if len(newer.acks) == 0 {
				continue
			}
			first := newer.acks[0]
			for _, older := range other.visits {
				if !older.began.Before(newer.began) {
					continue
				}
				for _, a := range older.acks {
					// Its dial began before the other's, so it is the older session, unless the two were being decided at this moment.
					if a.sent.After(first.done) && overlapped(older, newer) {
						w.t.Errorf("%s: a session begun at %v was acknowledged at %v, though one begun at %v was answered at %v", one.name,
							older.began.Format(clock), a.done.Format(clock), newer.began.Format(clock), first.done.Format(clock))
						break
					}
				}
			}
		}
	}
	c, err := client.Dial(ctx, w.nodes.Alive(), client.Options{Name: pair[0].name, Dialer: w.nodes.Dial})
	if err != nil {
		w.t.Error(err)
		return
	}
	defer c.Close()
	p, err := c.Call(ctx, "bank:", "balance", nil)
	if err != nil {
		w.t.Error(fmt.Errorf("%s: %w", pair[0].name, err))
		return
	}
	f := p.Fields()
	balance, acked, doubt := f.Int("balance"), pair[0].acked+pair[1].acked, pair[0].doubt+pair[1].doubt
	if balance < acked || balance > acked+doubt {
		w.t.Errorf("%s has %d, acknowledged are %d, in doubt %d", pair[0].name, balance, acked, doubt)
	}
}

// overlapped says whether the older session was up before the newer one's dial began, so that it is known which of the two is older.
func overlapped(older, newer visit) bool {
	return len(older.acks) > 0 && older.acks[0].done.Before(newer.began)
}

const clock = "15:04:05.000"
