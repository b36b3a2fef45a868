package loadtest

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailBytes is how much of a node's log is kept in memory.
const tailBytes = 64 << 10

// tail keeps the end of what is written to it and counts the lines that tell of an error. It may be used from any goroutine.
type tail struct {
	copyTo io.Writer // nil: nowhere

	mu     sync.Mutex // guards what follows
	kept   []byte
	line   []byte
	errors int
}

// Write implements io.Writer. It never fails: a full disk under the copy must not stop the node.
func (t *tail) Write(p []byte) (int, error) {
	if t.copyTo != nil {
		_, _ = t.copyTo.Write(p) // the log is only for people
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept = append(t.kept, p...); len(t.kept) > 2*tailBytes {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailBytes:]...)
	}
	t.line = append(t.line, p...)
	for {
		i := bytes.IndexByte(t.line, '\n')
		if i < 0 {
			break
		}
		if bytes.Contains(t.line[:i], []byte("level=ERROR")) || bytes.HasPrefix(t.line, []byte("panic:")) {
			t.errors++
		}
		t.line = t.line[i+1:]
	}
	if len(t.line) > tailBytes {
		t.line = nil
	}
	return len(p), nil
}

// last gives the last n lines.
func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimRight(string(t.kept), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (t *tail) errorLines() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.errors
}

// firstLine gives the first line written to it to got and drops the rest.
type firstLine struct {
	got  chan []byte // holds one
	line []byte
	done bool
}

// Write implements io.Writer.
func (f *firstLine) Write(p []byte) (int, error) {
	if f.done {
		return len(p), nil
	}
	f.line = append(f.line, p...)
	if i := bytes.IndexByte(f.line, '\n'); i >= 0 {
		f.done = true
		f.got <- f.line[:i]
	}
	return len(p), nil
}
