package cluster

import (
	"encoding/binary"
	"fmt"

	"gamed/internal/shard"
	"gamed/protocol"
)

const (
	maxNodes    = 1024    // in a table
	maxMissing  = 512     // in a table
	maxTerm     = 1 << 62 // above every term an honest node can reach
	tableFormat = 2
)

// appendTable encodes a table; about 12 KB. Index fields that name nobody take no room.
func appendTable(dst []byte, t *shard.Table) []byte {
	dst = protocol.AppendArray(dst, 14)
	dst = protocol.AppendUint(dst, tableFormat)
	dst = protocol.AppendUint(dst, t.Term)
	dst = protocol.AppendStr(dst, t.Coordinator)
	dst = protocol.AppendUint(dst, t.Hash)
	dst = protocol.AppendArray(dst, 2*len(t.Nodes))
	for _, n := range t.Nodes {
		dst = protocol.AppendStr(dst, n.Name)
		dst = protocol.AppendUint(dst, n.Boot)
	}
	dst = protocol.AppendArray(dst, 3*len(t.Missing))
	for _, m := range t.Missing {
		dst = protocol.AppendStr(dst, m.ID.Name)
		dst = protocol.AppendUint(dst, m.ID.Boot)
		dst = protocol.AppendBool(dst, m.Dead)
	}
	for _, of := range indexFields(t) {
		dst = appendIndexes(dst, of)
	}
	terms := make([]byte, 0, 8*shard.Partitions)
	for _, v := range t.PartTerm {
		terms = binary.BigEndian.AppendUint64(terms, v)
	}
	dst = protocol.AppendBin(dst, terms)
	for _, hashes := range [][]uint64{t.History, t.Absorbed} {
		dst = protocol.AppendArray(dst, len(hashes))
		for _, h := range hashes {
			dst = protocol.AppendUint(dst, h)
		}
	}
	return dst
}

// indexFields are a table's fields of indexes, in the order of the wire. The first three index Nodes, the rest Missing.
func indexFields(t *shard.Table) [5]*[shard.Partitions]uint16 {
	return [5]*[shard.Partitions]uint16{&t.Owner, &t.Backup, &t.Rival, &t.LastOwner, &t.LastBackup}
}

func appendIndexes(dst []byte, of *[shard.Partitions]uint16) []byte {
	named := false
	buf := make([]byte, 0, 2*shard.Partitions)
	for _, i := range of {
		named = named || i != shard.None
		buf = binary.BigEndian.AppendUint16(buf, i)
	}
	if !named {
		buf = nil
	}
	return protocol.AppendBin(dst, buf)
}

// parseTable decodes and checks a table: names valid and once, indexes in range, lists bounded, terms possible, the hash right.
func parseTable(b []byte) (*shard.Table, error) {
	if err := protocol.Check(b); err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	r := reader{Cursor: protocol.NewCursor(b)}
	if n := r.array(1 << 16); n < 14 || r.uint() != tableFormat {
		return nil, fmt.Errorf("table: %w", errWire)
	}
	t := &shard.Table{Term: r.uint(), Coordinator: r.text(64)}
	hash := r.uint()
	known := map[string]bool{} // a name is there once: as a node, or as missing
	node := func() shard.NodeID {
		id := shard.NodeID{Name: r.text(64), Boot: r.uint()}
		if id.Boot == 0 || known[id.Name] || !protocol.ValidPlayer(id.Name) {
			r.bad = true
		}
		known[id.Name] = true
		return id
	}
	n := r.array(2 * maxNodes)
	for r.bad = r.bad || n%2 != 0; n > 0 && !r.bad; n -= 2 {
		t.Nodes = append(t.Nodes, node())
	}
	r.bad = r.bad || !known[t.Coordinator] // whoever makes a table is in it
	n = r.array(3 * maxMissing)
	for r.bad = r.bad || n%3 != 0; n > 0 && !r.bad; n -= 3 {
		t.Missing = append(t.Missing, shard.Missing{ID: node(), Dead: r.bool()})
	}
	for i, of := range indexFields(t) {
		limit := len(t.Nodes)
		if i > 2 {
			limit = len(t.Missing)
		}
		r.indexes(of, limit)
	}
	terms := r.sized(8 * shard.Partitions)
	for p := range shard.Partitions {
		t.PartTerm[p] = binary.BigEndian.Uint64(terms[8*p:])
		r.bad = r.bad || t.PartTerm[p] > t.Term || t.Owner[p] != shard.None && (t.Owner[p] == t.Backup[p] || t.PartTerm[p] == 0)
	}
	t.History, t.Absorbed = r.hashes(shard.HistoryMax), r.hashes(shard.AbsorbedMax)
	if r.bad || t.Term == 0 || t.Term > maxTerm {
		return nil, fmt.Errorf("table: %w", errWire)
	}
	if t.Seal().Hash != hash {
		return nil, fmt.Errorf("table: its hash is not %016x: %w", hash, errWire)
	}
	return t, nil
}

// indexes reads a field of indexes below limit; one without bytes names nobody.
func (r *reader) indexes(of *[shard.Partitions]uint16, limit int) {
	v, ok := r.Text()
	r.bad = r.bad || !ok || len(v) != 0 && len(v) != 2*shard.Partitions
	for p := range of {
		of[p] = shard.None
		if !r.bad && len(v) > 0 {
			of[p] = binary.BigEndian.Uint16(v[2*p:])
			r.bad = of[p] != shard.None && int(of[p]) >= limit
		}
	}
}

func (r *reader) hashes(limit int) []uint64 {
	var out []uint64
	for n := r.array(limit); n > 0 && !r.bad; n-- {
		out = append(out, r.uint())
	}
	return out
}

func (r *reader) bool() bool {
	v, ok := r.Bool()
	r.bad = r.bad || !ok
	return v
}
