package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Locate says which node owns a key ("trivia/friday") and which holds its copy.
func (n *Nodes) Locate(ctx context.Context, key string) (owner, backup string, err error) {
	for _, name := range n.Alive() {
		var at struct{ Owner, Backup string }
		err = n.Get(ctx, name, "/api/v1/locate?key="+url.QueryEscape(key), &at)
		return at.Owner, at.Backup, err
	}
	return "", "", fmt.Errorf("locate %s: no node runs", key)
}

// Event is one that a node tells of.
type Event struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Node string    `json:"node"`
	Text string    `json:"text"`
}

// Events are those that a node keeps, oldest first.
func (n *Nodes) Events(ctx context.Context, node string) ([]Event, error) {
	var list []Event
	err := n.Get(ctx, node, "/api/v1/events", &list)
	return list, err
}

// Drain empties a node that goes on running; it returns when the node has begun.
func (n *Nodes) Drain(ctx context.Context, via, node string) error {
	return n.ask(ctx, http.MethodPost, via, "/api/v1/nodes/"+node+"/drain", nil, http.StatusAccepted)
}

// Get asks a node's admin port; the answer must be 200. into nil: only the status counts.
func (n *Nodes) Get(ctx context.Context, node, path string, into any) error {
	return n.ask(ctx, http.MethodGet, node, path, into, http.StatusOK)
}

func (n *Nodes) ask(ctx context.Context, method, node, path string, into any, status int) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+node+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", node, err)
	}
	req.Host = "127.0.0.1" // nodes on loopback answer to no other name
	resp, err := n.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", node, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("ask node %s: %s: %w", node, path, err)
	}
	if resp.StatusCode != status {
		return fmt.Errorf("ask node %s: %s: %s: %s", node, path, resp.Status, bytes.TrimSpace(body))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("ask node %s: %s: %w", node, path, err)
	}
	return nil
}

// dialAdmin connects to the admin port of the node that the host of the URL names.
func (n *Nodes) dialAdmin(ctx context.Context, _, addr string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	_, p := n.find(name)
	if p == nil {
		return nil, fmt.Errorf("there is no node %s", name)
	}
	return p.dial(ctx, true)
}
