package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// Options say who plays and what to do with what comes. Name or Token is required; every other zero value means its default.
type Options struct {
	Name  string // the player, where the server runs without authentication
	Token string // else: a token, whose subject is the player

	// Callbacks run one at a time, in the order in which things happened; nil ones are skipped.
	OnPush       func(Push)
	OnConnect    func(Connected) // after each WELCOME, before the pushes that follow it
	OnDisconnect func(error)     // the connection ended; the client goes on unless a final *GoawayError says otherwise
	OnGap        func(Gap)       // pushes are missing that no resume will bring; before the push that showed it

	NoRetry bool // give codes of class retry to the caller instead of retrying

	DialTimeout    time.Duration // Dial as a whole, default 15 s
	ConnectTimeout time.Duration // one address: connect and TLS, default 3 s
	HelloTimeout   time.Duration // HELLO to WELCOME, default 10 s (a server may hold it 5 s during a fail-over)
	CallTimeout    time.Duration // a call, retries and reconnects included, default 30 s
	WriteTimeout   time.Duration // one write to the socket, default 5 s
	BackoffMin     time.Duration // first pause between reconnects, default 50 ms
	BackoffMax     time.Duration // longest pause, default 5 s
	PushQueue      int           // pushes waiting for a callback, default 1,024

	TLS    *tls.Config                                              // nil: plain TCP
	Dialer func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP
	Logger *slog.Logger                                             // nil: silent
}

// Push is what the server sent of its own accord.
type Push struct {
	Topic   string // "" is the player's own stream
	Offset  uint64 // place in the topic's stream; 0: not part of it
	Event   string
	Payload game.Payload // may be kept
}

// Connected tells of a WELCOME.
type Connected struct {
	Node     string // the node that took the connection
	Addr     string // the address dialled
	Resumed  bool   // false: a new session, in no topic
	Degraded bool   // the cluster said that it is
	// Missed names every topic of a resumed session; true: the history did not reach back, ask for the state.
	Missed map[string]bool
}

// Gap is a hole in a stream, From and To included.
type Gap struct {
	Topic    string
	From, To uint64
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Name == "" && o.Token == "":
		return o, errors.New("client: Name or Token is needed")
	case o.Name != "" && o.Token != "":
		return o, errors.New("client: Name and Token exclude each other")
	case o.Name != "" && !protocol.ValidPlayer(o.Name):
		return o, errors.New("client: Name: want 1-64 of A-Za-z0-9_.-")
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.DialTimeout, 15 * time.Second}, {&o.ConnectTimeout, 3 * time.Second}, {&o.HelloTimeout, 10 * time.Second},
		{&o.CallTimeout, 30 * time.Second}, {&o.WriteTimeout, 5 * time.Second},
		{&o.BackoffMin, 50 * time.Millisecond}, {&o.BackoffMax, 5 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	if o.PushQueue <= 0 {
		o.PushQueue = 1024
	}
	if o.Dialer == nil {
		d := &net.Dialer{KeepAlive: -1} // the protocol has its own heartbeat
		o.Dialer = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
