package command

import (
	"context"
	"log/slog"

	"gamed/game"
	"gamed/internal/config"
)

// server is a node, as the commands see it; see startNode for the real one.
type server interface {
	// Run serves until ctx ends, then drains within the configured time: an error says that it could not, or why it failed.
	Run(ctx context.Context) error
	// Reload reads keys, certificates and tokens again. What is broken leaves in force what was.
	Reload() error
	// Kill ends it as kill -9 would; Run returns.
	Kill()
	Ready() (ok bool, reasons []string)
	Addrs() addrs
	// Cut drops, or lets pass again, everything between this node and the one named.
	Cut(name string, on bool)
	// View is what the node holds to be the table.
	View() view
}

// addrs is the first line that serve prints.
type addrs struct {
	Ready   bool   `json:"ready"`
	Node    string `json:"node"`
	Players string `json:"players"`
	Mesh    string `json:"mesh"`
	Gossip  string `json:"gossip"`
	Admin   string `json:"admin"`
}

// view is a table in short: equal hashes are equal tables.
type view struct {
	Term     uint64
	Hash     uint64
	Owned    map[string]int // partitions by node
	Owner    []string       // by partition, "" for nobody
	Backups  int            // partitions that have one
	Degraded bool
}

// nodeOptions is what a server is made of.
type nodeOptions struct {
	Config config.Config
	Games  []game.Game
	Log    *slog.Logger
}
