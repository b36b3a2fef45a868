package faults

import (
	"bytes"
	"context"
	"os/exec"
	"testing"
	"time"

	"gamed/loadtest"
)

// TestTwoNodesOfOneName: the second live node of a name ends with a clear word; the cluster does not notice it.
func TestTwoNodesOfOneName(t *testing.T) {
	w := build(t, 3, 1, loadtest.NodesOptions{})
	before := w.nodes.Look(t.Context(), "a")[0]
	host := w.lab.Addr("d")
	file, err := gamed()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := w.lab.Command("d", file, "serve", "--node", "b", "--insecure", "--listen", host+":7300", "--mesh", host+":7301", "--gossip", host+":7302",
		"--admin", "127.0.0.1:7303", "--join", w.lab.Addr("a")+":7302")
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("it did not end:\n%s", said.String())
	}
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || !bytes.Contains(said.Bytes(), []byte("b")) {
		t.Errorf("it ended with %v and said:\n%s", err, said.String())
	}
	after := w.nodes.Look(t.Context(), "a")[0]
	if after.Hash != before.Hash || after.Ready != "" {
		t.Errorf("the table was %s, is %s; ready: %s", before.Hash, after.Hash, after.Ready)
	}
}

// TestARestartElsewhere: a node that was killed comes back under its name on another machine and is in within 5 s.
func TestARestartElsewhere(t *testing.T) {
	inFull(t)
	w := build(t, 3, 1, loadtest.NodesOptions{})
	w.under(load{savers: 40}, func(ctx context.Context) error {
		if _, err := w.nodes.Kill("b"); err != nil {
			return err
		}
		at := time.Now()
		if err := w.nodes.Start(ctx, "b", loadtest.Extra{Host: "d"}); err != nil {
			return err
		}
		if _, err := w.nodes.Await(ctx, 5*time.Second, loadtest.Single, "a", "b", "c"); err != nil {
			return err
		}
		w.note("in after %v", time.Since(at))
		return w.whole(ctx, at)
	})
}
