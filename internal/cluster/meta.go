package cluster

import (
	"fmt"

	"gamed/internal/shard"
	"gamed/protocol"
)

// meta is what a node says of itself in gossip (memberlist's NodeMeta).
type meta struct {
	Node     shard.NodeID
	Mesh     string // addresses
	Players  string
	Admin    string
	Version  string
	WireMin  uint16
	WireMax  uint16
	Config   uint64 // ConfigHash
	Term     uint64 // of its table
	Hash     uint64
	Draining bool
	Started  uint64 // wall clock in ms at its start: only to tell who of two nodes of one name came second
}

// metaMax is memberlist's limit, in bytes. It panics above it.
const metaMax = 512

const metaFormat = 1

func (m *meta) append(dst []byte) []byte {
	dst = protocol.AppendArray(dst, 14)
	dst = protocol.AppendUint(dst, metaFormat)
	dst = protocol.AppendStr(dst, m.Node.Name)
	dst = protocol.AppendUint(dst, m.Node.Boot)
	dst = protocol.AppendStr(dst, m.Mesh)
	dst = protocol.AppendStr(dst, m.Players)
	dst = protocol.AppendStr(dst, m.Admin)
	dst = protocol.AppendStr(dst, m.Version)
	dst = protocol.AppendUint(dst, uint64(m.WireMin))
	dst = protocol.AppendUint(dst, uint64(m.WireMax))
	dst = protocol.AppendUint(dst, m.Config)
	dst = protocol.AppendUint(dst, m.Term)
	dst = protocol.AppendUint(dst, m.Hash)
	dst = protocol.AppendBool(dst, m.Draining)
	return protocol.AppendUint(dst, m.Started)
}

// check says whether the meta will fit whatever the term grows to.
func (m meta) check() error {
	m.Term, m.Hash, m.Started = 1<<63, 1<<63, 1<<63
	if n := len(m.append(nil)); n > metaMax {
		return fmt.Errorf("name, version and addresses make %d bytes of gossip metadata, at most %d fit: shorten the addresses", n, metaMax)
	}
	return nil
}

// parseMeta decodes the meta of another node. Whoever has the gossip key can send anything, so nothing is taken on trust here.
func parseMeta(b []byte) (meta, error) {
	r := reader{Cursor: protocol.NewCursor(b)}
	if len(b) > metaMax || protocol.Check(b) != nil || r.array(64) < 14 || r.uint() != metaFormat {
		return meta{}, fmt.Errorf("node metadata: %w", errWire)
	}
	m := meta{Node: shard.NodeID{Name: r.text(64), Boot: r.uint()}, Mesh: r.text(metaMax), Players: r.text(metaMax), Admin: r.text(metaMax),
		Version: r.text(64), WireMin: uint16(r.uint()), WireMax: uint16(r.uint()), Config: r.uint(), Term: r.uint(), Hash: r.uint()}
	var ok bool
	m.Draining, ok = r.Bool()
	m.Started = r.uint()
	if r.bad || !ok || m.Node.Boot == 0 || !protocol.ValidPlayer(m.Node.Name) {
		return meta{}, fmt.Errorf("node metadata: %w", errWire)
	}
	return m, nil
}

// gossipName is unique for each life of a node.
func gossipName(id shard.NodeID) string { return fmt.Sprintf("%s#%016x", id.Name, id.Boot) }

// unfit says why a node can never be a member of this cluster, "" when it can.
func (m *meta) unfit(self *meta) string {
	switch {
	case m.WireMin > self.WireMax || m.WireMax < self.WireMin:
		return fmt.Sprintf("it speaks wire versions %d to %d, this node %d to %d", m.WireMin, m.WireMax, self.WireMin, self.WireMax)
	case m.Config != self.Config:
		return fmt.Sprintf("its configuration hash is %016x, here it is %016x: partitions, hasher or --policy differ", m.Config, self.Config)
	}
	return ""
}
