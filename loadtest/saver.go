package loadtest

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/protocol"
)

// saver is one player of the bank scenario. Its loop is one goroutine; others break its connection and leave its sessions.
type saver struct {
	vault  *vault
	number uint64
	random *rand.Rand // of the loop
	client *client.Client
	side   sync.WaitGroup // goroutines beside the loop

	repeated, left int64
	broken         atomic.Int64
	node           atomic.Value // string: where the socket was last

	mu   sync.Mutex // guards conn
	conn net.Conn   // the newest

	rec SaverRecord // of the loop
}

// leaving is how seldom a player leaves his session without BYE, with a deposit under way: one deposit in so many.
const leaving = 50

// save deposits until stop is closed; the last deposit is seen through as long as ctx lives.
func (s *saver) save(ctx context.Context, stop <-chan struct{}) {
	breaking, done := context.WithCancel(ctx)
	if s.vault.o.Break > 0 {
		s.side.Go(func() { s.breakConnections(breaking) })
	}
	for n := 1; ctx.Err() == nil && !closed(stop); n++ {
		d := Deposit{ID: "d" + strconv.Itoa(n), Amount: 1 + s.random.Int64N(9)}
		if !s.deposit(ctx, &d) {
			s.rec.InDoubt = &d
			break
		}
		s.rec.Deposits = append(s.rec.Deposits, d)
		pause := time.NewTimer(rand64(s.random, 2*s.vault.o.Pause))
		select {
		case <-pause.C:
		case <-stop:
		}
		pause.Stop()
	}
	done()
	s.side.Wait()
	s.count()
	if s.client != nil {
		_ = s.client.Close() // always nil
	}
}

// count enters what the client says of itself.
func (s *saver) count() {
	if s.client != nil {
		sum := s.client.Stats()
		s.rec.Connects += int64(sum.Connects)
		s.rec.Sessions += int64(sum.Sessions)
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

// deposit sends one until it is acknowledged. False: it was refused for good, or ctx ended.
func (s *saver) deposit(ctx context.Context, d *Deposit) bool {
	d.Sent = time.Now()
	for ; ctx.Err() == nil; s.repeated++ {
		if s.client == nil {
			c, err := s.login(ctx)
			if err != nil {
				continue // Dial has waited
			}
			s.client = c
		}
		if s.vault.o.Break > 0 && s.random.IntN(leaving) == 0 { // if the answer is lost with the session, the same id must decide
			s.left++
			c, at := s.client, time.Now().Add(rand64(s.random, 3*time.Millisecond))
			s.side.Go(func() { waitUntil(ctx, at); c.Abort() })
		}
		p, err := s.client.Call(ctx, "bank:", "deposit", game.NewMap().Int("amount", d.Amount).Text("id", d.ID))
		code := outcome(err)
		s.rec.Codes[code]++
		if err == nil {
			f := p.Fields()
			d.Balance, d.Done, d.Node = f.Int("balance"), time.Now(), s.client.Node()
			s.vault.calls.add(d.Done.Sub(d.Sent))
			return true
		}
		if class := protocol.Code(code).Class(); code != unknown && class != protocol.ClassRetry {
			s.rec.Refused = d.ID + ": " + err.Error()
			return false
		}
		select {
		case <-s.client.Done(): // it was left
			s.count()
			s.client = nil
		case <-time.After(20 * time.Millisecond): // unknown: the client has waited; a code: it has retried
		}
	}
	return false
}

// login begins a new session on any node.
func (s *saver) login(ctx context.Context) (*client.Client, error) {
	first := slices.Clone(s.vault.o.At)
	var others []string
	for _, addr := range s.vault.o.Addrs {
		if !slices.Contains(first, addr) {
			others = append(others, addr)
		}
	}
	for _, list := range [][]string{first, others} {
		s.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	addrs := append(first, others...)
	at := time.Now()
	c, err := client.Dial(ctx, addrs, client.Options{Name: s.rec.Name, Dialer: s.dial, CallTimeout: 15 * time.Second, BackoffMax: 500 * time.Millisecond,
		OnConnect: func(w client.Connected) { s.node.Store(w.Node) }})
	if err == nil {
		s.vault.login.add(time.Since(at))
	}
	return c, err
}

func (s *saver) dial(ctx context.Context, addr string) (conn net.Conn, err error) {
	if n := s.vault.o.Nodes; n != nil {
		conn, err = n.Dial(ctx, addr)
	} else {
		conn, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr)
	}
	if err == nil {
		s.mu.Lock()
		s.conn = conn
		s.mu.Unlock()
	}
	return conn, err
}

// breakConnections closes the newest connection now and then, without the client's knowing.
func (s *saver) breakConnections(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.vault.o.Seed, 1<<32|s.number))
	for waitUntil(ctx, time.Now().Add(time.Duration(r.ExpFloat64()*float64(s.vault.o.Break)))) {
		s.mu.Lock()
		conn := s.conn
		s.conn = nil
		s.mu.Unlock()
		if conn != nil {
			conn.Close()
			s.broken.Add(1)
		}
	}
}

// check asks, in a new session, what the account holds.
func (s *saver) check(ctx context.Context) {
	c, err := s.login(ctx)
	if err != nil {
		s.rec.Problem = err.Error()
		return
	}
	defer c.Close()
	p, err := c.Call(ctx, "bank:", "balance", nil)
	if err != nil {
		s.rec.Problem = err.Error()
		return
	}
	f := p.Fields()
	if s.rec.Balance = f.Int("balance"); f.Err() != nil {
		s.rec.Problem = f.Err().Error()
	}
}
