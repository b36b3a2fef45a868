// Command gamed is a live-game server that is a cluster out of the box. See `gamed --help`.
package main

import (
	"os"

	"gamed/cmd/gamed/command"
	"gamed/games"
)

var version string // set with -ldflags "-X main.version=…"

func main() {
	command.Version = version
	os.Exit(command.Main(os.Args[1:], games.All()...))
}
