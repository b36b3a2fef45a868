package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opt.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: answerTimeout - time.Second}))
	mux.HandleFunc("GET /debug/pprof/", slow(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", slow(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", slow(pprof.Trace))
	mux.HandleFunc("GET /{$}", console)
	mux.HandleFunc("GET /console/", console)

	mux.HandleFunc("GET /api/v1/members", s.read(func(ctx context.Context, r *http.Request) (any, error) {
		return newest(list(s.opt.Source.Members(ctx))), nil
	}))
	mux.HandleFunc("GET /api/v1/table", s.read(func(context.Context, *http.Request) (any, error) { return s.opt.Source.Table(), nil }))
	mux.HandleFunc("GET /api/v1/locate", s.read(s.locate))
	mux.HandleFunc("GET /api/v1/players", s.read(s.players))
	mux.HandleFunc("GET /api/v1/players/{id}", s.read(func(ctx context.Context, r *http.Request) (any, error) {
		return s.opt.Source.Player(ctx, r.PathValue("id"))
	}))
	mux.HandleFunc("GET /api/v1/conflicts", s.read(s.conflicts))
	mux.HandleFunc("GET /api/v1/conflicts/{id}", s.read(func(ctx context.Context, r *http.Request) (any, error) {
		return s.opt.Source.Conflict(ctx, r.PathValue("id"))
	}))
	mux.HandleFunc("GET /api/v1/supervision", s.read(func(ctx context.Context, _ *http.Request) (any, error) {
		return s.opt.Source.Supervision(ctx), nil
	}))
	mux.HandleFunc("GET /api/v1/deadletters", s.read(s.deadLetters))
	mux.HandleFunc("GET /api/v1/events", s.read(func(_ context.Context, r *http.Request) (any, error) {
		after, err := number(r, "after", 0, 1<<63)
		return list(s.opt.Source.Events(after)), err
	}))
	mux.HandleFunc("GET /api/v1/stats", s.read(func(context.Context, *http.Request) (any, error) { return s.opt.Source.Stats(), nil }))
	mux.HandleFunc("GET /api/v1/limits", s.read(func(context.Context, *http.Request) (any, error) { return list(s.opt.Source.Limits()), nil }))
	mux.HandleFunc("GET /api/v1/events/stream", s.streamEvents)
	mux.HandleFunc("GET /api/v1/stats/stream", s.streamStats)
	mux.HandleFunc("POST /api/v1/nodes/{id}/drain", s.change("drain", http.StatusAccepted, s.opt.Source.Drain))
	mux.HandleFunc("POST /api/v1/nodes/{id}/forget", s.change("forget", http.StatusOK, s.opt.Source.Forget))
	mux.HandleFunc("POST /api/v1/players/{id}/kick", s.change("kick", http.StatusOK, s.opt.Source.Kick))
	mux.HandleFunc("POST /api/v1/rooms/{id}/close", s.change("close", http.StatusOK, s.opt.Source.CloseRoom))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such resource, or not with "+r.Method+": "+r.URL.Path, "resources are under /api/v1: members, table, locate, players, conflicts, supervision, deadletters, events, stats, limits")
	})
	return s.guard(mux)
}

// read answers a GET with what f gives.
func (s *Server) read(f func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout-time.Second)
		defer cancel()
		v, err := f(ctx, r)
		if err != nil {
			failWith(w, err)
			return
		}
		answer(w, http.StatusOK, v)
	}
}

// change does a POST and leaves a trace in the log.
func (s *Server) change(what string, status int, f func(context.Context, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout-time.Second)
		defer cancel()
		id := r.PathValue("id")
		err := f(ctx, id)
		who := bearer(r.Context())
		s.audit.Info("admin change", "action", what, "target", id, "by", who.Name, "role", who.Role.String(), "remote", r.RemoteAddr, "err", err)
		if err != nil {
			failWith(w, err)
			return
		}
		answer(w, status, map[string]string{"action": what, "target": id})
	}
}

func (s *Server) locate(_ context.Context, r *http.Request) (any, error) {
	key := r.URL.Query().Get("key")
	if key == "" {
		return nil, hinted{ErrInvalid, "the key is missing: locate?key=player/ann"}
	}
	return s.opt.Source.Locate(key)
}

func (s *Server) players(ctx context.Context, r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 1000)
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Source.Players(ctx, r.URL.Query().Get("cursor"), int(max(limit, 1)))
	page.Players = list(page.Players)
	return page, err
}

func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	if !s.opt.Source.Live() {
		answer(w, http.StatusServiceUnavailable, map[string]bool{"live": false})
		return
	}
	answer(w, http.StatusOK, map[string]bool{"live": true})
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`  // why not
	Degraded []string `json:"degraded"` // what is wrong all the same
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ok, reasons, degraded := s.opt.Source.Ready()
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		text := "ready\n"
		if !ok {
			text = "not ready\n"
		}
		for _, reason := range reasons {
			text += reason + "\n"
		}
		for _, d := range degraded {
			text += "degraded: " + d + "\n"
		}
		_, _ = w.Write([]byte(text))
		return
	}
	answer(w, status, Readiness{Ready: ok, Reasons: list(reasons), Degraded: list(degraded)})
}

// slow gives a handler more time than others have.
func slow(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(pprofTimeout))
		h(w, r)
	}
}

// newest leaves out the dead lives of nodes that live: a restart is the same member again.
func newest(members []Member) []Member {
	lives := map[string]bool{}
	for _, m := range members {
		lives[m.Node] = lives[m.Node] || m.State != "dead"
	}
	return slices.DeleteFunc(members, func(m Member) bool { return m.State == "dead" && lives[m.Node] })
}

// list makes an empty JSON list of nothing, instead of null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func number(r *http.Request, name string, absent, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, hinted{ErrInvalid, name + ": want a whole number up to " + strconv.FormatUint(most, 10)}
	}
	return n, nil
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func failWith(w http.ResponseWriter, err error) {
	status, hint := http.StatusInternalServerError, "see the log of the node"
	switch {
	case errors.Is(err, ErrNotFound):
		status, hint = http.StatusNotFound, "check the name"
	case errors.Is(err, ErrInvalid):
		status, hint = http.StatusBadRequest, "check the request"
	case errors.Is(err, ErrConflict):
		status, hint = http.StatusConflict, "look at the state first"
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		status, hint = http.StatusServiceUnavailable, "try again, or ask another node"
	}
	var h hinted
	if errors.As(err, &h) {
		hint = h.hint
	}
	fail(w, status, err.Error(), hint)
}

// Failure is the body of every response that is an error.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

func fail(w http.ResponseWriter, status int, text, hint string) {
	answer(w, status, Failure{Error: text, Hint: hint})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone: nobody to tell
}
