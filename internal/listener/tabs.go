package listener

import "sync"

// tabs carry what a player has used up of his rate from one connection to the next: the rate is the session's, and connecting
// anew gives nothing back. Each node counts for itself.
type tabs struct {
	mu    sync.Mutex       // guards what follows
	conns map[string]*Conn // the newest connection of each player
	owed  map[string]int64 // of players without a connection: when all is given back, on the clock
	swept int64
}

func (t *tabs) init() { t.conns, t.owed = map[string]*Conn{}, map[string]int64{} }

// open makes c the player's connection.
func (t *tabs) open(c *Conn, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	if until, ok := t.owed[c.player]; ok {
		delete(t.owed, c.player)
		c.owe(until - now)
	}
	t.conns[c.player] = c
}

// close gives what c has used up to the player's next connection. Only c's owner calls it.
func (t *tabs) close(c *Conn, now int64) {
	c.settleDebt(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	newest := t.conns[c.player]
	if newest == c {
		newest = nil
		delete(t.conns, c.player)
	}
	switch left := c.bucket.used - now; {
	case left <= 0:
	case newest != nil:
		newest.owe(left)
	default:
		t.owed[c.player] = max(t.owed[c.player], now) + left
	}
}

// sweep forgets, at most once a second, those who owe nothing any more. t.mu is held.
func (t *tabs) sweep(now int64) {
	if now-t.swept < ratePause {
		return
	}
	t.swept = now
	for player, until := range t.owed {
		if until <= now {
			delete(t.owed, player)
		}
	}
}

// owe has c take over what another connection used up, at its next frame.
func (c *Conn) owe(used int64) {
	if used > 0 {
		c.debt.Add(used)
	}
}

// settleDebt takes it over. Only the owner calls it.
func (c *Conn) settleDebt(now int64) {
	if c.debt.Load() != 0 {
		c.bucket.used = max(c.bucket.used, now) + c.debt.Swap(0)
	}
}
