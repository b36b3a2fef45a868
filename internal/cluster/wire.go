package cluster

import (
	"errors"
	"fmt"

	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
	"gamed/protocol"
)

// What an envelope of kind Table says, in its Event.
const (
	tellTable = "table" // Payload: the table
	tellFetch = "fetch" // send me yours
	tellLeave = "leave" // I leave for good
)

const (
	maxLinks     = 96 // in a report: with 9 bytes each they fit the mesh's state
	reportFormat = 1
)

var errWire = errors.New("malformed")

// Flags of a report.
const (
	reportDraining = 1 << iota
	reportContested
)

// appendReport encodes what mesh hellos and heartbeats carry.
func appendReport(dst []byte, r *agreement.Report) []byte {
	dst = protocol.AppendArray(dst, 6)
	dst = protocol.AppendUint(dst, reportFormat)
	dst = protocol.AppendUint(dst, r.Position.Term)
	dst = protocol.AppendStr(dst, r.Position.Coordinator)
	dst = protocol.AppendUint(dst, r.Position.Hash)
	var flags uint64
	if r.Draining {
		flags |= reportDraining
	}
	if r.Contested {
		flags |= reportContested
	}
	dst = protocol.AppendUint(dst, flags)
	links := r.Links[:min(len(r.Links), maxLinks)]
	dst = protocol.AppendArray(dst, len(links))
	for _, boot := range links {
		dst = protocol.AppendUint(dst, boot)
	}
	return dst
}

// parseReport decodes what a peer's hello or heartbeat carried.
func parseReport(from shard.NodeID, b []byte) (*agreement.Report, error) {
	r := reader{Cursor: protocol.NewCursor(b)}
	if protocol.Check(b) != nil || r.array(1<<8) < 6 || r.uint() != reportFormat {
		return nil, fmt.Errorf("state of %s: %w", from, errWire)
	}
	out := &agreement.Report{From: from}
	out.Position = agreement.Position{Term: r.uint(), Coordinator: r.text(64), Hash: r.uint()}
	flags := r.uint()
	out.Draining, out.Contested = flags&reportDraining != 0, flags&reportContested != 0
	for n := r.array(maxLinks); n > 0 && !r.bad; n-- {
		out.Links = append(out.Links, r.uint())
	}
	if r.bad {
		return nil, fmt.Errorf("state of %s: %w", from, errWire)
	}
	return out, nil
}

// reader is a Cursor that remembers that something was wrong.
type reader struct {
	protocol.Cursor
	bad bool
}

func (r *reader) uint() uint64 {
	v, ok := r.Uint()
	r.bad = r.bad || !ok
	return v
}

func (r *reader) array(limit int) int {
	n, ok := r.Array()
	if !ok || n > limit {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) text(limit int) string {
	v, ok := r.Text()
	if !ok || len(v) > limit {
		r.bad = true
		return ""
	}
	return string(v)
}

// sized is a bin of exactly n bytes.
func (r *reader) sized(n int) []byte {
	v, ok := r.Text()
	if !ok || len(v) != n {
		r.bad = true
		return make([]byte, n)
	}
	return v
}
