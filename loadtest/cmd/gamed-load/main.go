// Command gamed-load plays swarms of players against real nodes, breaks things on purpose, and judges from outside what the players
// were told. See `gamed-load --help`. Exit codes: 0 every promise was kept, 1 one was broken, 2 it could not be played.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
