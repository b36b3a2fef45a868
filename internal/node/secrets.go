package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/admin"
	"gamed/internal/auth"
	"gamed/internal/config"
	"gamed/internal/listener"
	"gamed/protocol"
)

// secrets are the keys, certificates and tokens of a node. They stand in files, are read again when those change or when the
// operator says so, and never leave this process: they are in no setting, log line, metric or answer.
type secrets struct {
	log     *slog.Logger
	tokens  *auth.Keyring     // nil: --auth none
	players *auth.Certificate // nil: no TLS for players
	mesh    *tls.Config       // nil: no certificates in the mesh
	gossip  auth.GossipKeys   // as read at the start

	operators    atomic.Pointer[[]auth.Operator]        // nil: no tokens
	gossipChange atomic.Pointer[func(k [][]byte) error] // what takes other gossip keys, once it is there

	reads *prometheus.CounterVec
	until *prometheus.GaugeVec

	mu    sync.Mutex // one reading at a time; guards the stamps in files
	files []*secretFile
}

// secretFile is one thing that can be read again.
type secretFile struct {
	what  string
	paths []string
	read  func() error // an error leaves what is in force
	stamp string       // of the files as they were read last
}

// secretsEvery is how often the files are looked at.
const secretsEvery = 5 * time.Second

// loadSecrets reads what the configuration names. The mesh's certificate must be for this node.
func loadSecrets(cfg *config.Config, log *slog.Logger, reg prometheus.Registerer) (*secrets, error) {
	s := &secrets{log: log}
	s.reads = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "node", Name: "secret_reads_total",
		Help: "Times that keys, certificates and tokens were read again while the node ran, by what they are and whether they were good."}, []string{"what", "result"})
	s.until = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "node", Name: "certificate_not_after_seconds",
		Help: "When the certificate in use is over, in seconds since 1970."}, []string{"what"})
	reg.MustRegister(s.reads, s.until)
	for _, part := range []struct {
		key    string
		wanted bool
		load   func(*config.Config) error
	}{
		{"auth-key-file", cfg.Auth == "jwt", s.loadTokens},
		{"tls-cert", cfg.TLSCert != "", s.loadPlayers},
		{"mesh-cert", cfg.MeshCA != "", s.loadMesh},
		{"gossip-key-file", cfg.GossipKeyFile != "", s.loadGossip},
		{"admin-token-file", cfg.AdminTokenFile != "", s.loadOperators},
	} {
		if !part.wanted {
			continue
		}
		if err := part.load(cfg); err != nil {
			return nil, fmt.Errorf("--%s: %w", part.key, err)
		}
	}
	return s, nil
}

// keep has read called again when one of the files changes.
func (s *secrets) keep(what string, read func() error, paths ...string) {
	for _, result := range []string{"good", "bad"} {
		s.reads.WithLabelValues(what, result)
	}
	s.files = append(s.files, &secretFile{what: what, paths: paths, read: read, stamp: stampOf(paths)})
}

func (s *secrets) keepCertificate(what string, c *auth.Certificate, paths ...string) {
	until := s.until.WithLabelValues(what)
	until.Set(float64(c.NotAfter().Unix()))
	s.keep(what, func() error {
		err := c.Reload()
		until.Set(float64(c.NotAfter().Unix()))
		return err
	}, paths...)
}

func (s *secrets) loadTokens(cfg *config.Config) (err error) {
	if s.tokens, err = auth.LoadKeyring(cfg.AuthKeyFile, cfg.Cluster); err == nil {
		s.keep("auth_keys", s.tokens.Reload, cfg.AuthKeyFile)
	}
	return err
}

func (s *secrets) loadPlayers(cfg *config.Config) (err error) {
	if s.players, err = auth.LoadCertificate(cfg.TLSCert, cfg.TLSKey, ""); err == nil {
		s.keepCertificate("players_certificate", s.players, cfg.TLSCert, cfg.TLSKey)
	}
	return err
}

