package command

import (
	"io"
	"strings"
	"testing"
	"time"
)

// demoing runs `gamed demo`; lines written to in are its prompt.
func demoing(t *testing.T, args ...string) (tm *terminal, in *io.PipeWriter, code chan int) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs clusters in real time")
	}
	tm = newTerminal()
	r, in := io.Pipe()
	tm.stdin, tm.start = r, startNode
	code = make(chan int, 1)
	go func() { code <- tm.run(append([]string{"demo", "--log-level", "warn"}, args...)...) }()
	return tm, in, code
}

// say types a line.
func say(t *testing.T, in io.Writer, line string) {
	t.Helper()
	if _, err := io.WriteString(in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (t *terminal) has(text string) func() bool {
	return func() bool { return strings.Contains(t.out.String(), text) }
}

// The story of the README: a cluster plays, a node is killed in the middle of a show, another one comes, one goes in order.
func TestDemoPlaysOnThroughKillAddAndDrain(t *testing.T) {
	began := time.Now()
	tm, in, code := demoing(t, "--bots", "12", "--questions", "3", "--seconds", "1s", "--pause", "200ms")
	defer func() {
		if t.Failed() {
			t.Logf("output:\n%s\nlog:\n%s", tm.out.String(), tm.err.String())
		}
	}()
	await(t, "the nodes", tm.has("3 nodes ready"))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("three nodes took %v", took)
	}
	await(t, "a question", tm.has("Question 1 of 3"))
	await(t, "a result", tm.has("Still in:"))
	say(t, in, "kill 2")
	await(t, "who took over", tm.has("its partitions went to: demo-1 "))
	await(t, "bots back after the kill", tm.has("all bots were connected again after"))
	await(t, "the outcome", tm.has("are connected to another, 0 lost their session"))
	say(t, in, "kill 2")
	await(t, "the refusal", tm.has("node 2 is killed already"))
	say(t, in, "add")
	await(t, "a fourth node", tm.has("node 4 owned"))
	say(t, in, "drain 3")
	await(t, "bots back after the drain", tm.has("all bots were connected elsewhere after"))
	say(t, in, "status")
	await(t, "the status", tm.has("bots: 12 of 12 connected"))
	say(t, in, "nonsense")
	await(t, "help", tm.has("help lists them"))
	shows := strings.Count(tm.out.String(), "The show is over")
	await(t, "another show", func() bool { return strings.Count(tm.out.String(), "The show is over") > shows })
	say(t, in, "quit")
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	if strings.Contains(tm.out.String(), "NOT within") {
		t.Error("something did not happen in time")
	}
	in.Close()
}

func TestDemoSplitsAndHeals(t *testing.T) {
	tm, in, code := demoing(t, "--bots", "0", "--seconds", "500ms")
	defer func() {
		if t.Failed() {
			t.Logf("output:\n%s\nlog:\n%s", tm.out.String(), tm.err.String())
		}
	}()
	await(t, "the nodes", tm.has("3 nodes ready"))
	say(t, in, "split 1|23")
	await(t, "a table of each side", tm.has("2 3 had a table of its own after"))
	await(t, "what the sides serve", func() bool {
		return strings.Count(tm.out.String(), "taken over from backups") == 2 && strings.Count(tm.out.String(), "it says that it is degraded") == 2
	})
	say(t, in, "heal")
	await(t, "one table", tm.has("one table was in force on all, one owner for each partition after"))
	await(t, "the merge", tm.has(" players and rooms had been changed by both sides after"))
	await(t, "the outcome", tm.has("in all: "))
	say(t, in, "quit")
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	in.Close()
}

func TestDemoWithoutInputShowsOneShow(t *testing.T) {
	tm, in, code := demoing(t, "--nodes", "1", "--bots", "5", "--questions", "2", "--seconds", "500ms", "--pause", "0s")
	in.Close()
	select {
	case c := <-code:
		if c != exitOK || strings.Count(tm.out.String(), "The show is over") != 1 {
			t.Errorf("exit code %d:\n%s\n%s", c, tm.out.String(), tm.err.String())
		}
	case <-time.After(40 * time.Second):
		t.Fatalf("does not end:\n%s", tm.out.String())
	}
}
