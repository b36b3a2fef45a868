package admin

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// guard counts, sets the deadline and judges who may have what is behind it.
func (s *Server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() { s.metrics.requests[classOf(rec.status())].Inc() }()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
		who, status, hint := s.judge(r, cross)
		if status != 0 {
			if !reads(r) && s.refusals.Allow() {
				s.audit.Warn("admin change refused", "path", r.URL.Path[:min(len(r.URL.Path), 200)], "by", who.Name, "role", who.Role.String(), "remote", r.RemoteAddr, "status", status)
			}
			if status == http.StatusUnauthorized {
				rec.Header().Set("WWW-Authenticate", `Bearer realm="gamed"`)
			}
			fail(rec, status, strings.ToLower(http.StatusText(status)), hint)
			return
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), bearerKey{}, who)))
	})
}

// judge says who sends a request, and why it is not let in: a status and what to do, 0 when it is.
func (s *Server) judge(r *http.Request, cross *http.CrossOriginProtection) (who Bearer, status int, hint string) {
	if s.loopback && !localName(r.Host) {
		return who, http.StatusMisdirectedRequest, "this port answers on this machine only: use http://127.0.0.1 or http://localhost"
	}
	if err := cross.Check(r); err != nil {
		return who, http.StatusForbidden, "another web page may not do this"
	}
	given, sent := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	known := false
	if sent && s.opt.Who != nil {
		who, known = s.opt.Who(given)
	}
	need := needs(r)
	switch {
	case known && who.Role >= need, open(r), s.opt.Who == nil, s.loopback && need == Viewer:
		return who, 0, ""
	case known:
		return who, http.StatusForbidden, "the token's role is " + who.Role.String() + ", this needs " + need.String()
	}
	return who, http.StatusUnauthorized, "send the header Authorization: Bearer TOKEN; commands take it from the file named by GAMED_ADMIN_TOKEN_FILE"
}

// needs is the role that a request needs.
func needs(r *http.Request) Role {
	switch {
	case strings.HasPrefix(r.URL.Path, "/debug/"):
		return Admin
	case reads(r):
		return Viewer
	}
	return Operator
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// open says whether the request is for something that everybody may have: probes, and the console without its data.
func open(r *http.Request) bool {
	if !reads(r) {
		return false
	}
	p := r.URL.Path
	return p == "/livez" || p == "/readyz" || p == "/" || strings.HasPrefix(p, "/console/")
}

func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// recorder remembers the status for the metric.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
