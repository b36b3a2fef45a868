package cluster

import (
	"encoding/binary"
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
	maxNodes     = 1024 // in a table
	maxLinks     = 96   // in a report: with 9 bytes each they fit the mesh's state
	tableFormat  = 1
	reportFormat = 1
)

var errWire = errors.New("malformed")

// appendTable encodes a table; about 12 KB.
func appendTable(dst []byte, t *shard.Table) []byte {
	dst = protocol.AppendArray(dst, 8)
	dst = protocol.AppendUint(dst, tableFormat)
	dst = protocol.AppendUint(dst, t.Term)
	dst = protocol.AppendStr(dst, t.Coordinator)
	dst = protocol.AppendUint(dst, t.Hash)
	dst = protocol.AppendArray(dst, 2*len(t.Nodes))
	for _, n := range t.Nodes {
		dst = protocol.AppendStr(dst, n.Name)
		dst = protocol.AppendUint(dst, n.Boot)
	}
	buf := make([]byte, 0, 8*shard.Partitions)
	for _, i := range t.Owner {
		buf = binary.BigEndian.AppendUint16(buf, i)
	}
	dst = protocol.AppendBin(dst, buf)
	buf = buf[:0]
	for _, i := range t.Backup {
		buf = binary.BigEndian.AppendUint16(buf, i)
	}
	dst = protocol.AppendBin(dst, buf)
	buf = buf[:0]
	for _, v := range t.PartTerm {
		buf = binary.BigEndian.AppendUint64(buf, v)
	}
	return protocol.AppendBin(dst, buf)
}

// parseTable decodes and checks a table: names valid and once, indexes in range, the hash right.
func parseTable(b []byte) (*shard.Table, error) {
	if err := protocol.Check(b); err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	r := reader{Cursor: protocol.NewCursor(b)}
	if n := r.array(1 << 16); n < 8 || r.uint() != tableFormat {
		return nil, fmt.Errorf("table: %w", errWire)
	}
	t := &shard.Table{Term: r.uint(), Coordinator: r.text(64)}
	hash := r.uint()
	known := map[string]bool{}
	for n := r.array(2 * maxNodes); n >= 2 && !r.bad; n -= 2 {
		id := shard.NodeID{Name: r.text(64), Boot: r.uint()}
		if id.Boot == 0 || known[id.Name] || !protocol.ValidPlayer(id.Name) {
			r.bad = true
		}
		known[id.Name] = true
		t.Nodes = append(t.Nodes, id)
	}
	owner, backup, terms := r.sized(2*shard.Partitions), r.sized(2*shard.Partitions), r.sized(8*shard.Partitions)
	if r.bad || t.Term == 0 || len(t.Nodes) == 0 || !protocol.ValidPlayer(t.Coordinator) {
		return nil, fmt.Errorf("table: %w", errWire)
	}
	for p := range shard.Partitions {
		t.Owner[p] = binary.BigEndian.Uint16(owner[2*p:])
		t.Backup[p] = binary.BigEndian.Uint16(backup[2*p:])
		t.PartTerm[p] = binary.BigEndian.Uint64(terms[8*p:])
		for _, i := range []uint16{t.Owner[p], t.Backup[p]} {
			if i != shard.None && int(i) >= len(t.Nodes) {
				return nil, fmt.Errorf("table: partition %d: %w", p, errWire)
			}
		}
	}
	if t.Seal().Hash != hash {
		return nil, fmt.Errorf("table: its hash is not %016x: %w", hash, errWire)
	}
	return t, nil
}

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