func (s *secrets) loadMesh(cfg *config.Config) error {
	ca, err := auth.LoadCA(cfg.MeshCA)
	if err != nil {
		return err
	}
	c, err := auth.LoadCertificate(cfg.MeshCert, cfg.MeshKey, cfg.Node)
	if err != nil {
		return err
	}
	s.mesh = c.Mutual(ca)
	s.keepCertificate("mesh_certificate", c, cfg.MeshCert, cfg.MeshKey)
	return nil
}

func (s *secrets) loadGossip(cfg *config.Config) error {
	read := func() (auth.GossipKeys, error) {
		text, err := auth.ReadText(cfg.GossipKeyFile)
		if err != nil {
			return nil, err
		}
		return auth.ParseGossipKeys(text)
	}
	var err error
	s.gossip, err = read()
	s.keep("gossip_keys", func() error {
		keys, err := read()
		if change := s.gossipChange.Load(); err == nil && change != nil {
			err = (*change)(keys)
		}
		return err
	}, cfg.GossipKeyFile)
	return err
}

func (s *secrets) loadOperators(cfg *config.Config) error {
	read := func() error {
		text, err := auth.ReadText(cfg.AdminTokenFile)
		if err != nil {
			return err
		}
		all, err := auth.ParseOperators(text)
		if err == nil {
			s.operators.Store(&all)
		}
		return err
	}
	s.keep("admin_tokens", read, cfg.AdminTokenFile)
	return read()
}

// reload reads files again: all of them, or those that have changed. What is broken leaves in force what was; the error names it.
func (s *secrets) reload(all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		stamp := stampOf(f.paths)
		if stamp == f.stamp && !all {
			continue
		}
		f.stamp = stamp
		if err := f.read(); err != nil {
			s.reads.WithLabelValues(f.what, "bad").Inc()
			s.log.Error("not read again, what was in force stays", "what", f.what, "err", err)
			errs = append(errs, fmt.Errorf("%s: %w", f.what, err))
			continue
		}
		s.reads.WithLabelValues(f.what, "good").Inc()
		s.log.Info("read again", "what", f.what)
	}
	return errors.Join(errs...)
}

// watch looks for changed files until ctx ends.
func (s *secrets) watch(ctx context.Context) {
	if len(s.files) == 0 {
		return
	}
	tick := time.NewTicker(secretsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.reload(false) // it is in the log, and counted
		}
	}
}

// stampOf tells files apart from what they were before, links followed.
func stampOf(paths []string) string {
	var b strings.Builder
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			fmt.Fprintf(&b, "%d %d;", info.ModTime().UnixNano(), info.Size())
		} else {
			b.WriteString("gone;")
		}
	}
	return b.String()
}

// authenticate is what the listener asks of a token; nil without authentication.
func (s *secrets) authenticate() func(token string) (listener.Identity, protocol.Code, error) {
	if s.tokens == nil {
		return nil
	}
	return func(token string) (listener.Identity, protocol.Code, error) {
		c, code, err := s.tokens.Check(token)
		return listener.Identity{Player: c.Player, Role: c.Role}, code, err
	}
}

// playersTLS is nil without a certificate.
func (s *secrets) playersTLS() *tls.Config {
	if s.players == nil {
		return nil
	}
	return s.players.Server()
}

// who is what the admin port asks of a token; nil without tokens.
func (s *secrets) who() func(token string) (admin.Bearer, bool) {
	if s.operators.Load() == nil {
		return nil
	}
	return func(token string) (admin.Bearer, bool) {
		o, ok := auth.WhoIs(*s.operators.Load(), token)
		if !ok {
			return admin.Bearer{}, false
		}
		role, err := admin.ParseRole(o.Role)
		return admin.Bearer{Name: o.Name, Role: role}, err == nil
	}
}

// Reload reads keys, certificates and tokens again. What is broken leaves in force what was; the error names it.
func (n *Node) Reload() error { return n.secrets.reload(true) }
