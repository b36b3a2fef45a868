package command

import (
	"gamed/internal/node"
)

// startNode makes the real node of a server; its ports are bound when it returns.
func startNode(o nodeOptions) (server, error) {
	n, err := node.New(node.Options{Config: o.Config, Games: o.Games, Version: version(), Log: o.Log})
	if err != nil {
		return nil, err
	}
	return realNode{n}, nil
}

type realNode struct{ *node.Node }

// Addrs implements server.
func (n realNode) Addrs() addrs {
	a := n.Node.Addrs()
	return addrs{Node: a.Node, Players: a.Players, Mesh: a.Mesh, Gossip: a.Gossip, Admin: a.Admin}
}

// Cut implements server.
func (n realNode) Cut(name string, on bool) { n.Cluster().Cut(name, on) }

// View implements server.
func (n realNode) View() view {
	t := n.Cluster().Table()
	v := view{Term: t.Term, Hash: t.Hash, Owned: map[string]int{}, Owner: make([]string, len(t.Owner)), Degraded: t.Degraded()}
	for part := range t.Owner {
		if owner, ok := t.OwnerOf(uint16(part)); ok {
			v.Owned[owner.Name]++
			v.Owner[part] = owner.Name
		}
		if _, ok := t.BackupOf(uint16(part)); ok {
			v.Backups++
		}
	}
	return v
}
