package admin

import (
	"crypto/subtle"
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
		if status, hint := s.refuse(r, cross); status != 0 {
			if status == http.StatusUnauthorized {
				rec.Header().Set("WWW-Authenticate", `Bearer realm="gamed"`)
			}
			fail(rec, status, strings.ToLower(http.StatusText(status)), hint)
			return
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		next.ServeHTTP(rec, r)
	})
}

// refuse says why a request is not let in: a status and what to do, 0 when it is.
func (s *Server) refuse(r *http.Request, cross *http.CrossOriginProtection) (status int, hint string) {
	if s.loopback && !localName(r.Host) {
		return http.StatusMisdirectedRequest, "this port answers on this machine only: use http://127.0.0.1 or http://localhost"
	}
	if err := cross.Check(r); err != nil {
		return http.StatusForbidden, "another web page may not do this"
	}
	if open(r) || s.opt.Token == "" {
		return 0, ""
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && s.loopback {
		return 0, ""
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && subtle.ConstantTimeCompare([]byte(given), []byte(s.opt.Token)) == 1 {
		return 0, ""
	}
	return http.StatusUnauthorized, "send the header Authorization: Bearer TOKEN; commands take it from the file named by GAMED_ADMIN_TOKEN_FILE"
}

// open says whether the request is for something that everybody may have: probes, and the console without its data.
func open(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
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
