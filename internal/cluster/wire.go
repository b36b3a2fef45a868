package cluster

import (
	"errors"
	"fmt"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
	"gamed/protocol"
)

// What an envelope of kind Table says, in its Event.
const (
	tellTable = "table" // Payload: the table
	tellFetch = "fetch" // send me yours
	tellLeave = "leave" // I leave for good

	tellForget = "forget" // Payload: the name of a missing node that an operator gave up
)

const (
	maxLinks     = 80 // in a report: with 9 bytes each they fit the mesh's state
	maxFence     = time.Minute
	reportFormat = 2
)

var errWire = errors.New("malformed")

// Flags of a report.
const (
	reportDraining = 1 << iota
	reportContested
	reportMember
	reportInForce
)

// appendReport encodes what mesh hellos and heartbeats carry.
func appendReport(dst []byte, r *agreement.Report) []byte {
	dst = protocol.AppendArray(dst, 9)
	dst = protocol.AppendUint(dst, reportFormat)
	dst = protocol.AppendUint(dst, r.Position.Term)
	dst = protocol.AppendStr(dst, r.Position.Coordinator)
	dst = protocol.AppendUint(dst, r.Position.Hash)
	var flags uint64
	for i, on := range [...]bool{r.Draining, r.Contested, r.Member, r.InForce} { // in the order of the flags
		if on {
			flags |= 1 << i
		}
	}
	dst = protocol.AppendUint(dst, flags)
	dst = protocol.AppendUint(dst, r.Ahead)
	dst = protocol.AppendUint(dst, uint64((r.Fence+time.Millisecond-1)/time.Millisecond))
	links := r.Links[:min(len(r.Links), maxLinks)]
	dst = protocol.AppendArray(dst, len(links))
	for _, boot := range links {
		dst = protocol.AppendUint(dst, boot)
	}
	if r.Filled.Empty() {
		return protocol.AppendBin(dst, nil)
	}
	return protocol.AppendBin(dst, r.Filled[:])
}

// parseReport decodes what a peer's hello or heartbeat carried.
func parseReport(from shard.NodeID, b []byte) (*agreement.Report, error) {
	r := reader{Cursor: protocol.NewCursor(b)}
	fields := 0
	if protocol.Check(b) == nil {
		fields = r.array(1 << 8)
	}
	if fields < 8 || r.uint() != reportFormat {
		return nil, fmt.Errorf("state of %s: %w", from, errWire)
	}
	out := &agreement.Report{From: from}
	out.Position = agreement.Position{Term: r.uint(), Coordinator: r.text(64), Hash: r.uint()}
	flags := r.uint()
	out.Draining, out.Contested = flags&reportDraining != 0, flags&reportContested != 0
	out.Member, out.InForce = flags&reportMember != 0, flags&reportInForce != 0
	out.Ahead = r.uint()
	fence := r.uint()
	out.Fence = time.Duration(min(fence, uint64(maxFence/time.Millisecond))) * time.Millisecond
	for n := r.array(maxLinks); n > 0 && !r.bad; n-- {
		out.Links = append(out.Links, r.uint())
	}
	if fields > 8 { // who does not say it knows of no backup that it is full
		r.parts(&out.Filled)
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

// parts is a set of partitions; no bytes are the empty one.
func (r *reader) parts(set *shard.PartSet) {
	v, ok := r.Text()
	switch {
	case !ok, len(v) != 0 && len(v) != len(set):
		r.bad = true
	default:
		copy(set[:], v)
		r.bad = r.bad || len(v) > 0 && v[len(v)-1]>>(shard.Partitions%8) != 0
	}
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
