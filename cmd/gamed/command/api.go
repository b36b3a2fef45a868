package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/admin"
	"gamed/internal/config"
)

// apiTimeout bounds one request, longer than the server's own deadline.
const apiTimeout = 12 * time.Second

// api speaks to the admin port of one node.
type api struct {
	addr, tokenFile string // flags
	env             *env
	base, token     string
	http            http.Client
}

// addAPI gives cmd the flags that say which node is asked.
func addAPI(cmd *cobra.Command, e *env) *api {
	a := &api{env: e}
	cmd.Flags().StringVar(&a.addr, "admin", "", "admin `HOST:PORT` of any node (environment GAMED_ADMIN; default 127.0.0.1:7303)")
	cmd.Flags().StringVar(&a.tokenFile, "admin-token-file", "", "`FILE` with the admin port's token (environment GAMED_ADMIN_TOKEN_FILE)")
	return a
}

// open settles which node is asked.
func (a *api) open() error {
	for _, d := range []struct {
		v    *string
		name string
	}{{&a.addr, "GAMED_ADMIN"}, {&a.tokenFile, "GAMED_ADMIN_TOKEN_FILE"}} {
		if *d.v == "" {
			*d.v = a.env.getenv(d.name)
		}
	}
	base, err := adminURL(a.addr)
	if err != nil {
		return usage(err)
	}
	a.base = base
	if a.tokenFile != "" {
		text, err := config.ReadSecret(a.tokenFile)
		if err != nil {
			return usage(fmt.Errorf("--admin-token-file: %w", err))
		}
		a.token = ownToken(text)
	}
	return nil
}

// ownToken is the token in a file: the file is the token, or it is a node's, ROLE NAME TOKEN in each line, and the first one that is
// not hashed is taken; "" when there is none, which is enough for what needs no token.
func ownToken(text string) string {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 1 && strings.TrimSpace(text) == f[0]:
			return f[0]
		case len(f) == 3 && !strings.HasPrefix(f[0], "#") && !strings.HasPrefix(f[2], "sha256:"):
			return f[2]
		}
	}
	return ""
}

// adminURL makes a URL of what an admin port may be called. An address to listen on, such as 0.0.0.0:7303, means this machine.
func adminURL(addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:7303"
	}
	scheme := "http"
	if s, rest, ok := strings.Cut(addr, "://"); ok {
		scheme, addr = s, strings.TrimSuffix(rest, "/")
	}
	if !strings.Contains(addr, ":") {
		addr += ":7303"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || strings.ContainsAny(addr, "/ ?#") || scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("--admin %q: want HOST:PORT, such as 127.0.0.1:7303", addr)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// do sends a request. The body must be closed when err is nil; status is below 400, or 503 when that is taken.
func (a *api) do(ctx context.Context, method, path string, take503 bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, usage(fmt.Errorf("request %s: %w", path, err))
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	res, err := a.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, unreachable(fmt.Errorf("cannot reach the admin port %s: %w; is gamed running? name another with --admin HOST:PORT", a.base, err))
	}
	if res.StatusCode < 400 || take503 && res.StatusCode == http.StatusServiceUnavailable {
		return res, nil
	}
	defer res.Body.Close()
	var f admin.Failure
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if json.Unmarshal(b, &f) != nil || f.Error == "" {
		f = admin.Failure{Error: res.Status, Hint: "is " + a.base + " an admin port of gamed?"}
	}
	err = fmt.Errorf("%s (%s)", f.Error, f.Hint)
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusBadRequest:
		return nil, usage(err)
	}
	return nil, finding(err)
}

// get fills v with the resource.
func (a *api) get(path string, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	res, err := a.do(ctx, http.MethodGet, path, path == "/readyz")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(v); err != nil {
		return unreachable(fmt.Errorf("read answer of %s%s: %w", a.base, path, err))
	}
	return nil
}

// post does a change.
func (a *api) post(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	res, err := a.do(ctx, http.MethodPost, path, false)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// stream calls f with each event of a stream until ctx ends (nil), f says stop (nil), or the node is gone.
func (a *api) stream(ctx context.Context, path string, f func(data []byte) (more bool, err error)) error {
	res, err := a.do(ctx, http.MethodGet, path, false)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if more, err := f(data); err != nil || !more {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return unreachable(fmt.Errorf("the stream of %s broke off: %w", a.base, err))
	}
	return unreachable(fmt.Errorf("the stream of %s ended: the node has stopped", a.base))
}
