package command

import (
	"strings"
	"testing"

	"gamed/internal/admin"
)

func TestCheckShowsLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		limits []admin.Limit
		found  bool
	}{
		"room":      {[]admin.Limit{{Name: "connections", Limit: 1000, Used: 849}, {Name: "memory_bytes", Limit: 0, Used: 5 << 30}, {Name: "outbox_bytes", Limit: 7, Used: -1}}, false},
		"no room":   {[]admin.Limit{{Name: "connections", Limit: 1000, Used: 850}}, true},
		"of memory": {[]admin.Limit{{Name: "memory_bytes", Limit: 16 << 30, Used: 15 << 30}}, true},
	} {
		tm := newTerminal("GAMED_ADMIN=" + adminPort(t, &source{ready: true, limits: tc.limits}))
		tm.run("check")
		text := tm.out.String()
		if found := strings.Contains(text, "✗ "+tc.limits[0].Name+":"); found != tc.found {
			t.Errorf("%s: found %v:\n%s", name, found, text)
		}
		for _, l := range tc.limits {
			if !strings.Contains(text, "\n"+l.Name+" ") {
				t.Errorf("%s: %s is not shown:\n%s", name, l.Name, text)
			}
		}
	}
}
