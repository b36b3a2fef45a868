package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestShowReportsInJSON(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	var out, errs strings.Builder
	code := run(ctx, []string{"show", "--players", "30", "--questions", "2", "--seconds", "0.8", "-o", "json"}, &out, &errs)
	var report struct {
		OK        bool
		Players   int
		Questions int
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || code != exitOK || !report.OK || report.Players != 30 || report.Questions != 2 {
		t.Errorf("exit code %d, %v: %s\n%s", code, err, out.String(), errs.String())
	}
}

func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no such scenario": {"dance"},
		"no such flag":     {"show", "--nonsense"},
		"no such output":   {"show", "-o", "xml"},
		"no such file":     {"show", "--gamed", "/nonexistent/gamed"},
		"kill at nothing":  {"show", "--addr", "127.0.0.1:1", "--kill-node-at", "2"},
		"no such set":      {"show", "--addr", "127.0.0.1:1", "--set", "none"},
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, &out, &errs); code != exitUsage || !strings.HasPrefix(errs.String(), "gamed-load: ") || out.Len() > 0 {
			t.Errorf("%s: exit code %d, out %q, err %q", name, code, out.String(), errs.String())
		}
	}
}
