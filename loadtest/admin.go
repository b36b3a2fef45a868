package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Whole waits until all running nodes take players, know each other, hold one table, and every partition in it has an owner and a
// backup among them.
func (n *Nodes) Whole(ctx context.Context, limit time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.whole(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for one whole cluster: %w", err)
		}
	}
}

type adminMember struct {
	Node  string `json:"node"`
	State string `json:"state"`
}

type adminTable struct {
	Term       uint64 `json:"term"`
	Hash       string `json:"hash"`
	Partitions []struct {
		Owner  string `json:"owner"`
		Backup string `json:"backup"`
	} `json:"partitions"`
}

func (n *Nodes) whole(ctx context.Context) error {
	running := map[string]bool{}
	for _, name := range n.Alive() {
		running[name] = true
	}
	hash := ""
	for _, p := range n.list() {
		if !running[p.name] {
			continue
		}
		var members []adminMember
		var table adminTable
		if err := n.get(ctx, p, "/readyz", nil); err != nil {
			return err
		}
		if err := n.get(ctx, p, "/api/v1/members", &members); err != nil {
			return err
		}
		if err := n.get(ctx, p, "/api/v1/table", &table); err != nil {
			return err
		}
		alive := 0
		for _, m := range members {
			if m.State == "alive" && running[m.Node] {
				alive++
			}
		}
		if alive != len(running) {
			return fmt.Errorf("node %s knows %d of %d nodes", p.name, alive, len(running))
		}
		if hash == "" {
			hash = table.Hash
		}
		if table.Hash != hash {
			return fmt.Errorf("node %s has another table than the others", p.name)
		}
		for i, part := range table.Partitions {
			if !running[part.Owner] || len(running) > 1 && (!running[part.Backup] || part.Backup == part.Owner) {
				return fmt.Errorf("partition %d: owner %q, backup %q", i, part.Owner, part.Backup)
			}
		}
	}
	return nil
}

// Locate says which node owns a key ("trivia/friday") and which holds its copy.
func (n *Nodes) Locate(ctx context.Context, key string) (owner, backup string, err error) {
	for _, p := range n.list() {
		if p.alive() {
			var at struct{ Owner, Backup string }
			err = n.get(ctx, p, "/api/v1/locate?key="+url.QueryEscape(key), &at)
			return at.Owner, at.Backup, err
		}
	}
	return "", "", fmt.Errorf("locate %s: no node runs", key)
}

// get asks a node's admin port. into nil: only the status counts.
func (n *Nodes) get(ctx context.Context, p *process, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr.Admin+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", p.name, err)
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", p.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask node %s: %s: %s", p.name, path, resp.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("ask node %s: %s: %w", p.name, path, err)
	}
	return nil
}
