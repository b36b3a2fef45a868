package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Options of New.
type Options struct {
	Addr     string       // HOST:PORT to listen on; port 0 picks a free one
	Listener net.Listener // used instead of Addr when set
	// Who says whose a bearer token is; nil: there are no tokens. It must take the same time for every token, near hits too.
	Who        func(token string) (Bearer, bool)
	Insecure   bool // allow an address beyond loopback without tokens
	Source     Source
	Gatherer   prometheus.Gatherer   // for /metrics
	Registerer prometheus.Registerer // for the admin port's own metrics
	Log        *slog.Logger
	// EventPoll is how often streams look for new events; 0: 250 ms. StatsEvery is the period of stats/stream; 0: 1 s.
	EventPoll, StatsEvery time.Duration
}

// Limits of the admin port.
const (
	maxStreams    = 64               // event streams open at once
	answerTimeout = 10 * time.Second // for a Source to answer and the response to be written
	pprofTimeout  = 2 * time.Minute
	stopTimeout   = 2 * time.Second
	maxBody       = 64 << 10
)

// Server is the admin port of one node.
type Server struct {
	opt      Options
	ln       net.Listener
	http     *http.Server
	loopback bool
	metrics  *metrics
	streams  chan struct{} // tokens of open streams
	audit    *slog.Logger
	refusals *rate.Limiter // how many refused changes are logged, so that nobody fills the disk with them; all are counted

	stopOnce sync.Once
	stop     context.CancelFunc
	base     context.Context
}

// New binds the port. Errors say what to do.
func New(opt Options) (*Server, error) {
	switch {
	case opt.Source == nil, opt.Gatherer == nil, opt.Registerer == nil, opt.Log == nil:
		return nil, errors.New("admin: Source, Gatherer, Registerer and Log must be set")
	}
	if opt.EventPoll == 0 {
		opt.EventPoll = 250 * time.Millisecond
	}
	if opt.StatsEvery == 0 {
		opt.StatsEvery = time.Second
	}
	ln := opt.Listener
	if ln == nil {
		if !opt.Insecure && opt.Who == nil && !loopbackHost(opt.Addr) {
			return nil, fmt.Errorf("admin port %s can be reached from other machines: configure a token, listen on 127.0.0.1, or say insecure", opt.Addr)
		}
		var err error
		if ln, err = net.Listen("tcp", opt.Addr); err != nil {
			return nil, fmt.Errorf("admin port %s cannot be opened (choose another with --admin, or port 0): %w", opt.Addr, err)
		}
	}
	s := &Server{opt: opt, ln: ln, streams: make(chan struct{}, maxStreams), loopback: loopbackHost(ln.Addr().String()), audit: opt.Log.With("audit", true)}
	if !s.loopback && opt.Who == nil && !opt.Insecure {
		_ = ln.Close()
		return nil, fmt.Errorf("admin port %s can be reached from other machines: configure a token, listen on 127.0.0.1, or say insecure", ln.Addr())
	}
	s.refusals = rate.NewLimiter(10, 100)
	s.metrics = newMetrics(opt.Registerer)
	s.base, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return s.base },
	}
	return s, nil
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx is cancelled, then ends streams, waits up to two seconds for other requests and returns nil; an error
// means that the port failed. A Server runs once.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.ln) }()
	select {
	case err := <-failed:
		s.close()
		return fmt.Errorf("admin port %s: %w", s.ln.Addr(), err)
	case <-ctx.Done():
	}
	s.close()
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		s.opt.Log.Warn("admin port ended", "err", err)
	}
	return nil
}

// Close ends a Server that was never run, or one that runs. Idempotent.
func (s *Server) Close() { s.close() }

func (s *Server) close() {
	s.stopOnce.Do(func() {
		s.stop() // streams end, requests still being answered are given up
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close()
		}
		_ = s.ln.Close() // Shutdown does not know a listener that was never served
	})
}

func loopbackHost(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
