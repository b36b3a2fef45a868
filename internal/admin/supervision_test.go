package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func (f *fake) Supervision(context.Context) Supervision {
	return Supervision{Nodes: []SupervisedNode{{Node: "a", Workers: []SupervisedWorker{{Worker: "0", State: "fine"}}, Quarantined: []QuarantinedEntity{}}}}
}

func (f *fake) DeadLetters(_ context.Context, node string, limit int) (DeadLettersPage, error) {
	if node != "" && node != "a" {
		return DeadLettersPage{}, fmt.Errorf("%w: no live node is called %q", ErrNotFound, node)
	}
	return DeadLettersPage{Total: uint64(limit)}, nil
}

func TestSupervisionAndDeadLetters(t *testing.T) {
	base, _ := startStop(t, &fake{}, nil)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"supervision":                 {http.StatusOK, `{"nodes":[{"node":"a","entities":0,"dead_letters":0,"quarantines":0,"workers":[{"worker":"0","state":"fine",`},
		"deadletters":                 {http.StatusOK, `{"dead_letters":[],"total":100}`},
		"deadletters?node=a&limit=7":  {http.StatusOK, `"total":7`},
		"deadletters?node=nobody":     {http.StatusNotFound, "no live node"},
		"deadletters?limit=1001":      {http.StatusBadRequest, "limit"},
		"deadletters?limit=18 or one": {http.StatusBadRequest, ""},
	} {
		status, body := do(t, http.MethodGet, base+"/api/v1/"+strings.ReplaceAll(path, " ", "+"))
		if status != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
